import fc from 'fast-check'
import { createCache } from '../../src/cache/cache.ts'
import type { Cache } from '../../src/cache/port.ts'
import { createRedisLayer, type Codec } from '../../src/cache/redis-layer.ts'
import { createFleetEndpoint } from '../../src/fleet/endpoint.ts'
import { createFleetHub, type FleetHub } from '../../src/fleet/hub.ts'
import { createTestClock, type TestClock } from '../../src/std/clock.ts'
import { scaled } from '../scale.ts'
import { turns } from '../time.ts'
import { createFakeRedis, type Fate, type FakeRedis } from './fake-redis.ts'
import { cacheRoom, computed } from './room.ts'

/**
 * In whatever order things happen: no read that began after an invalidation resolved sees what was there before it.
 * Values are the versions of what they were read from, so that an old one is seen at once.
 */
const RUNS = scaled(1_000, 50_000)
const silent = { error: () => {}, warn: () => {}, info: () => {} }

/** Every order of the steps in which none is before the one that it needs. */
function * ordersOf (steps: readonly string[], needs: (step: string) => string | undefined, order: string[] = []): Generator<string[]> {
  if (steps.length === 0) yield order
  for (const step of new Set(steps)) {
    const needed = needs(step)
    if (needed !== undefined && !order.includes(needed)) continue
    yield * ordersOf(steps.toSpliced(steps.indexOf(step), 1), needs, [...order, step])
  }
}

type Versions = Record<string, number>
interface Process { cache: Cache<Versions>, isWatched: boolean }
interface World { clock: TestClock, redis: FakeRedis, step: (what: string) => Promise<unknown>, wrong: string[] }

/** What each key is read from. */
const SOURCES: Readonly<Record<string, readonly string[]>> = { both: ['x', 'y'], x: ['x'], y: ['y'] }

const codec: Codec<Versions> = {
  encode: (value) => ({ about: value, body: Buffer.alloc(0) }),
  decode: (about) => ({ value: about as Versions, bytes: 10 })
}

/** A process whose messages travel in steps as well, each after the one before it. */
function openProcess ({ clock, redis, step }: World, processId: string, hub: FleetHub): Process {
  const endpoint = createFleetEndpoint({
    processId,
    slot: 0,
    primaryId: null,
    clock,
    log: silent,
    processCount: () => hub.processCount(),
    bridgeUp: () => null,
    send (envelope) { up = up.then(() => step(`${processId} sends`)).then(() => hub.fromMember(envelope)) }
  })
  let up: Promise<unknown> = Promise.resolve()
  let down: Promise<unknown> = Promise.resolve()
  hub.join(processId, (envelope) => { down = down.then(() => step(`${processId} hears`)).then(() => endpoint.deliver(envelope)) })
  const layer = createRedisLayer<Versions>({ link: redis.link(), database: 'test', name: 'versions', codec, clock, log: silent })
  const cache = createCache<Versions>({ name: 'versions', clock, fleet: endpoint, layer, staleAllowed: () => false })
  return { cache, isWatched: true }
}

type Operation =
  | { what: 'read', process: number, key: string }
  | { what: 'write', process: number, source: string }
  | { what: 'clear', process: number }
  | { what: 'restart', process: number }
  /** Whoever wrote, or its sibling, reads as soon as it was told that it is written. */
  | { what: 'write and read', process: number, source: string, reader: number }
interface Round { operations: Operation[], passMs: number }

const operations: fc.Arbitrary<Operation[]> = fc.array(fc.oneof(
  { weight: 5, arbitrary: fc.record({ what: fc.constant('read' as const), process: fc.nat({ max: 2 }), key: fc.constantFrom('both', 'x', 'y') }) },
  { weight: 3, arbitrary: fc.record({ what: fc.constant('write' as const), process: fc.nat({ max: 1 }), source: fc.constantFrom('x', 'y') }) },
  { weight: 1, arbitrary: fc.record({ what: fc.constant('clear' as const), process: fc.nat({ max: 1 }) }) },
  { weight: 1, arbitrary: fc.record({ what: fc.constant('restart' as const), process: fc.constant(0) }) },
  { weight: 3, arbitrary: fc.record({ what: fc.constant('write and read' as const), process: fc.nat({ max: 1 }), source: fc.constantFrom('x', 'y'), reader: fc.nat({ max: 1 }) }) }
), { minLength: 1, maxLength: 4 })

/** Several at once, then everything comes to rest, then time passes. */
const rounds: fc.Arbitrary<Round[]> = fc.array(fc.record({ operations, passMs: fc.constantFrom(0, 1, 1, 1, 30, 150, 2_500, 40_000) }), { minLength: 2, maxLength: 12, size: 'max' })

/** What may become of commands, by the name of the test. */
const FATES: Readonly<Record<string, (of: (what: string) => Fate) => (what: string) => Fate>> = {
  'which answers': () => () => 'arrives',
  'which loses commands and replies or carries them out late': (any) => any,
  'which takes no mark of an invalidation, then late': (any) => (what) => what === 'mark' ? any(what) === 'late' ? 'arrives' : 'is lost' : 'arrives'
}
const anyFate = fc.infiniteStream(fc.constantFrom<Fate>('arrives', 'arrives', 'arrives', 'is lost', 'reply is lost', 'late'))

/**
 * Two processes of one host, and one of a host whose messages never arrive: what that one puts into Redis must not harm
 * the others. What the two wrote they read.
 */
async function live (s: fc.Scheduler, fate: (what: string) => Fate, plan: Round[]): Promise<string[]> {
  const clock = createTestClock()
  const step = (what: string): Promise<unknown> => s.schedule(Promise.resolve(), what)
  const world: World = { clock, redis: createFakeRedis({ step, fate }), step, wrong: [] }
  const hub = createFleetHub(clock)
  const processes = [openProcess(world, 'a', hub), openProcess(world, 'b', hub), openProcess(world, 'far', createFleetHub(clock))]
  processes[2]!.isWatched = false
  const versions: Versions = { x: 0, y: 0 }
  const floors: Versions = { x: 0, y: 0 }

  async function read ({ cache, isWatched }: Process, key: string): Promise<void> {
    const sources = SOURCES[key]!
    const least = { ...floors }
    const value = cache.peek(key)?.value ?? (await cache.load(key, async () => {
      await step('compute reads')
      const value = Object.fromEntries(sources.map((source) => [source, versions[source]!]))
      await step('compute ends')
      return { value, bytes: 10, references: sources, freshForMs: 30_000, staleForMs: 0, keep: true, isAnswer: true }
    })).value
    if (Object.keys(value).join() !== sources.join()) world.wrong.push(`${key} got another key's answer`)
    for (const source of sources) {
      if (isWatched && value[source]! < least[source]!) world.wrong.push(`${key}: ${source} ${value[source]} < ${least[source]}`)
    }
  }

  async function write ({ cache }: Process, source: string): Promise<void> {
    const version = ++versions[source]!
    await cache.invalidate([source])
    floors[source] = Math.max(floors[source]!, version)
  }

  async function clear ({ cache }: Process): Promise<void> {
    const now = { x: ++versions.x!, y: ++versions.y! }
    await cache.clear()
    for (const source of ['x', 'y'] as const) floors[source] = Math.max(floors[source]!, now[source])
  }

  async function act (one: Operation): Promise<void> {
    const process = processes[one.process]!
    if (one.what === 'read') await read(process, one.key)
    else if (one.what === 'clear') await clear(process)
    else if (one.what === 'restart') world.redis.restart()
    else await write(process, one.source)
    if (one.what === 'write and read') await Promise.all([read(processes[one.reader]!, 'both'), read(processes[one.reader]!, one.source)])
  }

  const all: Array<Promise<void>> = []
  for (const { operations, passMs } of plan) {
    for (const [i, one] of operations.entries()) {
      all.push(step(`operation ${i}`).then(() => {
        world.redis.pass(i % 2)
        return act(one)
      }))
    }
    await s.waitIdle()
    clock.advance(passMs)
    world.redis.pass(passMs * 1000)
  }
  let isOver = false
  const over = Promise.all(all).then(() => { isOver = true })
  for (let i = 0; !isOver && i < 200; i++) {
    await s.waitIdle()
    await turns(1)
    clock.advance(500)
    world.redis.pass(500_000)
  }
  if (!isOver) return ['it never ended']
  await over
  for (const { cache } of processes) cache.close()
  return world.wrong
}

const found = new Map<string, { failed: boolean, report: string }>()
for (const [redis, fates] of Object.entries(FATES)) {
  const details = await fc.check(fc.asyncProperty(fc.scheduler(), anyFate, rounds, async (s, any, plan) => {
    const wrong = await live(s, fates(() => any.next().value as Fate), plan)
    if (wrong.length > 0) throw new Error(wrong.join('\n'))
  }), { numRuns: RUNS })
  found.set(redis, { failed: details.failed, report: fc.defaultReportMessage(details) ?? '' })
}

// Only now: tap follows every promise that is made beside it, which makes those above several times as dear.
const { default: t } = await import('tap')

t.test('one process: every order of three loads, their ends and two invalidations', async (t) => {
  const steps = ['begin 0', 'begin 1', 'begin 2', 'end 0', 'end 1', 'end 2', 'invalidate', 'invalidate']
  let orders = 0
  for (const order of ordersOf(steps, (step) => step.startsWith('end') ? `begin ${step.at(-1)}` : undefined)) {
    orders++
    const seen = await play(order)
    if (seen.some(({ value, floor }) => value < floor)) t.fail(`${order.join(', ')}: ${JSON.stringify(seen)}`)
  }
  t.equal(orders, 2_520, 'all there are')

  async function play (order: readonly string[]): Promise<Array<{ value: number, floor: number }>> {
    const cache = cacheRoom({ teardown: () => {} }).open()
    const ends = new Map<string, () => void>()
    const reads: Array<Promise<{ value: number, floor: number }>> = []
    let version = 0
    const read = async (until?: Promise<void>): Promise<{ value: number, floor: number }> => {
      const floor = version
      const { value } = await cache.load('key', async () => {
        const read = version
        await until
        return computed(read, { references: ['x'] })
      })
      return { value: value as number, floor }
    }
    for (const step of order) {
      if (step === 'invalidate') {
        version++
        await cache.invalidate(['x'])
      } else if (step.startsWith('begin')) {
        const { promise, resolve } = Promise.withResolvers<void>()
        ends.set(step.at(-1)!, resolve)
        reads.push(read(promise))
      } else ends.get(step.at(-1)!)!()
      await turns(2)
    }
    return [...await Promise.all(reads), await read()]
  }
})

for (const [redis, { failed, report }] of found) {
  t.test(`two processes and a Redis ${redis}: whatever the order`, (t) => {
    t.notOk(failed, report)
    t.end()
  })
}
