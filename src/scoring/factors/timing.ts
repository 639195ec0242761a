import { resultOf } from '../evidence.ts'
import type { Signs } from '../evidence.ts'
import type { Policy } from '../policy.ts'
import type { RequestView } from '../request-view.ts'
import type { FactorResult, Observation } from '../shapes.ts'

export function measureTiming (_observation: Observation, _view: RequestView, policy: Policy): FactorResult {
  const signs: Signs = { found: null }
  return resultOf('timing', signs, policy.ceilings.timing)
}
