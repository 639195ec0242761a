import t, { type Test } from 'tap'
import { createCache, type Cache, type Computed } from '../../src/cache/cache.ts'
import { createRedisLayer, type Codec } from '../../src/cache/redis-layer.ts'
import { createRedisLink } from '../../src/cache/redis-link.ts'
import { createFleetHub } from '../../src/fleet/hub.ts'
import { createLocalFleet } from '../../src/fleet/local.ts'
import { systemClock } from '../../src/std/clock.ts'
import type { Json } from '../../src/std/json.ts'
import { skipWithoutRedis, startRedis } from '../services/redis.ts'
import { until } from '../time.ts'
import { computed, held } from './room.ts'

const skip = skipWithoutRedis
const silent = { error: () => {}, warn: () => {}, info: () => {} }

/** Values that JSON carries. */
const codec: Codec<unknown> = {
  encode: (value) => ({ about: null, body: Buffer.from(JSON.stringify({ value })) }),
  decode: (_about, body) => ({ value: (JSON.parse(Buffer.from(body).toString()) as { value: unknown }).value, bytes: body.length })
}

interface Host { cache: Cache<unknown>, lines: string[] }

let processes = 0

/** A process of a host of its own: it shares Redis with the others and nothing else. */
async function host (t: Test, url: string, database = 'test'): Promise<Host> {
  const lines: string[] = []
  const log = { info: (_: unknown, line?: string) => { lines.push(line ?? String(_)) }, warn: (_: unknown, line?: string) => { lines.push(line ?? String(_)) } }
  const hub = createFleetHub(systemClock)
  const fleet = createLocalFleet({ processId: `process${processes++}`, clock: systemClock, log: silent, hub })
  const link = createRedisLink({ url, clock: systemClock, log })
  const layer = createRedisLayer({ link, database, name: 'answers', codec, clock: systemClock, log })
  const cache = createCache<unknown>({ name: 'answers', clock: systemClock, fleet, layer, staleAllowed: () => false })
  t.teardown(() => {
    cache.close()
    link.close()
  })
  return { cache, lines }
}

async function hosts (t: Test, url: string, count = 2): Promise<Host[]> {
  const all = await Promise.all(Array.from({ length: count }, () => host(t, url)))
  for (const { lines } of all) await until('Redis is there', () => lines.length > 0)
  return all
}

const unwanted = async (): Promise<Computed<unknown>> => { throw new Error('computed though it was there') }

t.test('what one process computed the other finds, with what is left of its time', { skip }, async (t) => {
  const { url } = await startRedis(t)
  const [a, b] = await hosts(t, url)
  for (const [key, value] of [null, 0, '', false, [], 'text', { deep: ['é', '\u0000'] }].entries()) {
    await a!.cache.load(String(key), async () => computed(value as Json, { references: ['x'] }))
    const answer = await until200(() => b!.cache.load(String(key), unwanted))
    t.match(answer, { status: 'HIT' })
    t.same(answer.value, value)
    t.ok(answer.ageMs >= 0 && answer.ageMs < 10_000)
  }
})

/** What was written is there a moment later. */
async function until200<T> (load: () => Promise<T>): Promise<T> {
  for (let tries = 0; ; tries++) {
    try {
      return await load()
    } catch (error) {
      if (tries > 200) throw error
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  }
}

t.test('a stampede of 500 over two processes makes one computation in all', { skip }, async (t) => {
  const { url } = await startRedis(t)
  const all = await hosts(t, url)
  const { compute, begun, end } = held()
  const loads = Array.from({ length: 500 }, (_, i) => all[i % 2]!.cache.load('key', compute))
  await until('one of them computes', () => begun() > 0)
  await new Promise((resolve) => setTimeout(resolve, 200))
  end(computed('value'))
  t.same(new Set((await Promise.all(loads)).map(({ value }) => value)), new Set(['value']))
  t.equal(begun(), 1)
})
