import fp from 'fastify-plugin'
import { createIntel, type Intel } from './actors.ts'

declare module 'fastify' {
  interface FastifyInstance { intel: Intel }
}

/** Hangs the room into the app as `app.intel`. */
export default fp(async (app) => {
  const { storage, audit, fleet, clock, caches } = app
  const intel = createIntel({
    storage,
    audit,
    fleet,
    clock,
    forgetAnswers: (references) => caches.forget(references)
  })
  app.decorate('intel', intel)
  app.addHook('onClose', () => { intel.close() })
}, { name: 'intel', dependencies: ['storage', 'audit', 'fleet', 'clock', 'cache'] })
