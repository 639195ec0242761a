import { SCOPES_BY_ROLE } from './shapes.ts'
import type { Principal, Role, Scope } from './shapes.ts'

/**
 * Whether a caller may do what a scope stands for. Pure, and the only rule there is: anonymous callers hold no scope,
 * so that whatever is not open to everybody is closed to them.
 */
export function may (principal: Pick<Principal, 'scopes'> | null, scope: Scope): boolean {
  return principal !== null && principal.scopes.includes(scope)
}

/**
 * Whether a caller who may manage people and keys may make or open what holds these scopes: nobody hands on
 * more than he holds, but for reading, which the least of people may.
 */
export function mayGrant (principal: Pick<Principal, 'scopes'>, given: Role | readonly Scope[]): boolean {
  const scopes = typeof given === 'string' ? SCOPES_BY_ROLE[given] : given
  return scopes.every((scope) => scope === 'read' || principal.scopes.includes(scope))
}
