/** Wiring of assessments: `app.assessments`. */
import fp from 'fastify-plugin'
import { createAssessments } from './receipts.ts'
import type { Assessments } from './receipts.ts'

declare module 'fastify' {
  interface FastifyInstance { assessments: Assessments }
}

export default fp(async (app) => {
  const { config, storage, audit, fleet, clock, log, scoring, decisions } = app
  const assessments = createAssessments({
    storage,
    audit,
    fleet,
    clock,
    config,
    log,
    scoring,
    judge (score, { address, method }) {
      const decision = address === null ? null : decisions.forAddress(address)
      const verdict = app.judge(score, { decision, method })
      // What others saw is advised on as the gate would act: a standing block stands whatever the score.
      return decision?.action === 'BLOCK' && !decision.simulated ? { ...verdict, action: 'BLOCK' } : verdict
    }
  })
  // A store that is down at start must not stop the process: allowances come in when it is up.
  const load = (): Promise<void> =>
    assessments.load().catch((error: unknown) =>
      log.warn({ err: error }, 'allowances could not be loaded yet')
    )
  await load()
  storage.onHealth((health) => { if (health.up) load() })
  app.decorate('assessments', assessments)
  app.addHook('onClose', () => assessments.close())
}, { name: 'assessments', dependencies: ['config', 'storage', 'audit', 'fleet', 'clock', 'scoring', 'decisions'] })
