/** Shapes of identity: callers, and what each may do. */
export { identityCollections } from './collections.ts'

export type Role = 'VIEWER' | 'ANALYST' | 'ADMIN'
export type Scope = 'read' | 'assess' | 'decide' | 'manage'
export type Tier = 'strict' | 'standard' | 'relaxed' | 'service'

/** Scopes a role holds. ADMIN holds all: `manage` is people, keys and actors. */
export const SCOPES_BY_ROLE: Record<Role, readonly Scope[]> = {
  VIEWER: ['read'],
  ANALYST: ['read', 'assess', 'decide'],
  ADMIN: ['read', 'assess', 'decide', 'manage']
}

/**
 * Root fields whose arguments or results are secret (passwords, tokens, keys, and requests of others with all that they
 * carry): receipts keep the shape of an operation that names one, and nothing else of it.
 */
export const SECRET_OPERATIONS = [
  'login', 'refreshToken', 'changePassword', 'createUser', 'createApiKey', 'rotateApiKey', 'assess'
] as const

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
  /** A user who holds no scope until the password is another one. */
  mustChangePassword?: true
  tier: 'relaxed' | 'service'
  /** The session behind an access token, else null. */
  sessionId: string | null
  /** `user:<id>` or `key:<id>`. */
  clientKey: string
  /** ms since the epoch, or null. */
  expiresAt: number | null
}

/** The outcome of a request's credential. `refused`: one was shown and did not hold. */
export type Credential = { state: 'absent' } | { state: 'held', principal: Principal } | {
  state: 'refused',
  reason: string
}

/** A person, as stored. */
export interface User {
  id: string
  /** As given at creation. */
  username: string
  /** Lower case: two people may not differ by case alone. */
  usernameKey: string
  role: Role
  disabled: boolean
  /**
   * Rises with a new password and a disabling; tokens and sessions of a lower one are over. Counts instead of
   * times, so that no clock matters.
   */
  generation: number
  /** Rises with each disabling and enabling: keys that come from an earlier one are over. Absent at first: 0. */
  keysGeneration?: number
  /** PHC text of argon2id. */
  passwordHash: string
  /** The password was given by somebody else: until the user sets another, a session may do nothing else. */
  mustChangePassword?: boolean
  createdAt: number
  updatedAt: number
}

/** The part of a user that every process holds, to check requests without asking the store. */
export interface UserState {
  id: string
  username: string
  role: Role
  disabled: boolean
  generation: number
  keysGeneration: number
  mustChangePassword: boolean
  revision: number
}

/** A login and all that was refreshed from it: one family of refresh tokens, of which only the newest is good. */
export interface Session {
  id: string
  userId: string
  generation: number
  /** SHA-256 of the part that all refresh tokens of the family share: tells an old one from an invented one. */
  familyHash: string
  /** SHA-256 of the newest one's own part. */
  secretHash: string
  createdAt: number
  refreshedAt: number
  expiresAt: number
}

/** On whose authority a key was made, or a secret of it shown (authority.ts). */
export interface Authority {
  /** Everybody who caps it by the role of now, as long as they have not been disabled since. */
  people: ReadonlyArray<{ userId: string, keysGeneration: number }>
  /** Ids of the keys that it was made with: it falls with any of them. */
  keys: readonly string[]
}

/** One secret of an API key; the newest has `expiresAt` null, the one it replaced ends with the overlap. */
export interface KeySecret {
  hash: string
  createdAt: number
  expiresAt: number | null
  /** Of who rotated it, and so has seen it; absent: the key's own alone. */
  authority?: Authority
}

export interface ApiKey {
  id: string
  name: string
  scopes: Scope[]
  /** `user:<id>` or `key:<id>`. */
  createdBy: string
  /** The person it comes from, through whatever keys; null: nobody whom the store has. */
  makerId?: string | null
  /** Absent in keys stored before keys fell with their makers, until the next start. */
  authority?: Authority
  createdAt: number
  updatedAt: number
  expiresAt: number | null
  revokedAt: number | null
  /** One, or two during a rotation. */
  secrets: KeySecret[]
}

/** When a key was last used, apart from the key so that noting it never competes with a change of the key. */
export interface KeyUse { id: string, lastUsedAt: number }

export type RevokedKind = 'session' | 'key'

/** Something that is over before its time. */
export interface Revocation {
  /** `<kind>:<value>`. */
  id: string
  kind: RevokedKind
  value: string
  at: number
  /** When nothing could be accepted anyway; null: never. */
  expiresAt: number | null
}

/** The tokens that a login or a refresh gives. */
export interface SessionTokens { accessToken: string, refreshToken: string, expiresInSeconds: number }

/** Told in every process when a caller's standing changed: owners of open connections ask `holds` again. */
export interface StandingChange { kind: 'session' | 'key' | 'user', id: string }
