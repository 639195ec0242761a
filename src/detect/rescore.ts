/** Scoring what was kept of a request: by a replay, also without a running server. Pure. */
import { emptyHistory } from './history-shapes.ts'
import { scoreObservation, scoreWithPayload } from './score.ts'
import type { PayloadFinding } from './factors/payload.ts'
import type { Policy } from './policy.ts'
import type { Observation, Score } from './shapes.ts'

/**
 * `payload` stands for a payload that was masked or left out; null: the observation holds it. Facts of
 * history that were not known then count as none.
 */
export function rescore (observation: Observation, payload: PayloadFinding | null, policy: Policy): Score {
  const whole = observation.history === null
    ? observation
    : { ...observation, history: { ...emptyHistory(), ...observation.history } }
  return payload === null ? scoreObservation(whole, policy) : scoreWithPayload(whole, payload, policy)
}
