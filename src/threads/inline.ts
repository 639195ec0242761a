/**
 * Scoring on the calling thread: for one-off commands, tests and the comparison in bench/hop.ts. Hostile text
 * then holds up the event loop, which is why the ring exists.
 */
import { scoreObservation } from '../detect/score.ts'
import type { Observation, Score } from '../detect/shapes.ts'
import type { Policy } from '../detect/policy.ts'

/** Null when the scorer threw: an answer in a hurry is due. */
export function scoreInline (observation: Observation, policy: Policy): Score | null {
  try {
    const score = scoreObservation(observation, policy)
    score.source = 'inline'
    return score
  } catch {
    return null
  }
}
