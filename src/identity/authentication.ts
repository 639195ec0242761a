import { hash } from 'node:crypto'
import type { Clock } from '../std/clock.ts'
import { handleOf, type IssuedTokens } from './issued-tokens.ts'
import type { Keys } from './keys.ts'
import { BoundedMap } from '../std/bounded-map.ts'
import { entryOf, rememberEntry, type Authorities } from './authority.ts'
import type { Revocations } from './revocations.ts'
import { SCOPES_BY_ROLE, type Credential, type Principal, type UserState } from './shapes.ts'
import { TOKEN_CHARACTERS_MAX, type AccessClaims, type Tokens } from './tokens.ts'
import type { Users } from './users.ts'

/**
 * From a header to a caller. Synchronous wherever memory knows the answer.
 *
 * Tokens that were verified are remembered until they run out (a look-up and a SHA-256 of 1 us instead of an HMAC and
 * JSON of some 15 us); what may change under them (the session, the user, the role) is asked again each time. They are
 * found by a part of their signature, so that a token nobody knows costs no hash to be told from one that holds.
 */
const VERIFIED_MAX = 20_000

export interface CredentialHeaders { authorization?: string | undefined, 'x-api-key'?: string | string[] | undefined }

export interface Authentication {
  /**
   * A request's credential: `Authorization: Bearer <access token>` or `x-api-key`. Showing both is refused.
   * Never throws; rejects with NEKO_ERR_STORE_UNAVAILABLE when memory cannot tell and the store cannot be
   * asked.
   */
  authenticate (headers: CredentialHeaders): Credential | Promise<Credential>
  /**
   * A credential that is known to hold, from memory alone: for an address with too many refused ones, where one that
   * nobody knows must cost no cryptography and one that holds must not suffer for its neighbours. Null for all others,
   * also for a token that no process has seen since the start.
   */
  recall (headers: CredentialHeaders): Held | null
  /** The same as `authenticate` for a token without its header (WebSocket). */
  authenticateToken (token: string): Credential | Promise<Credential>
  /** Whether a caller who was let in would still be: for connections that stay open. From memory. */
  holds (principal: Principal): boolean
}

type Held = Extract<Credential, { state: 'held' }>

interface Verified {
  digest: string
  claims: AccessClaims
  user: UserState | null
  principal: Principal | null
  version: number
}

interface AuthenticationOptions {
  tokens: Tokens
  issued: IssuedTokens
  users: Users
  keys: Keys
  authorities: Authorities
  revocations: Revocations
  clock: Clock
  /** True when the revocations were read; else a promise that reads them. */
  ready (): true | Promise<void>
}

export function createAuthentication (
  { tokens, issued, users, keys, authorities, revocations, clock, ready }: AuthenticationOptions
): Authentication {
  const verified = new BoundedMap<string, Verified>(VERIFIED_MAX)

  function authenticateToken (token: string): Credential | Promise<Credential> {
    const isReady = ready()
    if (isReady !== true) return isReady.then(() => authenticateToken(token))
    if (token.length > TOKEN_CHARACTERS_MAX) return refused('malformed')
    const known = verified.use(handleOf(token))
    if (known !== undefined && isOf(known, token)) return checkToken(known)
    const verdict = tokens.verify(token)
    if (!verdict.held) return refused(verdict.reason)
    const { claims } = verdict
    const fresh = { digest: digestOf(token), claims, user: null, principal: null, version: tokens.version }
    verified.set(handleOf(token), fresh)
    issued.note(token, claims.expiresAt)
    return checkToken(fresh)
  }

  function isOf ({ version, digest }: Verified, token: string): boolean {
    return version === tokens.version && digest === digestOf(token)
  }

  /** A token of a signature that is known here, or that a sibling issued or verified: then it is worth its HMAC. */
  function recallToken (token: string): Credential | Promise<Credential> | null {
    if (token.length > TOKEN_CHARACTERS_MAX) return null
    const handle = handleOf(token)
    const known = verified.get(handle)
    if (known !== undefined && isOf(known, token)) return checkToken(known)
    return issued.has(handle) ? authenticateToken(token) : null
  }

  function checkToken (token: Verified): Credential | Promise<Credential> {
    const { claims } = token
    if (claims.expiresAt <= clock.now()) return refused('expired')
    if (revocations.has('session', claims.sessionId)) return refused('revoked')
    const user = users.state(claims.userId)
    return user === undefined
      ? users.load(claims.userId).then((loaded) =>
        loaded === null ? refused('user') : checkUser(token, loaded)
      )
      : checkUser(token, user)
  }

  function checkUser (token: Verified, user: UserState): Credential {
    if (user.disabled) return refused('disabled')
    if (user.generation !== token.claims.generation) return refused('revoked')
    if (token.user !== user || token.principal === null) {
      token.user = user
      token.principal = principalOf(user, token.claims)
    }
    return { state: 'held', principal: token.principal }
  }

  function authenticateKey (text: string): Credential | Promise<Credential> {
    const isReady = ready()
    if (isReady !== true) return isReady.then(() => authenticateKey(text))
    const verdict = keys.authenticate(text)
    return verdict instanceof Promise ? verdict.then(checkAuthority) : checkAuthority(verdict)
  }

  function recallKey (text: string): Credential | Promise<Credential> | null {
    const verdict = keys.recall(text)
    return verdict === null ? null : checkAuthority(verdict)
  }

  function checkAuthority (verdict: Awaited<ReturnType<Keys['authenticate']>>): Credential | Promise<Credential> {
    if (verdict.state === 'refused') return verdict
    if (revocations.has('key', verdict.secret.principal.id)) return refused('revoked')
    const principal = authorities.cap(verdict.secret)
    return principal instanceof Promise ? principal.then(withAuthority) : withAuthority(principal)
  }

  function keyHolds (principal: Principal): boolean {
    if (revocations.has('key', principal.id) || !authorities.holds(principal)) return false
    const secret = authorities.secretOf(principal)
    return secret === undefined || keys.holds(principal.id, secret)
  }

  return {
    authenticate (headers) {
      const { authorization } = headers
      const key = headers['x-api-key']
      if (authorization === undefined && key === undefined) return ABSENT
      if (authorization !== undefined && key !== undefined) return refused('two credentials')
      if (key !== undefined) return typeof key === 'string' ? authenticateKey(key) : refused('malformed')
      const token = bearer(authorization as string)
      return token === null ? refused('malformed') : authenticateToken(token)
    },
    recall (headers) {
      const { authorization } = headers
      const key = headers['x-api-key']
      if (ready() !== true || (authorization === undefined) === (key === undefined)) return null
      const token = authorization === undefined ? null : bearer(authorization)
      const credential = token !== null ? recallToken(token) : typeof key === 'string' ? recallKey(key) : null
      if (credential instanceof Promise) {
        // The store would have to be asked, which is more than an address with too many refusals is given.
        credential.catch(() => null)
        return null
      }
      return credential?.state === 'held' ? credential : null
    },
    authenticateToken,
    holds (principal) {
      if (principal.expiresAt !== null && principal.expiresAt <= clock.now()) return false
      if (principal.kind === 'key') return keyHolds(principal)
      if (principal.sessionId !== null && revocations.has('session', principal.sessionId)) return false
      const user = users.state(principal.id)
      // Unknown means forgotten for lack of room, which says nothing: the next request asks the store.
      return user === undefined ||
        (!user.disabled && user.role === principal.role && user.generation === entryOf(principal)?.generation)
    }
  }
}

const ABSENT: Credential = Object.freeze({ state: 'absent' as const })

function principalOf (user: UserState, claims: AccessClaims): Principal {
  const principal: Principal = Object.freeze({
    kind: 'user' as const,
    id: user.id,
    name: user.username,
    role: user.role,
    scopes: user.mustChangePassword ? [] : SCOPES_BY_ROLE[user.role],
    ...(user.mustChangePassword ? { mustChangePassword: true as const } : {}),
    tier: 'relaxed' as const,
    sessionId: claims.sessionId,
    clientKey: `user:${user.id}`,
    expiresAt: claims.expiresAt
  })
  rememberEntry(principal, user)
  return principal
}

function digestOf (token: string): string {
  return hash('sha256', token, 'base64url')
}

/** RFC 6750: the scheme in any case, one space, one token. */
function bearer (header: string): string | null {
  return header.length > 7 && header.slice(0, 7).toLowerCase() === 'bearer ' ? header.slice(7) : null
}

function withAuthority (principal: Principal | null): Credential {
  return principal === null ? refused('maker') : { state: 'held', principal }
}

function refused (reason: string): Credential {
  return { state: 'refused', reason }
}
