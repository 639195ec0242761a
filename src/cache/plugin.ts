import fp from 'fastify-plugin'
import { BREAKER_STATE_VALUE } from '../std/breaker.ts'
import type { Logger } from '../telemetry/logger.ts'
import { createCaches, type Caches } from './caches.ts'

declare module 'fastify' {
  interface FastifyInstance { cache: Caches }
}

/**
 * The named caches as `app.cache`, joined through CACHE_REDIS_URL, else REDIS_URL, else by nothing. Redis' client is
 * loaded only where there is one.
 */
export default fp(async (app) => {
  const { config, clock, fleet, metrics } = app
  const log = app.log as Logger
  const url = config.cacheRedisUrl ?? config.redisUrl
  const onUp = (isUp: boolean): void =>
    metrics.breakerState.set({ name: 'cache' }, BREAKER_STATE_VALUE[isUp ? 'closed' : 'open'])
  if (url !== null) onUp(false)
  const link = url === null
    ? null
    : (await import('./redis-link.ts')).createRedisLink({
        url,
        clock,
        log,
        onUp
      })
  app.decorate('cache', createCaches({ clock, fleet, log, metrics, link, database: config.mongodbDatabase }))
  app.addHook('onClose', () => app.cache.close())
}, { name: 'cache', dependencies: ['config', 'clock', 'fleet', 'metrics'] })
