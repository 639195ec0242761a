import t from 'tap'
import { createFindingsCache } from '../../src/threads/findings-cache.ts'

t.test('keeps what is asked for again and stays below its bound', async (t) => {
  const cache = createFindingsCache<number>({ maxBytes: 100_000, entryBytes: 400 })
  cache.set('kept', 1)
  for (let i = 0; i < 10_000; i++) {
    cache.set(`content ${i} ${'x'.repeat(100)}`, i)
    if (i % 50 === 0) t.equal(cache.get('kept'), 1)
    if (cache.bytes() > 100_000) t.fail(`${cache.bytes()} bytes`)
  }
  t.equal(cache.get(`content 0 ${'x'.repeat(100)}`), undefined)
  t.ok(cache.bytes() > 20_000)
})

t.test('one content larger than a quarter of the bound is not kept', async (t) => {
  const cache = createFindingsCache<number>({ maxBytes: 1_000, entryBytes: 400 })
  cache.set('x'.repeat(400), 1)
  t.equal(cache.get('x'.repeat(400)), undefined)
  t.equal(cache.bytes(), 0)
})

t.test('clear forgets all', async (t) => {
  const cache = createFindingsCache<number>({ maxBytes: 10_000, entryBytes: 400 })
  cache.set('a', 1)
  cache.clear()
  t.equal(cache.get('a'), undefined)
})
