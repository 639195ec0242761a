import type { Principal, Scope } from './shapes.ts'

/**
 * Whether a caller may do what a scope stands for. Pure, and the only rule there is: anonymous callers hold no scope,
 * so that whatever is not open to everybody is closed to them.
 */
export function may (principal: Pick<Principal, 'scopes'> | null, scope: Scope): boolean {
  return principal !== null && principal.scopes.includes(scope)
}
