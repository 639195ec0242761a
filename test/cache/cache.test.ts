import t from 'tap'
import type { SharedLayer } from '../../src/cache/layer.ts'
import { createRedisLayer, type Codec } from '../../src/cache/redis-layer.ts'
import { turns } from '../time.ts'
import { createFakeRedis } from './fake-redis.ts'
import { cacheRoom, computed, held } from './room.ts'

const silent = { info: () => {}, warn: () => {} }
const codec: Codec<unknown> = {
  encode: (value) => ({ about: value as string, body: Buffer.alloc(0) }),
  decode: (value) => ({ value, bytes: 10 })
}

t.test('an answer is computed once and read at once until its time is over', async (t) => {
  const { clock, open } = cacheRoom(t)
  const cache = open()
  t.equal(cache.peek('key'), undefined)
  t.match(await cache.load('key', async () => computed('value')), { status: 'MISS', value: 'value' })
  clock.advance(59_999)
  t.match(cache.peek('key'), { value: 'value', freshForMs: 60_000 })
  t.match(await cache.load('key', async () => { throw new Error('not asked') }), { status: 'HIT', ageMs: 59_999 })
  clock.advance(1)
  t.equal(cache.peek('key'), undefined)
  t.match(await cache.load('key', async () => computed('next')), { status: 'MISS', value: 'next' })
  t.match(cache.stats(), { entries: 1, hits: 1, misses: 2, stale: 0 }, 'what was looked at counts when it is given')
  cache.countHit()
  t.match(cache.stats(), { hits: 2 })
})

t.test('null, 0, empty, false and undefined are answers as any other', async (t) => {
  const { open } = cacheRoom(t)
  const cache = open()
  for (const [key, value] of [null, 0, '', false, undefined, NaN, 0n].entries()) {
    await cache.load(String(key), async () => computed(value))
    t.equal((await cache.load(String(key), async () => computed('computed again'))).status, 'HIT', String(value))
    t.same(cache.peek(String(key))?.value, value)
  }
})

t.test('a stampede of 500 makes one computation', async (t) => {
  const { open } = cacheRoom(t)
  const cache = open()
  const { compute, begun, end } = held()
  const all = Array.from({ length: 500 }, () => cache.load('key', compute))
  await turns()
  end(computed('value'))
  t.same(new Set((await Promise.all(all)).map(({ value }) => value)), new Set(['value']))
  t.equal(begun(), 1)
})

t.test('a failure reaches all who waited for it and is never kept', async (t) => {
  const { open } = cacheRoom(t)
  const cache = open()
  const { compute, begun, fail } = held()
  const all = Array.from({ length: 10 }, () => cache.load('key', compute))
  await turns()
  fail(new Error('on purpose'))
  t.ok((await Promise.allSettled(all)).every(({ status }) => status === 'rejected'))
  t.equal(begun(), 1)
  t.equal(cache.stats().entries, 0)
  t.match(await cache.load('key', async () => computed('value')), { status: 'MISS', value: 'value' })
})

t.test('an invalidation is exact, and reaches the siblings before it resolves', async (t) => {
  const { open } = cacheRoom(t)
  const caches = [open(), open(), open()]
  for (const cache of caches) {
    await cache.load('a', async () => computed('a', { references: ['actor:1', 'counts'] }))
    await cache.load('b', async () => computed('b', { references: ['actor:2', 'counts'] }))
  }
  await caches[0]!.invalidate(['actor:1'])
  t.same(caches.map((cache) => cache.peek('a')), [undefined, undefined, undefined])
  t.same(caches.map((cache) => cache.peek('b')?.value), ['b', 'b', 'b'])
  await caches[1]!.clear()
  t.same(caches.map((cache) => cache.stats().entries), [0, 0, 0])
})

t.test('what must not be kept is not, and those who waited compute for themselves', async (t) => {
  const { open } = cacheRoom(t)
  for (const about of [{ keep: false }, { freshForMs: 0 }, { freshForMs: -1 }, { freshForMs: NaN }]) {
    const cache = open()
    await cache.load('key', async () => computed('value', about))
    t.equal(cache.stats().entries, 0, JSON.stringify(about))
  }
  for (const isAnswer of [true, false]) {
    const cache = open()
    const { compute, begun, end } = held()
    const all = Array.from({ length: 3 }, () => cache.load('key', compute))
    await turns()
    end(computed('partial', { keep: false, isAnswer }))
    await turns()
    end(computed('partial', { keep: false, isAnswer }))
    t.same((await Promise.all(all)).map(({ status }) => status), ['MISS', 'MISS', 'MISS'])
    t.equal(begun(), 3)
    t.equal(cache.stats().misses, isAnswer ? 3 : 0, 'an error is no miss')
  }
})

t.test('whoever waits longer than three seconds for another computes for itself', async (t) => {
  const { clock, open } = cacheRoom(t)
  const cache = open()
  const hanging = held()
  const first = cache.load('key', hanging.compute)
  const waiting = cache.load('key', async () => computed('by itself'))
  clock.advance(2_999)
  await turns()
  t.equal(cache.stats().misses, 0)
  clock.advance(1)
  t.equal((await waiting).value, 'by itself')
  t.equal((await cache.load('key', hanging.compute)).value, 'by itself', 'kept')
  hanging.end(computed('late'))
  t.equal((await first).value, 'late')
})

t.test('a flight that hangs is not joined after three seconds', async (t) => {
  const { clock, open } = cacheRoom(t)
  const cache = open()
  const hanging = held()
  const first = cache.load('key', hanging.compute)
  clock.advance(3_000)
  t.equal((await cache.load('key', async () => computed('next'))).value, 'next')
  hanging.fail(new Error('on purpose'))
  await t.rejects(first)
  t.equal(cache.peek('key')?.value, 'next')
})

t.test('beyond a thousand keys at once each computes for itself', async (t) => {
  const { open } = cacheRoom(t)
  const cache = open()
  const { compute, begun, end } = held()
  const all = Array.from({ length: 1_100 }, (_, i) => cache.load(String(i), compute))
  const again = [cache.load('0', compute), cache.load('1099', compute)]
  await turns()
  t.equal(begun(), 1_101)
  end(computed('value'))
  await Promise.all([...all, ...again])
})

t.test('a compute that throws at once rejects, as any', async (t) => {
  const { open } = cacheRoom(t)
  const cache = open()
  await t.rejects(cache.load('key', () => { throw new Error('on purpose') }), { message: 'on purpose' })
  t.equal((await cache.load('key', async () => computed('value'))).value, 'value')
})

t.test('an old answer stands in for an error: while it may, for its time, and never after an invalidation', async (t) => {
  const { clock, open } = cacheRoom(t)
  let isAllowed = true
  const cache = open({ staleAllowed: () => isAllowed })
  const failing = async (): Promise<never> => { throw new Error('the store is away') }
  await cache.load('key', async () => computed('old', { references: ['x'], freshForMs: 1_000, staleForMs: 10_000 }))
  clock.advance(1_000)
  t.match(await cache.load('key', failing), { status: 'STALE', value: 'old', ageMs: 1_000 })
  const all = await Promise.all(Array.from({ length: 5 }, () => cache.load('key', failing)))
  t.same(all.map(({ status }) => status), Array(5).fill('STALE'), 'those who waited as well')
  t.equal(cache.peek('key'), undefined, 'it is not fresh for that')
  isAllowed = false
  await t.rejects(cache.load('key', failing))
  isAllowed = true
  clock.advance(10_000)
  await t.rejects(cache.load('key', failing), 'its time is over')

  await cache.load('key', async () => computed('old', { references: ['x'], freshForMs: 1_000, staleForMs: 10_000 }))
  clock.advance(1_000)
  const { compute, fail } = held()
  const loading = cache.load('key', compute)
  await cache.invalidate(['x'])
  fail(new Error('the store is away'))
  await t.rejects(loading)
})

t.test('while other hosts are not heard an answer is fresh for a second, and then what was held goes', async (t) => {
  const { clock, hub, open } = cacheRoom(t)
  let isUp = true
  hub.setBridge({ hostId: 'here', isUp: () => isUp, send: () => {}, hosts: () => new Map(), close: async () => {} })
  const cache = open()
  const load = async (): Promise<string> => (await cache.load('key', async () => computed('value'))).status
  await load()
  clock.advance(5_000)
  t.equal(await load(), 'HIT')
  isUp = false
  clock.advance(250)
  t.equal(await load(), 'MISS')
  clock.advance(999)
  t.equal(await load(), 'HIT')
  clock.advance(1)
  t.equal(await load(), 'MISS')
  isUp = true
  clock.advance(250)
  t.equal(cache.stats().entries, 0, 'what was not heard is not known')
  t.equal(await load(), 'MISS')
  clock.advance(59_999)
  t.equal(await load(), 'HIT')
})

t.test('what was read while the hosts were not heard is not kept when they are heard again', async (t) => {
  const { clock, hub, open } = cacheRoom(t)
  let isUp = false
  hub.setBridge({ hostId: 'here', isUp: () => isUp, send: () => {}, hosts: () => new Map(), close: async () => {} })
  const cache = open()
  const { compute, end } = held()
  const loading = cache.load('key', compute)
  isUp = true
  clock.advance(250)
  end(computed('value'))
  await loading
  t.equal(cache.stats().entries, 0)
})

t.test('what is made beside an answer counts with it', async (t) => {
  const { open } = cacheRoom(t)
  const cache = open({ bytesMax: 160_000 })
  const value = { body: 'x' }
  await cache.load('key', async () => computed(value))
  const { bytes } = cache.stats()
  t.equal(cache.grow('key', value, 1_000), true)
  t.equal(cache.stats().bytes, bytes + 1_000)
  t.equal(cache.grow('key', value, 10_000), false)
  t.equal(cache.stats().bytes, bytes + 1_000)
})

t.test('times are bounded: nothing outlives the marks of its invalidations', async (t) => {
  const { clock, open } = cacheRoom(t)
  const cache = open({ staleAllowed: () => true })
  await cache.load('key', async () => computed('value', { freshForMs: 1e12, staleForMs: 1e12 }))
  clock.advance(86_400_000)
  t.equal(cache.peek('key'), undefined)
  clock.advance(3_600_000)
  await t.rejects(cache.load('key', async () => { throw new Error('on purpose') }))
})

t.test('an invalidation that Redis takes late is told again: another host may have read the old answer meanwhile', async (t) => {
  const { clock, hub, open } = cacheRoom(t)
  const far = cacheRoom(t, clock)
  let isLost = true
  for (const [here, there, hostId] of [[hub, far.hub, 'here'], [far.hub, hub, 'there']] as const) {
    here.setBridge({ hostId, isUp: () => true, send: (envelope) => { if (!isLost) there.fromBridge(envelope) }, hosts: () => new Map(), close: async () => {} })
  }
  let takesMarks = true
  const redis = createFakeRedis({ step: async () => {}, fate: (what) => what === 'mark' && !takesMarks ? 'is lost' : 'arrives' })
  const layer = (): SharedLayer<unknown> => createRedisLayer<unknown>({ link: redis.link(), database: 'test', name: 'answers', codec, clock, log: silent })
  const [a, b] = [open({ layer: layer() }), far.open({ layer: layer() })]
  await a.load('key', async () => computed('old', { references: ['x'] }))
  await turns()
  takesMarks = false
  redis.pass(1_000)
  await a.invalidate(['x'])
  isLost = false
  t.equal((await b.load('key', async () => computed('new'))).value, 'old', 'it has not heard of it, and Redis neither')
  takesMarks = true
  clock.advance(100)
  await turns()
  t.equal(b.peek('key'), undefined)
  redis.pass(1_000)
  t.equal((await b.load('key', async () => computed('new', { references: ['x'] }))).value, 'new')
})

t.test('what was told into a way that only seemed open is made good when it is known to open again', async (t) => {
  const { clock, hub, open } = cacheRoom(t)
  const far = cacheRoom(t, clock)
  let isLost = false
  let isUp = true
  hub.setBridge({ hostId: 'here', isUp: () => isUp, send: (envelope) => { if (!isLost) far.hub.fromBridge(envelope) }, hosts: () => new Map(), close: async () => {} })
  far.hub.setBridge({ hostId: 'there', isUp: () => true, send: () => {}, hosts: () => new Map(), close: async () => {} })
  const [a, b] = [open(), far.open()]
  await b.load('key', async () => computed('old', { references: ['x'] }))
  isLost = true
  await a.invalidate(['x'])
  clock.advance(4_000)
  isUp = false
  clock.advance(4_000)
  t.equal(b.peek('key')?.value, 'old', 'nothing has reached it')
  isLost = false
  isUp = true
  clock.advance(250)
  t.equal(b.peek('key'), undefined)
})
