/**
 * What requests seen lately say by themselves, on the main side of the ring: one that comes again, from whomever, is
 * scored here from what its client did (under 2 us), and crosses no thread (some 20 us of both sides).
 *
 * Owns: the results of contents that a thread was through with, by their exact content (request-content.ts). Never
 * does: read a payload; keep anything that depends on a client's history, on allowances, or on another policy.
 */
import { allowancesOf } from '../detect/allowances.ts'
import { contentOf } from '../detect/request-content.ts'
import { isOwnResultEnough, ownResultsOf, scoreWithOwnResults, type OwnResults } from '../detect/score.ts'
import { createSeenBefore } from '../std/seen-before.ts'
import { createFindingsCache } from './findings-cache.ts'
import type { PayloadFinding } from '../detect/factors/payload.ts'
import type { Policy } from '../detect/policy.ts'
import { FACTOR_NAMES, type Observation, type Score } from '../detect/shapes.ts'

interface KnownRequests {
  /** The full score of a request whose like was read twice before, or null. Never throws. */
  recall (observation: Observation, policy: Policy): Score | null
  /** A thread's full score of an observation. */
  learn (observation: Observation, score: Score, policy: Policy): void
}

/** Some 3,000 requests. An entry is the header texts, which the key holds too, and four results. */
const BOUNDS = { maxBytes: 8 * 1_048_576, entryBytes: 1_600 }
/** Contents that came once, and are not worth an entry yet. */
const SEEN_MAX = 16_384
const PAYLOAD = FACTOR_NAMES.indexOf('payload')

export function createKnownRequests (): KnownRequests {
  const known = createFindingsCache<OwnResults>(BOUNDS)
  let version = ''
  const seen = createSeenBefore(SEEN_MAX)
  /** Of those that came before: they are learnt when a thread was through with them. */
  const contents = new WeakMap<Observation, string>()

  /** Results under another policy say nothing. */
  function follow (policy: Policy): void {
    if (policy.version === version) return
    version = policy.version
    known.clear()
  }

  return {
    recall (observation, policy) {
      follow(policy)
      if (allowancesOf(policy, observation) !== null || !isOwnResultEnough(observation)) return null
      const content = contentOf(observation, '')
      const own = known.get(content)
      if (own !== undefined) return scoreWithOwnResults(observation, own, policy)
      if (seen.note(content)) contents.set(observation, content)
      return null
    },
    learn (observation, score, policy) {
      const content = contents.get(observation)
      if (content === undefined || score.degraded || score.policyVersion !== policy.version) return
      follow(policy)
      known.set(content, ownResultsOf(observation, payloadOf(score), policy))
    }
  }
}

function payloadOf ({ factors, grade, notInspected, beyond, payloadValue: value }: Score): PayloadFinding {
  return { name: 'payload', value, evidence: factors[PAYLOAD]!.evidence, grade, notInspected, beyond }
}
