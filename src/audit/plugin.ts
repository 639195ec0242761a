import fp from 'fastify-plugin'
import { createAudit } from './audit.ts'
import type { AuditService } from './audit.ts'

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
  app.addHook('onClose', async () => {
    clearInterval(gauge)
    await audit.close()
  })
}, { name: 'audit', dependencies: ['storage', 'clock', 'config', 'fleet', 'metrics'] })
