import t from 'tap'
import { createLocalFleet } from '../../src/fleet/local.ts'
import { createFleetHub } from '../../src/fleet/hub.ts'
import type { Json } from '../../src/std/json.ts'
import { createTestClock, type TestClock } from '../../src/std/clock.ts'
import { turns } from '../time.ts'

const lines: unknown[][] = []
const log = { error: (...args: unknown[]) => { lines.push(args) }, warn: (...args: unknown[]) => { lines.push(args) } }

/** Processes on one hub: the same code that runs over IPC, with the channel left out. */
function three (clock: TestClock = createTestClock()) {
  const hub = createFleetHub(clock)
  return { hub, fleets: ['a', 'b', 'c'].map((processId) => createLocalFleet({ processId, clock, log, hub })) }
}

t.test('alone, a process reaches nobody and waits for nobody', async (t) => {
  const fleet = createLocalFleet({ processId: 'only', clock: createTestClock(), log })
  fleet.subscribe('x', () => t.fail('the sender hears itself'))
  fleet.publish('x', 1)
  t.same(await fleet.ask('x', null, { timeoutMs: 5000 }), [], 'while the clock stands still')
  t.equal(fleet.processCount(), 1)
  t.equal(fleet.primaryId, null)
  await fleet.close()
})

t.test('a message reaches every other process once, and not its sender', async (t) => {
  const { fleets: [a, b, c] } = three()
  const heard: string[] = []
  for (const fleet of [a!, b!, c!]) fleet.subscribe('x', (message, from) => heard.push(`${fleet.processId}:${message as string}:${from}`))
  a!.publish('x', 'hi')
  t.same(heard, ['b:hi:a', 'c:hi:a'])
  t.equal(a!.processCount(), 3)
})

t.test('a message to one process reaches only that one, and is lost when it is gone', async (t) => {
  const { fleets: [a, b, c] } = three()
  const heard: string[] = []
  for (const fleet of [a!, b!, c!]) fleet.subscribe('x', (message) => heard.push(`${fleet.processId}:${message as string}`))
  a!.publish('x', 'hi', { processId: 'c' })
  a!.publish('x', 'hi', { processId: 'gone' })
  t.same(heard, ['c:hi'])
})

t.test('a handler that throws does not keep the others from hearing', async (t) => {
  const { fleets: [a, b] } = three()
  let heard = 0
  b!.subscribe('x', () => { throw new Error('on purpose') })
  const end = b!.subscribe('x', () => { heard++ })
  a!.publish('x', 1)
  t.equal(heard, 1)
  end()
  a!.publish('x', 1)
  t.equal(heard, 1, 'who unsubscribed hears no more')
})

t.test('a question collects what the others say and leaves out null, silence and failure', async (t) => {
  const { fleets: [a, b, c] } = three()
  b!.answer('q', async (message) => ({ b: message }))
  c!.answer('q', () => null)
  t.same(await a!.ask('q', 7, { timeoutMs: 5000 }), [{ b: 7 }])
  c!.answer('q', () => { throw new Error('on purpose') })
  t.same(await a!.ask('q', 8, { timeoutMs: 5000 }), [{ b: 8 }])
  t.same(await a!.ask('nobody answers this', 8, { timeoutMs: 5000 }), [])
})

t.test('a question to one process asks only that one', async (t) => {
  const { fleets: [a, b, c] } = three()
  b!.answer('q', () => 'b')
  c!.answer('q', () => 'c')
  t.same(await a!.ask('q', null, { timeoutMs: 5000, processId: 'c' }), ['c'])
  t.same(await a!.ask('q', null, { timeoutMs: 5000, processId: 'gone' }), [])
})

t.test('a question may wait for the processes of its own host alone: the others hear it', async (t) => {
  const clock = createTestClock()
  const { hub, fleets: [a, b] } = three(clock)
  const far = createFleetHub(clock)
  const distant = createLocalFleet({ processId: 'far', clock, log, hub: far })
  hub.setBridge({ hostId: 'here', isUp: () => true, send: (envelope) => far.fromBridge(envelope), hosts: () => new Map([['there', ['far']]]), close: async () => {} })
  far.setBridge({ hostId: 'there', isUp: () => true, send: () => { /* its answer never arrives */ }, hosts: () => new Map(), close: async () => {} })
  let heard = 0
  distant.answer('q', () => ++heard)
  b!.answer('q', () => 'b')
  t.same(await a!.ask('q', null, { timeoutMs: 5000, waitFor: 'host' }), ['b'])
  t.equal(heard, 1)
})

t.test('a silent sibling costs the timeout, one that leaves costs nothing', async (t) => {
  const clock = createTestClock()
  const { hub, fleets: [a, b, c] } = three(clock)
  b!.answer('q', () => 'b')
  c!.answer('q', () => new Promise<Json>(() => {}))
  let isAnswered = false
  const bounded = a!.ask('q', null, { timeoutMs: 100 }).finally(() => { isAnswered = true })
  clock.advance(99)
  await turns()
  t.notOk(isAnswered)
  clock.advance(1)
  t.same(await bounded, ['b'])
  const asking = a!.ask('q', null, { timeoutMs: 5000 })
  await turns()
  hub.leave('c')
  t.same(await asking, ['b'], 'while the clock stands still')
})

t.test('what is larger than 64 KiB is refused with one line', async (t) => {
  const { fleets: [a, b] } = three()
  b!.subscribe('x', () => t.fail('it arrived'))
  lines.length = 0
  a!.publish('x', 'x'.repeat(65_536))
  a!.publish('x', '\u20ac'.repeat(22_000))
  t.equal(lines.length, 2)
})

t.test('the primary hears and answers but is not counted', async (t) => {
  const { hub, fleets: [a] } = three()
  const heard: string[] = []
  hub.join('primary', (envelope) => heard.push(envelope.kind), { counted: false })
  a!.publish('x', 1)
  t.same(heard, ['publish'])
  t.equal(a!.processCount(), 3)
})
