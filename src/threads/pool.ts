/**
 * The scoring pool: `ask(observation)` gives a Score, whatever carries the observation to a thread.
 *
 * Owns: the channels (one per thread, one more for heavy requests, one for texts that exhausted a thread: see
 * threaded-pool.ts), the deadlines, the bounds of the queues, the answer in a hurry. Never does: reject, decide, keep
 * history. In: Observation; out: Score, from a thread or marked `degraded`; or the word that there is no verdict.
 *
 * Why so: payload scanning costs tens of microseconds and hostile text far more, which must not hold up the event loop.
 * A verdict that is missing because of the client's own doing (its text used up or killed two threads, its own work
 * stands before it) refuses the request. A verdict that is missing because of us (others were before it, one thread
 * ended by itself) is made up for: an answer in a hurry now, which stays below the block threshold unless the raw bytes
 * hold a certain sign, and the full score afterwards.
 */
import { scoreInHurry } from './hurry.ts'
import { scoreInline } from './inline.ts'
import { ThreadedPool } from './threaded-pool.ts'
import type { Answer, Ask, PoolMode, ScoringPoolOptions } from './shapes.ts'
import type { Policy } from '../detect/policy.ts'
import type { Observation, Score } from '../detect/shapes.ts'

export interface ScoringPool {
  readonly mode: PoolMode
  /** Never rejects; when the deadline of its kind has passed there is an answer, perhaps a degraded one. */
  ask (observation: Observation, ask?: Ask): Promise<Answer>
  /**
   * The full score of a request whose like was scored lately, at once and without a thread; null for any other, which
   * is then asked for.
   */
  recall (observation: Observation): Score | null
  /** The score alone, for whoever refuses nobody. */
  score (observation: Observation): Promise<Score>
  /** The policy that answers from now on; observations under way may still be scored by the one before. */
  usePolicy (policy: Policy): void
  policy (): Policy
  /** Observations that wait or are in hand. */
  queueSize (): number
  /** True while at least one thread takes work. */
  healthy (): boolean
  /** Resolves when every thread took up work for the first time, or after `timeoutMs`. */
  ready (timeoutMs: number): Promise<void>
  close (): Promise<void>
}

export function createScoringPool (options: ScoringPoolOptions): ScoringPool {
  const pool = options.mode === 'inline' ? createInlinePool(options) : createThreadedPool(options)
  return { ...pool, score: async (observation) => (await pool.ask(observation)).score }
}

function createInlinePool (options: ScoringPoolOptions): Omit<ScoringPool, 'score'> {
  const { clock } = options
  let policy = options.policy
  return {
    mode: 'inline',
    recall: () => null,
    ask (observation) {
      const startedMs = clock.monotonic()
      const score = scoreInline(observation, policy) ?? scoreInHurry(observation, policy)
      const answer: Answer = { score, unjudged: null, later: null }
      options.onScored?.((clock.monotonic() - startedMs) / 1000, answer)
      return Promise.resolve(answer)
    },
    usePolicy (next) { policy = next },
    policy: () => policy,
    queueSize: () => 0,
    healthy: () => true,
    ready: () => Promise.resolve(),
    close: () => Promise.resolve()
  }
}

function createThreadedPool (options: ScoringPoolOptions): Omit<ScoringPool, 'score'> {
  const pool = new ThreadedPool(options)
  return {
    mode: 'ring',
    recall: (observation) => pool.recall(observation),
    ask: (observation, ask = { client: observation.client, secondTry: true, patient: false }) =>
      pool.ask(observation, ask),
    usePolicy: (policy) => pool.usePolicy(policy),
    policy: () => pool.policy,
    queueSize: () => pool.size,
    healthy: () => pool.isHealthy(),
    ready: (timeoutMs) => within(pool.ready(), timeoutMs),
    close: () => pool.close()
  }
}

async function within (work: Promise<unknown>, timeoutMs: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  const timer = setTimeout(resolve, timeoutMs)
  await Promise.race([work, promise])
  clearTimeout(timer)
}
