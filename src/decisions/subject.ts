import { NEKO_ERR_INPUT_INVALID } from '../errors.ts'
import { addressKey, canonicalAddress, cidrText, parseCidr, type AddressSet } from '../std/ip.ts'
import type { Decision, DecisionScope } from './shapes.ts'

/** Whom a decision is about, spelled in one way, and what follows from it. */

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

/** Names whom a decision is about, in the ladder and in the audit trail. */
export function ladderKey ({ scope, value }: Decision): string {
  return `${scope}|${value}`
}

/** True when NEVER_BLOCK holds all that the decision is about, as far as its ends tell. */
export function coveredBy (spared: AddressSet, { scope, value }: Decision): boolean {
  if (scope === 'IP') return spared.has(value)
  const cidr = scope === 'RANGE' ? parseCidr(value) : null
  return cidr !== null && spared.has(addressText(cidr.first, cidr.family)) &&
    spared.has(addressText(cidr.last, cidr.family))
}

function addressText (address: bigint, family: 4 | 6): string {
  return cidrText({ first: address, last: address, family, bits: 0 }).slice(0, -2)
}
