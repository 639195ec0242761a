import type { Principal, Scope } from '../identity/shapes.ts'
import { parseCidr } from '../std/ip.ts'
import type { Decision, DecisionInput } from './shapes.ts'

/** Whom somebody acts against, by a decision or by a playbook. */
export type Target = Pick<DecisionInput, 'scope' | 'value'>

/** What a key, a user or whose session it is may do now: nothing for one that is unknown or ended. */
export type ScopesOf = (kind: 'KEY' | 'USER' | 'SESSION', id: string) => Promise<readonly Scope[]>

/** Of the widest range that an analyst may decide about. */
const NARROW_BITS = { 4: 16, 6: 32 }

/** Whether a decision is about so many addresses that it comes near to opening or closing the whole service. */
export function isWide ({ scope, value }: Target): boolean {
  if (scope !== 'RANGE') return false
  const cidr = parseCidr(value)
  return cidr !== null && cidr.bits < NARROW_BITS[cidr.family]
}

/**
 * What a maker lacks to make a decision, null when nothing: nobody shuts out those who may do more, least of all those
 * who could undo it, and only who may `manage` decides about most of the internet at once.
 */
export async function lackOf (
  maker: Pick<Principal, 'scopes'>,
  decision: Pick<Decision, 'scope' | 'value' | 'action'>,
  scopesOf: ScopesOf
): Promise<string | null> {
  if (maker.scopes.includes('manage')) return null
  if (isWide(decision)) return 'the scope manage, for a range wider than /16 (IPv6: /32)'
  const { scope, value, action } = decision
  if (scope === 'IP' || scope === 'RANGE' || action === 'ALLOW') return null
  const held = await scopesOf(scope, value)
  // The least of people may read: whoever blocks for a machine need not.
  return held.every((one) => one === 'read' || maker.scopes.includes(one))
    ? null
    : `the scope manage, against a ${scope.toLowerCase()} that may do more than you`
}
