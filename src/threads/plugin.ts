/**
 * Wiring of the threads' room: the policy and the pool that scores by it, as `app.threads`.
 * Consequences of a score are the business of decisions, keeping it that of receipts.
 */
import fp from 'fastify-plugin'
import { withAllowances } from '../detect/allowances.ts'
import { createPolicy } from '../detect/policy.ts'
import { createScoringPool } from './pool.ts'
import { rescore } from '../detect/rescore.ts'
import type { PayloadFinding } from '../detect/factors/payload.ts'
import type { Policy } from '../detect/policy.ts'
import type { Allowance, Observation, Score } from '../detect/shapes.ts'
import type { ScoringPool } from './pool.ts'
import type { Answer, Ask } from './shapes.ts'

/** Scoring, as other rooms may ask for it. */
export interface Threads {
  /** Never rejects: a score, one in a hurry marked degraded, or the word that there is no verdict (pool.ts). */
  ask (observation: Observation, ask?: Ask): Promise<Answer>
  /** As the pool's (pool.ts). */
  recall (observation: Observation): Score | null
  /** The score alone, for whoever refuses nobody. */
  score (observation: Observation): Promise<Score>
  policy (): Policy
  /** Observations that wait for a thread. */
  queueSize (): number
  /** True while a thread takes work (always in inline mode). */
  healthy (): boolean
  /** From now on this evidence counts for nothing at its place; replaces what was allowed before. */
  allow (allowances: readonly Allowance[]): void
  /** Scores what a receipt kept, here and now; `payload` takes the place of what cannot be read any more. */
  rescore (observation: Observation, payload: PayloadFinding | null): Score
  readonly pool: ScoringPool
}

declare module 'fastify' {
  interface FastifyInstance { threads: Threads }
}

/** Start goes on after this long even when a thread is still loading: until then the cheap score answers. */
const THREADS_READY_MS_MAX = 2_000
/** How often the gauge of the queue is set. */
const QUEUE_SHOWN_MS = 1_000

export default fp(async (app) => {
  const { config, clock, metrics } = app
  const duration = metrics.scoringDurationSeconds.labels(config.scoringMode)
  const pool = createScoringPool({
    mode: config.scoringMode,
    threads: config.scoringThreads,
    policy: createPolicy({
      sensitivity: config.sensitivity,
      challengeThreshold: config.challengeThreshold,
      blockThreshold: config.blockThreshold
    }),
    clock,
    log: app.log,
    onScored (seconds, { score, unjudged }) {
      duration.observe(seconds)
      if (unjudged !== null) metrics.scoringMissingTotal.inc({ reason: unjudged })
      else if (score.degraded) metrics.scoringMissingTotal.inc({ reason: 'hurry' })
    }
  })
  const gauge = clock.every(QUEUE_SHOWN_MS, () => metrics.scoringQueueSize.set(pool.queueSize()))
  app.decorate('threads', {
    ask: pool.ask,
    recall: pool.recall,
    score: pool.score,
    policy: pool.policy,
    queueSize: pool.queueSize,
    healthy: pool.healthy,
    allow: (allowances: readonly Allowance[]) => pool.usePolicy(withAllowances(pool.policy(), allowances)),
    rescore: (observation: Observation, payload: PayloadFinding | null) => rescore(observation, payload, pool.policy()),
    pool
  })
  app.addHook('onClose', () => {
    gauge.cancel()
    return pool.close()
  })
  await pool.ready(THREADS_READY_MS_MAX)
}, { name: 'threads', dependencies: ['config', 'clock', 'metrics'] })
