import fp from 'fastify-plugin'
import { createOwedWork } from '../std/owed-work.ts'
import { createDecisions, type Decisions } from './decisions.ts'
import { decideVerdict } from './verdict.ts'
import { decisionCollection, type Decision, type Verdict } from './shapes.ts'
import type { Score } from '../detect/shapes.ts'

declare module 'fastify' {
  interface FastifyInstance {
    decisions: Decisions
    /** decideVerdict with this server's thresholds: the Verdict that a score comes to. */
    judge (score: Score, about: { decision: Decision | null, method: string }): Verdict
  }
}

/** A decision that expired is gone from the gauge within a second. */
const METRICS_MS = 500

export default fp(async (app) => {
  const { storage, audit, fleet, clock, config, log } = app
  const decisions = createDecisions({
    storage,
    audit,
    fleet,
    clock,
    neverBlock: config.neverBlock,
    scopesOf: (kind, id) => app.identity.scopesOf(kind, id),
    loggedChanges: (wanted) => audit.pendingEffects([decisionCollection], wanted),
    log,
    forgetClient (clientKey) {
      app.clients.forget(clientKey)
      app.limits.forget(clientKey)
      if (clientKey.startsWith('user:')) forgetTries(clientKey.slice('user:'.length))
    }
  })
  /** Tries of login on a user's account, by anybody. The name that they are counted under may have to be read. */
  const forgetTries = (userId: string): void => {
    app.identity.accountOf(userId).then((account) => {
      if (account !== null) app.limits.forget(account)
    }, (error: unknown) => log.warn({ err: error }, 'the tries on an account could not be forgotten'))
  }
  const loading = createOwedWork({
    clock,
    retryMsMin: 1_000,
    retryMsMax: 10_000,
    work: () => decisions.load(),
    onFailing: (error) => log.warn({ err: error }, 'decisions could not be loaded yet')
  })
  // A store that is down at start does not stop the process: what it alone has comes in when it answers.
  if (!await decisions.start()) loading.owe()
  storage.onHealth((health) => { if (health.up) loading.owe() })
  const timer = clock.every(METRICS_MS, () => {
    for (const [action, count] of Object.entries(decisions.active())) app.metrics.decisionsActive.set({ action }, count)
  })
  app.decorate('decisions', decisions)
  const thresholds = {
    challenge: config.challengeThreshold,
    block: config.blockThreshold,
    shadow: config.enforcement === 'shadow'
  }
  app.decorate('judge', (score: Score, { decision, method }: { decision: Decision | null, method: string }) =>
    decideVerdict({ score, decision, method, thresholds }))
  app.addHook('onClose', async () => {
    timer.cancel()
    loading.close()
    await decisions.close()
  })
}, {
  name: 'decisions',
  dependencies: ['config', 'storage', 'audit', 'fleet', 'clock', 'metrics', 'identity', 'clients', 'limits']
})
