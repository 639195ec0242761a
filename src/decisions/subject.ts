import { NEKO_ERR_INPUT_INVALID } from '../errors.ts'
import { addressKey, canonicalAddress, cidrText, parseCidr } from '../std/ip.ts'
import type { Decision, DecisionScope } from './shapes.ts'

/** The subject of a decision: the client or clients that it is about, spelled in one way. */

/** One client, one spelling. @throws NEKO_ERR_INPUT_INVALID */
export function canonicalValue (scope: DecisionScope, value: string): string {
  if (scope === 'IP') {
    const address = canonicalAddress(value)
    if (address === null) throw new NEKO_ERR_INPUT_INVALID('value must be an address')
    return address
  }
  if (scope === 'RANGE') {
    const cidr = parseCidr(value)
    if (cidr === null || !value.includes('/')) {
      throw new NEKO_ERR_INPUT_INVALID('value must be a range like 192.0.2.0/24')
    }
    return cidrText(cidr)
  }
  if (!/^[A-Za-z0-9_-]{1,64}$/.test(value)) throw new NEKO_ERR_INPUT_INVALID('value must be an id')
  return value
}

/** The ClientKey a decision is about, or null when it is about more than one. */
export function clientKeyOf ({ scope, value }: Decision): string | null {
  if (scope === 'IP') return `ip:${addressKey(value)}`
  if (scope === 'RANGE') {
    return value.includes(':') && value.endsWith('/64')
      ? `ip:${addressKey(value.slice(0, -3))}`
      : null
  }
  if (scope === 'SESSION') return null
  return `${scope.toLowerCase()}:${value}`
}

/** Names the subject of a decision, in the escalation's steps and in the audit trail. */
export function subjectKey ({ scope, value }: Pick<Decision, 'scope' | 'value'>): string {
  return `${scope}|${value}`
}
