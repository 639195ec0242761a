import t, { type Test } from 'tap'
import { createSiblings, tellable, type Siblings } from '../../src/cache/siblings.ts'
import { createFleetHub, type FleetBridge, type FleetHub } from '../../src/fleet/hub.ts'
import type { Envelope } from '../../src/fleet/envelope.ts'
import { createLocalFleet } from '../../src/fleet/local.ts'
import type { Fleet } from '../../src/fleet/port.ts'
import { createTestClock, type TestClock } from '../../src/std/clock.ts'
import type { Json } from '../../src/std/json.ts'
import { turns } from '../time.ts'

const log = { error: () => {}, warn: () => {} }

interface Member { siblings: Siblings, fleet: Fleet, heard: string[] }

function member (t: Test, clock: TestClock, hub: FleetHub, processId: string, isSilent: () => boolean = () => false): Member {
  const heard: string[] = []
  // A stopped process: what is told to it waits in its pipe.
  const waiting: Envelope[] = []
  const own: FleetHub = {
    ...hub,
    join: (id, deliver, options) => hub.join(id, (envelope) => {
      waiting.push(envelope)
      if (!isSilent()) for (const one of waiting.splice(0)) deliver(one)
    }, options)
  }
  const fleet = createLocalFleet({ processId, clock, log, hub: own })
  const siblings = createSiblings({
    name: 'answers',
    fleet,
    clock,
    forget: (references, isOwed) => { heard.push(`${references?.join() ?? 'all'}${isOwed ? ' owed' : ''}`) }
  })
  t.teardown(() => siblings.close())
  return { siblings, fleet, heard }
}

/** Two hosts; `loses` is asked for each message between them. */
function joined (hubs: FleetHub[], loses: () => boolean = () => false): void {
  for (const hub of hubs) {
    const others = hubs.filter((other) => other !== hub)
    const bridge: FleetBridge = {
      hostId: `host${hubs.indexOf(hub)}`,
      isUp: () => true,
      send: (envelope) => { if (!loses()) for (const other of others) other.fromBridge(envelope) },
      hosts: () => new Map(others.map((other) => [`host${hubs.indexOf(other)}`, other.members()])),
      close: async () => {}
    }
    hub.setBridge(bridge)
  }
}

t.test('the siblings have heard it when it is told, each once and in order', async (t) => {
  const clock = createTestClock()
  const hub = createFleetHub(clock)
  const [a, b, c] = ['a', 'b', 'c'].map((id) => member(t, clock, hub, id))
  await a!.siblings.tell(['x', 'y'], false)
  await a!.siblings.tell(null, true)
  await b!.siblings.tell(['z'], false)
  t.same([a!.heard, b!.heard, c!.heard], [['z'], ['x,y', 'all owed'], ['x,y', 'all owed', 'z']])
})

t.test('alone, nobody is waited for', async (t) => {
  const clock = createTestClock()
  const { siblings } = member(t, clock, createFleetHub(clock), 'only')
  await siblings.tell(['x'], false)
})

t.test('a silent sibling costs 50 ms; what it finds when it comes to is what it missed, exactly', async (t) => {
  const clock = createTestClock()
  const hub = createFleetHub(clock)
  let isStopped = true
  const a = member(t, clock, hub, 'a')
  const b = member(t, clock, hub, 'b', () => isStopped)
  let isTold = false
  const told = a.siblings.tell(['x'], false).then(() => { isTold = true })
  clock.advance(49)
  await turns()
  t.equal(isTold, false)
  clock.advance(1)
  await told
  isStopped = false
  await a.siblings.tell(['y'], false)
  t.same(b.heard, ['x', 'y'])
})

t.test('whoever missed something, and does not know what, drops everything: at the next news, or a second later', async (t) => {
  const clock = createTestClock()
  const hubs = [createFleetHub(clock), createFleetHub(clock)]
  let isLost = false
  joined(hubs, () => isLost)
  const a = member(t, clock, hubs[0]!, 'a')
  const far = member(t, clock, hubs[1]!, 'far')
  await a.siblings.tell(['x'], false)
  t.same(far.heard, ['x'], 'another host hears it, and is not waited for')
  isLost = true
  await a.siblings.tell(['y'], false)
  isLost = false
  await a.siblings.tell(['z'], false)
  t.same(far.heard.splice(0), ['x', 'all', 'z'])

  isLost = true
  await a.siblings.tell(['y'], false)
  isLost = false
  clock.advance(1_000)
  t.same(far.heard.splice(0), ['all'])
  clock.advance(10_000)
  await a.siblings.tell(['x'], false)
  clock.advance(10_000)
  t.same(far.heard, ['x'], 'who missed nothing keeps what it has')
})

t.test('a host that is gone or slow is not waited for', async (t) => {
  const clock = createTestClock()
  const hubs = [createFleetHub(clock), createFleetHub(clock)]
  joined(hubs)
  const a = member(t, clock, hubs[0]!, 'a')
  const b = member(t, clock, hubs[0]!, 'b')
  const gone = member(t, clock, hubs[1]!, 'gone', () => true)
  await a.siblings.tell(['x'], false)
  t.same([b.heard, gone.heard], [['x'], []])
})

t.test('while the way to other hosts is closed the reminder waits, and is told when it opens', async (t) => {
  const clock = createTestClock()
  const hubs = [createFleetHub(clock), createFleetHub(clock)]
  let isOpen = false
  joined(hubs, () => !isOpen)
  hubs[0]!.setBridge({ hostId: 'host0', isUp: () => isOpen, send: (envelope) => { if (isOpen) hubs[1]!.fromBridge(envelope) }, hosts: () => new Map(), close: async () => {} })
  const a = member(t, clock, hubs[0]!, 'a')
  const far = member(t, clock, hubs[1]!, 'far')
  await a.siblings.tell(['x'], false)
  clock.advance(60_000)
  t.same(far.heard, [])
  isOpen = true
  clock.advance(1_000)
  t.same(far.heard, ['all'])
})

t.test('a message that says nothing we know drops everything', async (t) => {
  const clock = createTestClock()
  const hub = createFleetHub(clock)
  const stranger = createLocalFleet({ processId: 'stranger', clock, log, hub })
  const { heard } = member(t, clock, hub, 'a')
  const messages: Json[] = [null, 1, 'x', [], {}, { from: 1, number: 1 }, { from: 'b', number: 'x' }, { from: 'b', number: 1, references: 'x' }, { from: 'b', number: 1, references: [1] }, { from: 'b', number: 1, references: Array(257).fill('x') }]
  for (const message of messages) stranger.publish('cache.answers', message)
  t.same(heard, Array(messages.length).fill('all'))
})

t.test('a list is told once each; one that is too long for a message becomes all', (t) => {
  t.same(tellable(['a', 'b', 'a']), ['a', 'b'])
  t.same(tellable([]), [])
  const many = Array.from({ length: 257 }, (_, i) => String(i))
  t.equal(tellable(many.slice(1))?.length, 256)
  t.equal(tellable(many), null)
  t.equal(tellable(['x'.repeat(10_001)]), null)
  const worst = tellable([...Array.from({ length: 255 }, (_, i) => `\u0000${i}`), '\u0000'.repeat(9_000)])!
  t.ok(Buffer.byteLength(JSON.stringify({ from: 'x'.repeat(12), number: 1e15, references: worst, isOwed: false })) < 64 * 1024)
  t.end()
})
