/** Shapes of identity: who may ask, and what for. */
export type Role = 'VIEWER' | 'ANALYST' | 'ADMIN'
export type Scope = 'read' | 'assess' | 'decide' | 'manage'
export type Tier = 'strict' | 'standard' | 'relaxed' | 'service'

/** Scopes a role holds. ADMIN holds all: `manage` is people, keys and actors. */
export const SCOPES_BY_ROLE: Record<Role, readonly Scope[]> = {
  VIEWER: ['read'],
  ANALYST: ['read', 'assess', 'decide'],
  ADMIN: ['read', 'assess', 'decide', 'manage']
}

/** A caller whose credential held. */
export interface Principal {
  kind: 'user' | 'key'
  /** The user's or the key's id. */
  id: string
  /** username, or the key's name. */
  name: string
  /** null for an API key. */
  role: Role | null
  scopes: readonly Scope[]
  tier: 'relaxed' | 'service'
  /** The session behind an access token, else null. */
  sessionId: string | null
  /** `user:<id>` or `key:<id>`. */
  clientKey: string
  /** ms since the epoch, or null. */
  expiresAt: number | null
}

/** What a request's credential came to. `refused`: one was shown and did not hold. */
export type Credential = { state: 'absent' } | { state: 'held', principal: Principal } | { state: 'refused', reason: string }
