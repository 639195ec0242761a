import { isAddressKey } from '../../std/ip.ts'
import { addSign, ramp, resultOf } from '../evidence.ts'
import type { Signs } from '../evidence.ts'
import type { Policy } from '../policy.ts'
import type { FactorResult, Observation } from '../shapes.ts'

/**
 * Rate of an address against its tier (from the limiter's answer) and against its own past. A ceiling in the policy
 * keeps it under the challenge threshold: a busy hour, a release and a shared office are fast too.
 */
export function measureFrequency (observation: Observation, policy: Policy): FactorResult {
  const signs: Signs = { found: null }
  const history = observation.history
  // Keys and users have tiers of their own: whoever is allowed N requests gets N, and the limiter refuses the rest.
  if (history === null || !isAddressKey(observation.client)) return resultOf('frequency', signs, 0)
  if (history.limitUsed >= 0) {
    addSign(
      signs,
      0.22 * ramp(history.limitUsed, 0.6, 1),
      'frequency.limit',
      'client',
      `${Math.round(history.limitUsed * 100)} % of the tier's limit used`,
      'T1499'
    )
  }
  addSign(
    signs,
    0.25 * ramp(history.requests10s, 30, 150),
    'frequency.burst',
    'client',
    `${Math.round(history.requests10s)} requests in 10 s`,
    'T1499'
  )
  addSign(
    signs,
    0.2 * ramp(history.requests60s, 60, 300),
    'frequency.rate',
    'client',
    `${Math.round(history.requests60s)} requests in a minute`,
    'T1499'
  )
  if (history.habitPerMinute > 0 && history.requests60s > 30) {
    const growth = history.requests60s / history.habitPerMinute
    addSign(
      signs,
      0.15 * ramp(growth, 3, 12),
      'frequency.growth',
      'client',
      `${growth.toFixed(1)} times its own usual rate`
    )
  }
  return resultOf('frequency', signs, policy.ceilings.frequency)
}
