import { createAddressSet } from '../std/ip.ts'
import type { Decision, DecisionOrigin } from './shapes.ts'

/**
 * True for a block that holds for whoever makes it: a slip of the prefix length would end their own access.
 * NEVER_BLOCK is not asked, since it may not apply to where they come from next.
 */
export function isOwnBlock ({ scope, value, action }: Decision, maker: DecisionOrigin['maker']): boolean {
  if (action !== 'BLOCK' || maker === undefined) return false
  const { principal, address } = maker
  if (scope === 'IP' || scope === 'RANGE') return address !== null && createAddressSet([value]).has(address)
  if (scope === 'SESSION') return value === principal.sessionId
  return value === principal.id && scope === (principal.kind === 'key' ? 'KEY' : 'USER')
}
