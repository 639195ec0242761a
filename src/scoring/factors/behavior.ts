import { addSign, ramp, resultOf } from '../evidence.ts'
import type { Signs } from '../evidence.ts'
import type { Policy } from '../policy.ts'
import type { RequestView } from '../request-view.ts'
import type { FactorResult, Observation } from '../shapes.ts'

export function measureBehavior (observation: Observation, _view: RequestView, policy: Policy): FactorResult {
  const signs: Signs = { found: null }
  const history = observation.history
  if (history !== null) addSign(signs, 0.7 * ramp(history.failedLogins600s, 3, 10), 'behavior.stuffing', 'client', `${history.failedLogins600s} failed logins in ten minutes`, 'T1110.004')
  return resultOf('behavior', signs, policy.ceilings.behavior)
}
