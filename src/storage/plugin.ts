import fp from 'fastify-plugin'
import type { FastifyInstance } from 'fastify'
import { openStorage } from './open.ts'
import { BREAKER_STATE_VALUE } from '../std/breaker.ts'
import type { Storage, StorageHealth } from './port.ts'

declare module 'fastify' {
  interface FastifyInstance { storage: Storage }
}

/**
 * Opens the store that the configuration names, shows its state as neko_storage_up, closes it last of all rooms.
 * `storage` hands in one that is open already (tests); whoever opened it closes it.
 */
export default fp(async (app: FastifyInstance, options: { storage?: Storage }) => {
  const onBreaker = (value: number): void => app.metrics.breakerState.set({ name: 'storage' }, value)
  onBreaker(BREAKER_STATE_VALUE.closed)
  const storage = options.storage ??
    await openStorage({
      config: app.config,
      clock: app.clock,
      log: app.log,
      onBreaker,
      watch: app.fileWatch,
      downFor: app.prepared.downFor ?? null
    })
  const show = ({ up }: StorageHealth): void => {
    app.metrics.storageUp.set(Number(up))
    // The embedded store has no breaker of its own: it is open while the file cannot be used.
    if (storage.kind === 'sqlite') onBreaker(BREAKER_STATE_VALUE[up ? 'closed' : 'open'])
  }
  show(storage.health())
  storage.onHealth(show)
  app.decorate('storage', storage)
  if (options.storage === undefined) app.addHook('onClose', () => storage.close())
}, { name: 'storage', dependencies: ['config', 'clock', 'metrics'] })
