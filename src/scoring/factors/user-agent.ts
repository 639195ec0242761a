import { addSign, resultOf } from '../evidence.ts'
import type { Signs } from '../evidence.ts'
import type { Policy } from '../policy.ts'
import type { RequestView } from '../request-view.ts'
import type { FactorResult } from '../shapes.ts'

export function measureUserAgent (view: RequestView, policy: Policy): FactorResult {
  const signs: Signs = { found: null }
  const agent = view.agent
  if (agent === null || agent.trim() === '') addSign(signs, 0.12, 'agent.missing', 'header.user-agent', 'no user agent')
  else if (/sqlmap|nikto|nuclei|gobuster|wpscan|masscan|zgrab|dirbuster|acunetix|nessus/i.test(agent)) addSign(signs, 0.85, 'agent.attack-tool', 'header.user-agent', 'the agent of an attack tool', 'T1595.002')
  return resultOf('userAgent', signs, policy.ceilings.userAgent)
}
