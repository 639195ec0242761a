import { classifyAgent } from '../signs/agents.ts'
import { addSign, resultOf } from '../evidence.ts'
import type { Signs } from '../evidence.ts'
import type { Policy } from '../policy.ts'
import type { RequestView } from '../request-view.ts'
import type { FactorResult } from '../shapes.ts'

/**
 * The agent's own name. An attack tool that names itself is enough to block; a missing agent is a weak sign
 * (probes and small devices send none); headless leftovers are likely automation and challenge nobody alone. Robots
 * and API clients that name themselves are honest and score nothing: what they do is for the other factors.
 */
export function measureUserAgent (view: RequestView, policy: Policy): FactorResult {
  const signs: Signs = { found: null }
  const { kind, name } = classifyAgent(view.agent)
  if (kind === 'attack-tool') {
    addSign(
      signs,
      0.86,
      'agent.attack-tool',
      'header.user-agent',
      `the agent names an attack tool: ${name}`,
      'T1595.002'
    )
  } else if (kind === 'impossible') {
    addSign(signs, 0.8, 'agent.impossible', 'header.user-agent', 'an agent that no browser sends', 'T1036')
  } else if (kind === 'headless') {
    addSign(
      signs,
      0.3,
      'agent.headless',
      'header.user-agent',
      `a browser driven by a program: ${name}`,
      'T1059.007'
    )
  } else if (kind === 'missing') addSign(signs, 0.12, 'agent.missing', 'header.user-agent', 'no user agent')
  else if (kind === 'other' && name.length < 3) {
    addSign(signs, 0.08, 'agent.odd', 'header.user-agent', 'an agent without a name')
  }
  return resultOf('userAgent', signs, policy.ceilings.userAgent)
}
