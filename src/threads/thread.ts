/**
 * The thread's side of scoring: takes observations, gives scores, keeps the findings of repeated payloads.
 *
 * Owns the verdict cache of its thread. Knows no clock, no store and no socket: what a client did before comes with the
 * observation. A scorer that throws fails one observation, never the thread.
 */
import { flushCompileCache } from 'node:module'
import { allowancesOf } from '../detect/allowances.ts'
import { emptyHistory } from '../detect/history-shapes.ts'
import { createPolicy } from '../detect/policy.ts'
import { contentOf } from '../detect/request-content.ts'
import { inspectPayload } from '../detect/factors/payload.ts'
import { scoreWithPayload } from '../detect/score.ts'
import { createFindingsCache } from './findings-cache.ts'
import type { PayloadFinding } from '../detect/factors/payload.ts'
import type { Policy } from '../detect/policy.ts'
import type { Observation, Score } from '../detect/shapes.ts'

export type Scorer = (observation: Observation, policy: Policy) => Score

/** Per thread; keys are whole contents. */
const CACHE = { maxBytes: 8 * 1_048_576, entryBytes: 400 }

/**
 * Before a thread takes work: one request of each kind is scored, since the first of its kind costs 5 to 10
 * ms of CPU and on a busy machine would look like a hung thread; and what was compiled is left for the next
 * thread, which then is there in some 50 ms instead of 200. That is how long others wait after one was
 * stopped. Returns the CPU time that it took, us.
 */
export function warmUp (score: Scorer): number {
  const before = process.threadCpuUsage()
  const policy = createPolicy({ sensitivity: 2, challengeThreshold: 40, blockThreshold: 75 })
  const headers = ['Host', 'a.example', 'User-Agent', 'Mozilla/5.0', 'Accept', '*/*', 'Content-Type']
  const one = { id: '', at: 0, client: 'ip:192.0.2.1', method: 'POST', route: null, history: emptyHistory() }
  const text = (body: string): Uint8Array => new TextEncoder().encode(body)
  score({
    ...one,
    url: '/a?b=1%27%20or%201=1--%20&c=<b>d</b>',
    headers: [...headers, 'application/x-www-form-urlencoded'],
    body: text('a=b+c&d=%2Fe')
  }, policy)
  score({
    ...one,
    url: '/graphql',
    headers: [...headers, 'application/json'],
    body: text('{"query":"query($a:String){me(a:$a,b:\\"c\\"){id}}","variables":{"a":"b <i>c</i>"}}')
  }, policy)
  const { user, system } = process.threadCpuUsage(before)
  flushCompileCache()
  return user + system
}

/** A scorer that remembers payload findings; history is read anew each time. */
export function createThreadScorer (): Scorer {
  const cache = createFindingsCache<PayloadFinding>(CACHE)
  return (observation, policy) => {
    const allowed = allowancesOf(policy, observation)
    const content = contentOf(observation, allowed === null ? `${policy.sensitivity}` : policy.version)
    let payload = cache.get(content)
    if (payload === undefined) {
      payload = inspectPayload(observation, { sensitivity: policy.sensitivity, allowed })
      cache.set(content, payload)
    }
    return scoreWithPayload(observation, payload, policy)
  }
}

/** A score, or null where the scorer threw: one observation fails, never the thread. */
export function attempt (score: Scorer, observation: Observation, policy: Policy): Score | null {
  try {
    return score(observation, policy)
  } catch {
    return null
  }
}
