import t from 'tap'
import { turns } from '../time.ts'
import { cacheRoom, computed, held } from './room.ts'

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
  t.match(cache.stats(), { entries: 1, hits: 2, misses: 2, stale: 0 })
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
