/** Wiring of assessments: `app.assessments`. */
import fp from 'fastify-plugin'
import { createReceipts } from './receipts.ts'
import type { Receipts } from './receipts.ts'

declare module 'fastify' {
  interface FastifyInstance { receipts: Receipts }
}

export default fp(async (app) => {
  const { config, storage, audit, fleet, clock, log, threads, clients, decisions } = app
  const receipts = createReceipts({
    storage,
    audit,
    fleet,
    clock,
    config,
    log,
    threads,
    clients,
    judge (score, { address, method }) {
      const decision = address === null ? null : decisions.forAddress(address)
      const verdict = app.judge(score, { decision, method })
      // What others saw is advised on as the gate would act: a standing block stands whatever the score.
      return decision?.action === 'BLOCK' && !decision.simulated ? { ...verdict, action: 'BLOCK' } : verdict
    }
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
}, { name: 'receipts', dependencies: ['config', 'storage', 'audit', 'fleet', 'clock', 'clients', 'threads', 'decisions'] })
