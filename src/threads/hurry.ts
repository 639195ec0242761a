/**
 * The answer when no thread can give one in time: everything but the payload, and of the payload the strongest signs
 * that the raw bytes hold. Some 50 us, 2 ms for 64 KiB of the worst text. A certain sign refuses this request; anything
 * less stays below the block threshold, so that no request is refused because its score is missing.
 */
import { scanRaw, type RawSign } from '../detect/raw-scan/raw-scan.ts'
import { cheapScore } from '../detect/score.ts'
import type { Policy } from '../detect/policy.ts'
import type { Observation, Score } from '../detect/shapes.ts'

/** With the strongest sign of the raw bytes. Never throws. */
export function scoreInHurry (observation: Observation, policy: Policy): Score {
  return scoreCheaply(observation, policy, signOf(observation))
}

/**
 * Microseconds: for a request that is refused anyway. Never throws: what a factor chokes on cheaply must not take the
 * request down either.
 */
export function scoreCheaply (observation: Observation, policy: Policy, sign: RawSign | null = null): Score {
  try {
    return cheapScore(observation, policy, sign)
  } catch {
    return cheapScore({ ...observation, url: '/', headers: [], body: null, history: null }, policy, sign)
  }
}

/** What a live request brings at most. More, as samples may bring, would hold up the main thread for 50 ms. */
const SCANNED_BYTES_MAX = 65_536

function signOf (observation: Observation): RawSign | null {
  const { body } = observation
  const isLong = body !== null && body.length > SCANNED_BYTES_MAX
  try {
    return scanRaw(isLong ? { ...observation, body: body.subarray(0, SCANNED_BYTES_MAX) } : observation)
  } catch {
    // The factors still speak.
    return null
  }
}
