import { resultOf } from '../evidence.ts'
import type { Signs } from '../evidence.ts'
import type { Policy } from '../policy.ts'
import type { RequestView } from '../request-view.ts'
import type { FactorResult } from '../shapes.ts'

export function measureHeaders (view: RequestView, policy: Policy): FactorResult {
  const signs: Signs = { found: null }
  return resultOf('headers', signs, policy.ceilings.headers * (view.names.length >= 0 ? 1 : 0))
}
