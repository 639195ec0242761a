import fp from 'fastify-plugin'
import type { Config } from '../config/config.ts'
import type { Fleet } from '../fleet/port.ts'
import { BREAKER_STATE_VALUE } from '../std/breaker.ts'
import type { Logger } from '../telemetry/logger.ts'
import { createCaches, type Caches } from './caches.ts'

declare module 'fastify' {
  interface FastifyInstance { caches: Caches }
}

/**
 * The named caches as `app.caches`, joined through CACHE_REDIS_URL, else REDIS_URL, else by nothing. Redis' client is
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
  app.decorate('caches', createCaches({ clock, fleet, log, metrics, link, database: storeName(config, fleet) }))
  app.addHook('onClose', () => app.caches.close())
}, { name: 'cache', dependencies: ['config', 'clock', 'fleet', 'metrics'] })

/**
 * Whose answers may meet in Redis: those of the same database. Without MONGODB_URI that is this host's own SQLite, and
 * its processes alone, as long as the server runs; another host with the same Redis has other things to say.
 */
function storeName (
  { mongodbUri, mongodbDatabase }: Pick<Config, 'mongodbUri' | 'mongodbDatabase'>,
  { primaryId, processId }: Pick<Fleet, 'primaryId' | 'processId'>
): string {
  return mongodbUri === null ? `sqlite:${primaryId ?? processId}` : `mongodb:${mongodbDatabase}`
}
