import fp from 'fastify-plugin'
import { createAudit } from './audit.ts'
import type { AuditService } from './audit.ts'
import type { Storage } from '../storage/port.ts'

declare module 'fastify' {
  interface FastifyInstance { audit: AuditService }
}

/** The gauge follows the queue at this pace. */
const GAUGE_MS = 1_000

export default fp(async (app) => {
  const audit = createAudit({
    config: app.config,
    storage: app.storage,
    clock: app.clock,
    log: app.log,
    watch: app.fileWatch,
    processId: app.fleet.processId,
    onEvent: (category) => { app.metrics.auditEventsTotal.inc({ category }) }
  })
  const gauge = app.clock.every(GAUGE_MS, () => { app.metrics.auditBacklog.set(audit.backlog()) })
  app.decorate('audit', audit)
  // One process per host, as all of them write into one directory and run on one configuration.
  if (app.fleet.slot === 0) {
    // Before any room records something; a store that is known to be down is not waited for.
    const registered = onceUp(app.storage, () => audit.register({ hadUsers: app.prepared.hadUsers }))
    if (!app.prepared.pending) await registered
    // Only a server listens: a verb of `neko` that runs on the store alone has a configuration of its own.
    app.addHook('onListen', async () => { onceUp(app.storage, () => audit.noteSettings(app.config.settings)) })
  }
  app.addHook('onClose', async () => {
    gauge.cancel()
    await audit.close()
  })
}, { name: 'audit', dependencies: ['storage', 'clock', 'config', 'fleet', 'metrics'] })

/** Now, or as soon as the store is back. Resolves after the first try. */
async function onceUp (storage: Storage, work: () => Promise<void>): Promise<void> {
  let state: 'due' | 'running' | 'done' = 'due'
  const tryNow = async (): Promise<void> => {
    if (state !== 'due') return
    state = 'running'
    // Fail-open: the store or the disk is away, as their own alarms tell.
    state = await work().then(() => 'done' as const, () => 'due' as const)
  }
  await tryNow()
  storage.onHealth(({ up }) => { if (up) tryNow() })
}
