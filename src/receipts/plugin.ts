/** Wiring of receipts: `app.receipts`. */
import fp from 'fastify-plugin'
import { createOwedWork } from '../std/owed-work.ts'
import { createReceipts } from './receipts.ts'
import type { Receipts } from './receipts.ts'

declare module 'fastify' {
  interface FastifyInstance { receipts: Receipts }
}

const RETRIES = { retryMsMin: 1_000, retryMsMax: 10_000 }

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
  const loading = createOwedWork({
    clock,
    ...RETRIES,
    work: () => receipts.load(),
    onFailing: (error) => log.warn({ err: error }, 'allowances could not be loaded yet')
  })
  // A store that is down at start must not stop the process: allowances come in when it answers.
  await receipts.load().catch(() => loading.owe())
  storage.onHealth((health) => { if (health.up) loading.owe() })
  app.decorate('receipts', receipts)
  app.addHook('onClose', async () => {
    loading.close()
    await receipts.close()
  })
}, { name: 'receipts', dependencies: ['config', 'storage', 'audit', 'fleet', 'clock', 'threads', 'decisions'] })
