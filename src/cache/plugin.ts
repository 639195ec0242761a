import fp from 'fastify-plugin'
import { BREAKER_STATE_VALUE } from '../std/breaker.ts'
import { createCache, type Cache, type CacheStats } from './cache.ts'
import { createRedisLayer, type Codec } from './redis-layer.ts'
import { createRedisLink, type RedisLink } from './redis-link.ts'

/**
 * The named caches of this process, as `app.caches`: each is opened once by the room whose answers it keeps.
 *
 * Behind their memory stands Redis where there is one: CACHE_REDIS_URL, else REDIS_URL. What they hold of others, and
 * how it is forgotten, stands in cache.ts and redis-layer.ts.
 */
interface Caches {
  /** Once for each name. `staleAllowed`: as cache.ts has it. */
  open<V> (options: { name: string, codec: Codec<V>, staleAllowed: () => boolean }): Cache<V>
  stats (): NamedStats[]
  /** Whatever hangs on one of these references in any of them, in every process; null: all. As cache.ts has it. */
  forget (references: readonly string[] | null): Promise<void>
  /** The cache of that name, or all (null). False: there is none of that name. */
  clear (name: string | null): Promise<boolean>
}

type NamedStats = CacheStats & { name: string }

declare module 'fastify' {
  interface FastifyInstance { caches: Caches }
}

export default fp(async (app) => {
  const { config, clock, fleet, log, metrics } = app
  const opened = new Map<string, Cache<unknown>>()
  const url = config.cacheRedisUrl ?? config.redisUrl
  let link: RedisLink | null = null

  function linkOnce (): RedisLink | null {
    if (url === null || link !== null) return link
    link = createRedisLink({
      url,
      clock,
      log,
      onState: (state) => metrics.breakerState.set({ name: 'cache' }, BREAKER_STATE_VALUE[state])
    })
    return link
  }

  app.decorate('caches', {
    open ({ name, codec, staleAllowed }) {
      const shared = linkOnce()
      const database = config.mongodbDatabase
      const layer = shared === null ? null : createRedisLayer({ link: shared, database, name, codec, clock, log })
      const cache = createCache({ name, clock, fleet, layer, staleAllowed })
      opened.set(name, cache as Cache<unknown>)
      return cache
    },
    stats: () => [...opened.values()].map((cache) => ({ name: cache.name, ...cache.stats() })),
    async forget (references) {
      const forgetting = [...opened.values()].map((cache) =>
        references === null ? cache.clear() : cache.invalidate(references))
      await Promise.all(forgetting)
    },
    async clear (name) {
      const named = name === null ? [...opened.values()] : [opened.get(name)].filter((cache) => cache !== undefined)
      await Promise.all(named.map((cache) => cache.clear()))
      return named.length > 0
    }
  })
  app.addHook('onClose', async () => {
    for (const cache of opened.values()) cache.close()
    await link?.close()
  })
}, { name: 'cache', dependencies: ['config', 'clock', 'fleet', 'metrics'] })
