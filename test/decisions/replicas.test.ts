import t, { type Test } from 'tap'
import { createDice } from '../../bench/session-scripts.ts'
import type { Audit, AuditInput } from '../../src/audit/shapes.ts'
import { createDecisions, type Decisions } from '../../src/decisions/decisions.ts'
import { removedOf } from '../../src/decisions/removals.ts'
import { decisionCollection, decisionCollections, type Decision, type DecisionInput } from '../../src/decisions/shapes.ts'
import type { Fleet } from '../../src/fleet/port.ts'
import { auditEvents, storedEvent } from '../../src/journal/collections.ts'
import { dueEffects, storedOf } from '../../src/journal/due-effects.ts'
import { EffectSet } from '../../src/journal/effect-set.ts'
import type { WrittenEvent } from '../../src/journal/shapes.ts'
import { createTestClock } from '../../src/std/clock.ts'
import type { Storage } from '../../src/storage/port.ts'
import { createFaultyStorage, type StoreState } from '../identity/faulty-storage.ts'
import { createLocalFleet, type LocalFleet } from '../local-fleet.ts'
import { openTestStorage } from '../storage.ts'
import { turns, until } from '../time.ts'

/**
 * Decisions in several processes on one store, of which any may die, and which may be away or locked (SQLite then still
 * gives what it had before): nothing that was acknowledged falls, nothing that was lifted comes back, and all agree.
 */
const person = { origin: 'user:anna' }
const block = (value: string, ttlSeconds: number | null = 3600): DecisionInput => ({ scope: 'IP', value, action: 'BLOCK', ttlSeconds, reason: 'test' })

interface Host {
  clock: ReturnType<typeof createTestClock>
  storage: Storage
  fleet: LocalFleet
  living: Process[]
  store: { state: StoreState }
  /** Written lines of all logs of the host, in order. */
  events: WrittenEvent[]
  /** Ids of those that recovery has brought in. */
  brought: Set<string>
  start (): Promise<Process>
  die (process: Process): Promise<void>
  /** What recovery does with the logs of the dead: the last change of each document, and all events. */
  recover (): Promise<void>
}

interface Process { id: string, decisions: Decisions, fleet: Fleet, isDead: boolean }

async function openHost (t: Test, { loses }: { loses?: (topic: string) => boolean } = {}): Promise<Host> {
  const clock = createTestClock()
  const storage = await openTestStorage(t, [...decisionCollections, auditEvents], clock)
  const fleet = createLocalFleet(loses)
  const host: Host = {
    clock,
    storage,
    fleet,
    living: [],
    store: { state: 'up' },
    events: [],
    brought: new Set(),
    async start () {
      const process: Process = { id: '', fleet: fleet.join(host.living.length), isDead: false, decisions: null as never }
      process.id = process.fleet.processId
      process.decisions = createDecisions({
        // The dead write nothing more.
        storage: createFaultyStorage(storage, () => process.isDead ? 'away' : host.store.state),
        audit: journalOf(host, process),
        fleet: process.fleet,
        clock,
        neverBlock: [],
        scopesOf: async () => [],
        loggedChanges: async (wanted) => effectsOf(host.events, ({ id }) => wanted === 'all' || !host.brought.has(id)).pending().map(({ effect: { op, id, doc, version }, at }) =>
          ({ op, id, doc: doc ?? null, at: version?.madeAt ?? at })),
        forgetClient () {},
        log: { warn () {}, error () {} }
      })
      await process.decisions.start()
      host.living.push(process)
      return process
    },
    async die (process) {
      process.isDead = true
      fleet.leave(process.fleet)
      host.living.splice(host.living.indexOf(process), 1)
      await process.decisions.close()
    },
    async recover () {
      if (host.store.state !== 'up') return
      const isDead = ({ processId }: WrittenEvent): boolean => host.living.every(({ id }) => id !== processId)
      const store = storage.collection<Decision>(decisionCollection)
      await storage.collection(auditEvents).insertMany(host.events.filter(isDead).map(storedEvent))
      const effects = effectsOf(host.events, isDead)
      const chunk = effects.pending()
      const stored = await storedOf(storage, decisionCollection, chunk)
      for (const { pending: { effect: { op, id, doc } } } of await dueEffects({ storage, definition: decisionCollection, stored, chunk, effects })) {
        if (op === 'put') await store.put(doc as unknown as Decision)
        else await store.delete(id)
      }
      for (const { id } of host.events.filter(isDead)) host.brought.add(id)
      await reloadAll(host)
    }
  }
  t.teardown(async () => { for (const process of [...host.living]) await process.decisions.close() })
  for (let i = 0; i < 3; i++) await host.start()
  return host
}

async function reloadAll ({ living }: Host): Promise<void> {
  await Promise.all(living.map(({ decisions }) => decisions.load().catch(() => null)))
}

function journalOf (host: Host, process: Process): Audit {
  const write = (input: AuditInput): WrittenEvent => {
    const seq = host.events.length
    const event = { ...input, id: `${process.id}.${seq}`, at: host.clock.now(), processId: process.id, seq } as WrittenEvent
    host.events.push(event)
    return event
  }
  return {
    record: (input) => { write(input) },
    async durable (input) {
      await turns(1)
      return write(input)
    },
    healthy: () => true
  }
}

function effectsOf (events: readonly WrittenEvent[], isWanted: (event: WrittenEvent) => boolean): EffectSet {
  const effects = new EffectSet()
  for (const event of events) effects.add(event, isWanted(event))
  return effects
}

const isBlocked = ({ decisions }: Process, address: string): boolean => decisions.forAddress(address) !== null

t.test('blocks of an outage stand in all processes, and in new ones, when their maker dies in it', async (t) => {
  for (const state of ['away', 'locked'] as const) {
    const host = await openHost(t)
    const [maker, witness] = host.living as [Process, Process]
    const before = await maker.decisions.add(block('192.0.2.1'), person)
    await maker.decisions.settled()
    host.store.state = state
    await maker.decisions.add(block('192.0.2.2'), person)
    maker.decisions.addNow({ ...block('192.0.2.3'), ttlSeconds: 3600 }, { origin: 'playbook:X' })
    await maker.decisions.remove(before.id, 'user:anna')
    await turns()
    await host.die(maker)
    const late = await host.start()
    for (const one of [witness, late]) t.same([1, 2, 3].map((n) => isBlocked(one, `192.0.2.${n}`)), [false, true, true], `${state}: ${one.id}`)
    host.clock.advance(120_000)
    host.store.state = 'up'
    for (let i = 0; i < 3; i++) await reloadAll(host)
    await Promise.all(host.living.map(({ decisions }) => decisions.settled()))
    const later = await host.start()
    for (const one of host.living) t.same([2, 3].map((n) => isBlocked(one, `192.0.2.${n}`)), [true, true], `${state}: whoever holds them offers them to the store: ${one.id}`)
    await host.recover()
    await reloadAll(host)
    t.equal(isBlocked(later, '192.0.2.1'), false, `${state}: what was lifted stays lifted`)
  }
})

t.test('a server that starts without its store has in force what was brought into it before, too', async (t) => {
  for (const state of ['away', 'locked'] as const) {
    const host = await openHost(t)
    const [maker] = host.living as [Process]
    await maker.decisions.add(block('192.0.2.1'), person)
    const lifted = await maker.decisions.add(block('192.0.2.2'), person)
    await maker.decisions.remove(lifted.id, 'user:anna')
    maker.decisions.addNow({ ...block('192.0.2.3'), ttlSeconds: 3600 }, { origin: 'playbook:X' })
    await maker.decisions.settled()
    await turns()
    for (const one of [...host.living]) await host.die(one)
    await host.recover()
    host.store.state = state
    const started = await host.start()
    await until('the logs are read', () => isBlocked(started, '192.0.2.3'))
    t.same([1, 2, 3].map((n) => isBlocked(started, `192.0.2.${n}`)), [true, false, true], state)
    host.store.state = 'up'
    await reloadAll(host)
    t.same([1, 2, 3].map((n) => isBlocked(started, `192.0.2.${n}`)), [true, false, true], `${state}, and back`)
  }
})

t.test('a server that starts without its store has in force what its own logs hold', async (t) => {
  for (const state of ['away', 'locked'] as const) {
    const host = await openHost(t)
    const [maker] = host.living as [Process]
    const lifted = await maker.decisions.add(block('192.0.2.1'), person)
    await maker.decisions.settled()
    host.store.state = state
    await maker.decisions.add(block('192.0.2.2'), person)
    await maker.decisions.remove(lifted.id, 'user:anna')
    for (const one of [...host.living]) await host.die(one)
    const late = await host.start()
    t.same([1, 2].map((n) => isBlocked(late, `192.0.2.${n}`)), [false, true], state)
    host.store.state = 'up'
    await host.recover()
    t.same([1, 2].map((n) => isBlocked(late, `192.0.2.${n}`)), [false, true], `${state}: and keeps it when the store is back`)
  }
})

t.test('what was removed while messages were lost falls by the store, and what was never stored does not', async (t) => {
  let deaf = false
  const host = await openHost(t, { loses: () => deaf })
  const [here, there] = host.living as [Process, Process]
  const gone = await here.decisions.add(block('192.0.2.1'), person)
  await here.decisions.settled()
  await turns()
  host.store.state = 'locked'
  await here.decisions.add(block('192.0.2.2'), person)
  await turns()
  host.store.state = 'up'
  deaf = true
  await here.decisions.remove(gone.id, 'user:anna')
  await here.decisions.settled()
  await host.storage.collection(decisionCollection).deleteWhere({}, 100)
  host.clock.advance(60_000)
  await there.decisions.load()
  t.same([1, 2].map((n) => isBlocked(there, `192.0.2.${n}`)), [false, true])
})

t.test('the trail\'s index knows the removal of each decision that a removal ends', async (t) => {
  const host = await openHost(t)
  const [here, there] = host.living as [Process, Process]
  const made = await Promise.all([here.decisions.add(block('192.0.2.1', 60), person), there.decisions.add(block('192.0.2.1', 600), person), here.decisions.add(block('192.0.2.1', 7200), person)])
  await until('one stands in all', () => new Set(host.living.map(({ decisions }) => decisions.forAddress('192.0.2.1')?.id)).size === 1)
  const adds = host.events.filter(({ type }) => type === 'decision.add').map(({ details }) => String(details!.id))
  t.equal(new Set(adds).size, made.length)
  await here.decisions.remove(here.decisions.forAddress('192.0.2.1')!.id, 'user:anna')
  await host.storage.collection(auditEvents).insertMany(host.events.map(storedEvent))
  t.same([...(await removedOf(host.storage, adds)).keys()].sort(), adds.sort())
  const again = host.events.find(({ type }) => type === 'decision.remove')!
  await host.storage.collection(auditEvents).insert(storedEvent({ ...again, id: '0', effects: again.effects!.map((effect) => ({ ...effect, version: { madeAt: again.at + 5 } })) }))
  t.equal((await removedOf(host.storage, adds)).get(String(again.details!.id)), again.at + 5, 'the last removal counts')
})

t.test('a decision that is removed while it is renewed is not made again by a replay', async (t) => {
  const { living: [{ decisions }], events } = await openHost(t) as unknown as { living: [Process], events: WrittenEvent[] }
  const renewed = await decisions.add(block('192.0.2.1'), person)
  const removing = decisions.remove(renewed.id, 'user:anna')
  // The record of the removal is on its way.
  for (let i = 0; i < 20; i++) await null
  const [made] = await Promise.all([decisions.add(block('192.0.2.1'), person), removing])
  t.not(made.id, renewed.id)
  const effects = new EffectSet()
  for (const event of events) effects.add(event, true)
  t.same(effects.pending().map(({ effect: { op, id } }) => [op, id]), [['delete', renewed.id], ['put', made.id]])
})

t.test('of renewals at the same time, by one process or several, the longest is what a replay makes', async (t) => {
  for (const ttls of [[36_000, 18_000], [18_000, 36_000], [18_000, 36_000, 600, 72_000, 7_200]]) {
    const host = await openHost(t)
    const { id } = await host.living[0]!.decisions.add(block('192.0.2.1', 60), person)
    await turns()
    host.store.state = 'locked'
    const made = await Promise.all(ttls.map((ttl, i) => host.living[i % host.living.length]!.decisions.add(block('192.0.2.1', ttl), person)))
    t.same(new Set(made.map((one) => one.id)), new Set([id]))
    const expiresAt = host.clock.now() + Math.max(...ttls) * 1000
    for (const one of [...host.living]) await host.die(one)
    await host.start()
    t.equal(host.living[0]!.decisions.forAddress('192.0.2.1')?.expiresAt, expiresAt, `${ttls}: a start without the store`)
    host.store.state = 'up'
    await host.recover()
    t.equal((await host.storage.collection<Decision>(decisionCollection).get(id))?.expiresAt, expiresAt, `${ttls}: in the store`)
  }
})

t.test('a clock that is set back brings nothing back that was lifted, and shortens nothing that was renewed', async (t) => {
  for (const skewMs of [3_600_000, 5_000, -3_600_000]) {
    const host = await openHost(t)
    const [maker] = host.living as [Process]
    host.clock.advance(skewMs)
    const lifted = await maker.decisions.add(block('192.0.2.1', 7200), person)
    await maker.decisions.add(block('192.0.2.2', 7200), person)
    await maker.decisions.settled()
    await turns()
    await host.storage.collection(auditEvents).insertMany(host.events.map(storedEvent))
    host.clock.advance(-skewMs)
    host.store.state = 'locked'
    await maker.decisions.remove(lifted.id, 'user:anna')
    const renewed = await maker.decisions.add(block('192.0.2.2', 86_400), person)
    await turns()
    for (const one of [...host.living]) await host.die(one)
    await host.start()
    const ends = (): unknown[] => host.living.flatMap(({ decisions }) => [1, 2].map((n) => decisions.forAddress(`192.0.2.${n}`)?.expiresAt))
    t.same(ends(), [undefined, renewed.expiresAt], `${skewMs} ms: a start without the store`)
    host.store.state = 'up'
    await host.recover()
    await host.recover()
    await host.start()
    t.same(ends(), [undefined, renewed.expiresAt, undefined, renewed.expiresAt], `${skewMs} ms: once it is back`)
  }
})

t.test('a renewal never ends earlier than what it renews, whatever the store still has, and is taken over', async (t) => {
  const host = await openHost(t)
  const [maker, witness] = host.living as [Process, Process]
  await maker.decisions.add(block('192.0.2.1', 60), person)
  await maker.decisions.settled()
  host.store.state = 'locked'
  const renewed = await maker.decisions.add(block('192.0.2.1', 7200), person)
  await turns()
  await host.die(maker)
  const late = await host.start()
  host.store.state = 'up'
  await reloadAll(host)
  for (const one of [witness, late]) t.equal(one.decisions.forAddress('192.0.2.1')?.expiresAt, renewed.expiresAt)
})

t.test('a new process takes over more than one message holds, and goes on to the next sibling when one dies', async (t) => {
  const host = await openHost(t)
  const [maker] = host.living as [Process]
  host.store.state = 'away'
  for (let i = 0; i < 3_000; i++) maker.decisions.addNow({ ...block(`198.51.${i >> 8}.${i & 255}`), ttlSeconds: 3600 }, { origin: 'playbook:X' })
  await until('siblings have them', () => host.living.every(({ decisions }) => decisions.active().BLOCK === 3_000))
  host.events.length = 0
  const starting = host.start()
  await host.die(maker)
  const late = await starting
  t.equal(late.decisions.active().BLOCK, 3_000)
})

t.setTimeout(120_000)
const SEEDS = 4
const STEPS = 40

for (const isLossy of [false, true]) {
  t.test(`whatever dies, is away or restarts${isLossy ? ', and with messages lost' : ''}: what was acknowledged stands, and what was lifted does not`, async (t) => {
    // They mostly wait.
    await Promise.all(Array.from({ length: SEEDS }, (_, i) => playSequence(t, i + 1, isLossy)))
  })
}

/** The last acknowledged change of each address. */
type Model = Map<string, { isLifted: boolean, end: number }>

async function playSequence (t: Test, seed: number, isLossy: boolean): Promise<void> {
  const dice = createDice(seed)
  let mayLose = isLossy
  const host = await openHost(t, { loses: () => mayLose && dice.chance(0.15) })
  const model: Model = new Map()
  const lifted = new Set<string>()
  const liftedAddresses = new Set<string>()
  const told: string[] = []
  const steps: Record<string, () => Promise<void>> = {
    async add () {
      const address = `192.0.2.${dice.whole(0, 3)}`
      const made = await dice.pick(host.living).decisions.add(block(address, dice.pick([2, 40, 3600, null])), person)
      model.set(address, { isLifted: false, end: made.expiresAt ?? Infinity })
      told.push(`add ${address} ${made.id} until ${made.expiresAt}`)
    },
    async addNow () {
      const address = `198.51.100.${dice.whole(0, 3)}`
      const made = dice.pick(host.living).decisions.addNow({ ...block(address), ttlSeconds: dice.pick([2, 40, 3600]) }, { origin: 'playbook:X' })!
      // A process that has not heard of the removal prolongs what a person removed, whose word counts.
      if (!isLossy || !liftedAddresses.has(address)) model.set(address, { isLifted: false, end: made.expiresAt! })
      told.push(`addNow ${address} ${made.id} until ${made.expiresAt}`)
    },
    async lift () {
      const one = dice.pick(host.living)
      const address = dice.pick([...model.keys(), '192.0.2.0'])
      const found = one.decisions.forAddress(address)
      if (found === null) return
      await one.decisions.remove(found.id, 'user:bob')
      lifted.add(found.id)
      liftedAddresses.add(address)
      // Whoever has not heard of a newer one lifts an older one alone.
      if (!isLossy) model.set(address, { isLifted: true, end: 0 })
      else model.delete(address)
      told.push(`lift ${address} ${found.id} at ${one.id}`)
    },
    async die () {
      const one = dice.pick(host.living)
      await host.die(one)
      told.push(`die ${one.id}`)
      if (host.living.length === 0) await steps.start!()
    },
    async start () {
      if (host.living.length < 3) told.push(`start ${(await host.start()).id}`)
    },
    async store () {
      host.store.state = dice.pick(['up', 'up', 'locked', 'away'])
      told.push(host.store.state)
      if (host.store.state === 'up') await reloadAll(host)
    },
    async recover () {
      await host.recover()
      told.push('recover')
    },
    async reload () { await dice.pick(host.living).decisions.load().catch(() => null) },
    async wait () { host.clock.advance(dice.pick([500, 3_000, 45_000])) }
  }
  const names = ['add', 'add', 'add', 'addNow', 'addNow', 'lift', 'lift', 'die', 'start', 'start', 'store', 'recover', 'reload', 'wait']
  const wrong: string[] = []
  const check = (when: string, processes: Process[]): void => {
    for (const [address, { isLifted, end }] of model) {
      for (const one of processes) {
        if (end > host.clock.now() && !isBlocked(one, address)) wrong.push(`${when}: ${address} fell at ${one.id}`)
        if (isLifted && isBlocked(one, address)) wrong.push(`${when}: ${address} came back at ${one.id}`)
      }
    }
  }
  for (let i = 0; i < STEPS && wrong.length === 0; i++) {
    host.clock.advance(dice.whole(1, 200))
    await steps[dice.pick(names)]!()
    await turns()
    if (!isLossy) check(`step ${i}`, host.living)
  }
  mayLose = false
  host.store.state = 'up'
  if (host.living.length === 1) await host.start()
  const agree = (): boolean => new Set(host.living.map(({ decisions }) => JSON.stringify([...model.keys()].map((address) => String(decisions.forAddress(address)?.expiresAt))))).size === 1
  await host.recover()
  await until('all agree', () => {
    host.clock.advance(100)
    return agree()
  }).catch((error: Error) => wrong.push(error.message))
  check('agreed', host.living)
  host.clock.advance(60_000)
  for (let i = 0; i < 2; i++) {
    await reloadAll(host)
    await Promise.all(host.living.map(({ decisions }) => decisions.settled()))
  }
  check('after a minute', host.living)
  // The store alone.
  const ids = [...lifted]
  const inStore = await host.storage.collection<Decision>(decisionCollection).getMany(ids)
  for (const one of [...host.living]) await host.die(one)
  host.events.length = 0
  const alone = await host.start()
  check('from the store alone', [alone])
  if (isLossy) for (const { id } of inStore) if (alone.decisions.forAddress((await alone.decisions.get(id))!.value)?.id === id && lastAdd(told, id) < lastLift(told, id)) wrong.push(`${id} was lifted and is in the store`)
  t.same(wrong, [], `seed ${seed}${wrong.length > 0 ? `\n${told.join('\n')}` : ''}`)
}

const lastAdd = (told: string[], id: string): number => told.findLastIndex((line) => line.startsWith('add') && line.includes(id))
const lastLift = (told: string[], id: string): number => told.findLastIndex((line) => line.startsWith('lift') && line.includes(id))
