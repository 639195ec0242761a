import fp from 'fastify-plugin'
import { createIncidents, type Incidents } from './incidents.ts'

declare module 'fastify' {
  interface FastifyInstance { incidents: Incidents }
}

/** Hangs the room into the app as `app.incidents`; what it has to tell goes out by webhook. */
export default fp(async (app) => {
  const { config, storage, audit, fleet, clock, log, webhooks } = app
  const incidents = createIncidents({ config, storage, audit, fleet, clock, log, notify: webhooks.notify })
  app.decorate('incidents', incidents)
  app.addHook('onClose', () => incidents.close())
}, { name: 'incidents', dependencies: ['config', 'storage', 'audit', 'fleet', 'clock', 'webhooks'] })
