import { addSign, resultOf } from '../evidence.ts'
import type { Signs } from '../evidence.ts'
import type { Policy } from '../policy.ts'
import type { RequestView } from '../request-view.ts'
import type { FactorResult, Observation } from '../shapes.ts'

export function measureEndpoint (observation: Observation, view: RequestView, policy: Policy): FactorResult {
  const signs: Signs = { found: null }
  if (observation.route === null && /^\/(\.env|\.git\/|wp-login\.php|wp-admin|phpmyadmin)/i.test(view.path)) addSign(signs, 0.8, 'endpoint.scanner-path', 'path', 'a path that scanners ask for', 'T1595.003')
  return resultOf('endpoint', signs, policy.ceilings.endpoint)
}
