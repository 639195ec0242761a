import t from 'tap'
import Fastify from 'fastify'
import fp from 'fastify-plugin'
import plugin from '../../src/cache/plugin.ts'
import type { Codec } from '../../src/cache/redis-layer.ts'
import { loadConfig } from '../../src/config/config.ts'
import { createFleetHub } from '../../src/fleet/hub.ts'
import { createLocalFleet } from '../../src/fleet/local.ts'
import { createTestClock } from '../../src/std/clock.ts'
import { createMetrics } from '../../src/telemetry/metrics.ts'
import { computed } from './room.ts'

const log = { error: () => {}, warn: () => {} }
const codec: Codec<unknown> = { encode: () => null, decode: () => null }

t.test('the named caches of a process are looked at, counted and emptied by name', async (t) => {
  const clock = createTestClock()
  const metrics = createMetrics({ defaults: false })
  const app = Fastify()
  const parts = { config: loadConfig({}), clock, metrics, fleet: createLocalFleet({ processId: 'one', clock, log, hub: createFleetHub(clock) }) }
  for (const [name, part] of Object.entries(parts)) await app.register(fp(async () => { app.decorate(name as 'config', part as never) }, { name }))
  await app.register(plugin)
  const [first, second] = ['first', 'second'].map((name) => app.caches.open<unknown>({ name, codec, staleAllowed: () => false }))
  t.throws(() => app.caches.open({ name: 'first', codec, staleAllowed: () => false }))
  for (const cache of [first!, second!]) {
    await cache.load('key', async () => computed('value'))
    await cache.load('key', async () => computed('not asked'))
    t.ok(cache.peek('key'))
    cache.countHit()
  }
  t.match(app.caches.stats(), [{ name: 'first', entries: 1, hits: 2, misses: 1 }, { name: 'second', entries: 1 }])
  const shown = async (): Promise<string[]> => (await metrics.registry.metrics()).split('\n').filter((line) => line.startsWith('neko_cache_requests_total{cache="first"'))
  clock.advance(1_000)
  t.same(await shown(), ['neko_cache_requests_total{cache="first",result="hit"} 2', 'neko_cache_requests_total{cache="first",result="miss"} 1', 'neko_cache_requests_total{cache="first",result="stale"} 0'])
  t.same(await app.caches.clear('first'), ['first'])
  t.same(app.caches.stats().map(({ entries }) => entries), [0, 1])
  t.same(await app.caches.clear('unknown'), [])
  t.same(await app.caches.clear(), ['first', 'second'])
  await first!.load('key', async () => computed('value'))
  await app.close()
  t.match(await shown(), [/hit"\} 2/, /miss"\} 2/, /stale"\} 0/], 'what was counted last is not lost')
})
