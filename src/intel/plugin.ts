import fp from 'fastify-plugin'
import { createIntel, type Intel } from './actors.ts'

declare module 'fastify' {
  interface FastifyInstance { intel: Intel }
}

/** Hangs the room into the app as `app.intel`. */
export default fp(async (app) => {
  const intel = createIntel({ storage: app.storage, audit: app.audit, fleet: app.fleet, clock: app.clock })
  app.decorate('intel', intel)
  app.addHook('onClose', () => { intel.close() })
}, { name: 'intel', dependencies: ['storage', 'audit', 'fleet', 'clock'] })
