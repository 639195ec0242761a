/** Wiring of receipts: `app.receipts`. */
import fp from 'fastify-plugin'
import { createReceipts } from './receipts.ts'
import type { Receipts } from './receipts.ts'

declare module 'fastify' {
  interface FastifyInstance { receipts: Receipts }
}

export default fp(async (app) => {
  const { config, storage, audit, fleet, clock, log, threads } = app
  const receipts = createReceipts({
    storage,
    audit,
    fleet,
    clock,
    config,
    log,
    threads,
    judge: (score, { method }) => app.judge(score, { decision: null, method })
  })
  // A store that is down at start must not stop the process: allowances come in when it is up.
  const load = (): Promise<void> =>
    receipts.load().catch((error: unknown) =>
      log.warn({ err: error }, 'allowances could not be loaded yet')
    )
  await load()
  storage.onHealth((health) => { if (health.up) load() })
  app.decorate('receipts', receipts)
  app.addHook('onClose', () => receipts.close())
}, { name: 'receipts', dependencies: ['config', 'storage', 'audit', 'fleet', 'clock', 'threads', 'decisions'] })
