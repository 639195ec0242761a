import fp from 'fastify-plugin'
import { createDecisions, type Decisions } from './decisions.ts'

declare module 'fastify' {
  interface FastifyInstance { decisions: Decisions }
}

const METRICS_MS = 5000

export default fp(async (app) => {
  const { storage, audit, fleet, clock, config, log } = app
  const decisions = createDecisions({
    storage,
    audit,
    fleet,
    clock,
    neverBlock: config.neverBlock,
    log,
    forgetClient (clientKey) {
      app.scoring.history.forget(clientKey)
      app.limits.forget(clientKey)
    }
  })
  // A store that is down at start must not stop the process: decisions come in when it is up.
  const load = (): Promise<void> => decisions.load().catch((error: unknown) => log.warn({ err: error }, 'decisions could not be loaded yet'))
  await load()
  storage.onHealth((health) => { if (health.up) load() })
  const timer = setInterval(() => {
    for (const [action, count] of Object.entries(decisions.active())) app.metrics.decisionsActive.set({ action }, count)
  }, METRICS_MS)
  timer.unref()
  app.decorate('decisions', decisions)
  app.addHook('onClose', async () => {
    clearInterval(timer)
    await decisions.close()
  })
}, { name: 'decisions', dependencies: ['config', 'storage', 'audit', 'fleet', 'clock', 'metrics', 'scoring', 'limits'] })
