import fp from 'fastify-plugin'
import { revocationCollection } from './collections.ts'
import { createIdentity, type Identity } from './identity.ts'

declare module 'fastify' {
  interface FastifyInstance { identity: Identity }
}

/**
 * Callers and their credentials, as `app.identity`. A store that is down at start delays it by 2.5 s and does
 * not stop it: credentials are refused until it is read.
 */
export default fp(async (app) => {
  const identity = createIdentity({
    config: app.config,
    storage: app.storage,
    audit: app.audit,
    fleet: app.fleet,
    clock: app.clock,
    log: app.log,
    loggedRevocations: () => app.audit.pendingEffects([revocationCollection]),
    attempts: {
      async take (key) {
        const answer = await app.limits.takeAttempt(key)
        app.metrics.limitDecisionsTotal.inc({
          tier: answer.tier,
          result: answer.allowed ? 'allowed' : 'refused',
          store: answer.store
        })
        return answer
      },
      peek: (key) => app.limits.peekAttempt(key),
      giveBack: (key) => app.limits.refundAttempt(key)
    }
  })
  app.decorate('identity', identity)
  // Nobody waits for a try any more: an answer now, instead of one that would hold up the drain.
  app.draining.addEventListener('abort', () => identity.loginLine.close(), { once: true })
  app.addHook('onClose', () => identity.close())
  await identity.start()
}, { name: 'identity', dependencies: ['config', 'clock', 'storage', 'audit', 'fleet', 'limits', 'metrics'] })
