import fp from 'fastify-plugin'
import type { FastifyInstance } from 'fastify'
import { openStorage } from './open.ts'
import type { Storage } from './port.ts'

declare module 'fastify' {
  interface FastifyInstance { storage: Storage }
}

/**
 * Opens the store that the configuration names, shows its state as neko_storage_up, closes it last of all rooms.
 * `storage` hands in one that is open already (tests); whoever opened it closes it.
 */
export default fp(async (app: FastifyInstance, options: { storage?: Storage }) => {
  const onBreaker = (value: number): void => app.metrics.breakerState.set({ name: 'storage' }, value)
  const storage = options.storage ?? await openStorage({ config: app.config, clock: app.clock, log: app.log, onBreaker })
  app.metrics.storageUp.set(Number(storage.health().up))
  storage.onHealth((health) => app.metrics.storageUp.set(Number(health.up)))
  app.decorate('storage', storage)
  if (options.storage === undefined) app.addHook('onClose', () => storage.close())
}, { name: 'storage', dependencies: ['config', 'clock', 'metrics'] })
