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
    processId: app.fleet.processId,
    onEvent: (category) => { app.metrics.auditEventsTotal.inc({ category }) }
  })
  const gauge = setInterval(() => { app.metrics.auditBacklog.set(audit.backlog()) }, GAUGE_MS)
  gauge.unref()
  app.decorate('audit', audit)
  // Before any room records something; one process per host, as all of them write into one directory.
  if (app.fleet.slot === 0) await registerWhenUp(audit, app.storage)
  app.addHook('onClose', async () => {
    clearInterval(gauge)
    await audit.close()
  })
}, { name: 'audit', dependencies: ['storage', 'clock', 'config', 'fleet', 'metrics'] })

/** The store may be down: then as soon as it is back. */
async function registerWhenUp (audit: AuditService, storage: Storage): Promise<void> {
  let state: 'due' | 'running' | 'done' = 'due'
  const register = async (): Promise<void> => {
    if (state !== 'due') return
    state = 'running'
    // Fail-open: the store or the disk is away, as their own alarms tell.
    state = await audit.register().then(() => 'done' as const, () => 'due' as const)
  }
  await register()
  storage.onHealth(({ up }) => { if (up) register() })
}
