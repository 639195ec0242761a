import { hash } from 'node:crypto'
import { createSigner, createVerifier } from 'fast-jwt'
import type { Clock } from '../std/clock.ts'

/**
 * Access tokens: short JWTs that carry a user id, a session id and the user's generation, nothing else. What a user may
 * do is looked up in memory, so that a changed role needs no new token.
 *
 * Owns: what a token may look like. Never does: know users or sessions; fetch anything (jku, x5u and embedded keys are
 * refused by name). In: secrets, of which the first signs and all verify. Out: claims, or the reason of the refusal.
 *
 * Why fast-jwt and not @fastify/jwt above it: the plugin answers 500 for 8 of 23 bad tokens, and takes tokens without
 * `exp`. Here the header must be exactly ours (alg, typ, kid and no other member) before a verifier pinned to HS256 and
 * to that kid's secret sees it; times are judged here too, by our Clock, because the library reads the system's.
 */
export const ISSUER = 'neko-defense-api'
export const AUDIENCE = 'neko-defense-api'
/** Clocks of hosts differ: a token may come from this far in the future. It is never accepted after its `exp`. */
export const CLOCK_TOLERANCE_SECONDS = 60
/** Ours have some 350; Node refuses header lines over 16 KiB before this is reached. */
export const TOKEN_CHARACTERS_MAX = 4096
/** JWT_EXPIRATION is at most 30 days. */
const LIFETIME_SECONDS_MAX = 30 * 86_400
/**
 * 32 bytes of HMAC in base64url: 43 characters, the last of which carries four bits, so that only these are
 * canonical.
 */
const SHAPE = /^[A-Za-z0-9_-]{1,512}\.[A-Za-z0-9_-]{1,3000}\.[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$/

export interface AccessClaims {
  userId: string
  sessionId: string
  /** The user's generation when it was issued: raised by a new password or a disabling, which ends all older tokens. */
  generation: number
  /** ms since the epoch. */
  expiresAt: number
}

type TokenVerdict = { held: true, claims: AccessClaims } | { held: false, reason: string }

export interface Tokens {
  issue (claims: Omit<AccessClaims, 'expiresAt'>): { token: string, expiresAt: number }
  /** Never throws, takes no time but the CPU's, calls nobody. */
  verify (token: string): TokenVerdict
  /** Replaces the secrets: the first signs, all verify. A kid that is gone is refused from now on. */
  setSecrets (secrets: readonly string[]): void
  /** Of the secret that signs. */
  readonly kid: string
  /** Rises when the secrets change: tokens verified before must be verified anew. */
  readonly version: number
}

/** @param secrets 1-8, the first signs. */
export function createTokens (
  { secrets, expirationSeconds, clock }: {
    secrets: readonly string[],
    expirationSeconds: number,
    clock: Clock
  }
): Tokens {
  let keys = loadKeys(secrets)
  let version = 0

  return {
    issue ({ userId, sessionId, generation }) {
      const iat = Math.floor(clock.now() / 1000)
      const exp = iat + expirationSeconds
      const token = keys.sign({ iss: ISSUER, aud: AUDIENCE, sub: userId, sid: sessionId, gen: generation, iat, exp })
      return { token, expiresAt: exp * 1000 }
    },
    verify (token) {
      if (token.length > TOKEN_CHARACTERS_MAX || !SHAPE.test(token)) return refused('malformed')
      const kid = kidOf(token.slice(0, token.indexOf('.')))
      if (kid === null) return refused('header')
      const check = keys.verifiers.get(kid)
      if (check === undefined) return refused('kid')
      try {
        return checkClaims(check(token) as Record<string, unknown>, clock.now() / 1000)
      } catch {
        // Whatever the library dislikes (a signature, a claim, JSON that is none) is one thing to the caller: refused.
        return refused('signature')
      }
    },
    setSecrets (next) {
      keys = loadKeys(next)
      version++
    },
    get kid () { return keys.kid },
    get version () { return version }
  }
}

/** Names a secret without telling anything about it: the first 96 bits of its SHA-256, under a prefix of our own. */
export function kidOfSecret (secret: string): string {
  return hash('sha256', `neko-kid:${secret}`, 'base64url').slice(0, 16)
}

function loadKeys (
  secrets: readonly string[]
): { kid: string, sign: (claims: object) => string, verifiers: Map<string, (token: string) => unknown> } {
  const first = secrets[0]
  if (first === undefined || secrets.length > 8 || secrets.includes('')) {
    throw new Error('one to eight secrets are needed to sign tokens')
  }
  const kid = kidOfSecret(first)
  // A Map: a kid of `__proto__` finds nothing.
  const verifiers = new Map(secrets.map((secret) => [kidOfSecret(secret), createVerifier({
    key: Buffer.from(secret),
    algorithms: ['HS256'],
    checkTyp: 'JWT',
    allowedIss: ISSUER,
    allowedAud: AUDIENCE,
    requiredClaims: ['iss', 'aud', 'sub', 'sid', 'gen', 'iat', 'exp'],
    ignoreExpiration: true,
    ignoreNotBefore: true,
    cache: false
  }) as (token: string) => unknown]))
  return {
    kid,
    sign: createSigner({ key: Buffer.from(first), algorithm: 'HS256', kid }) as (claims: object) => string,
    verifiers
  }
}

/**
 * The kid of a header that is exactly ours, else null. Any other member (jku, jwk, x5u, crit, b64 ...) makes
 * it foreign.
 */
function kidOf (segment: string): string | null {
  let header: unknown
  try {
    header = JSON.parse(Buffer.from(segment, 'base64url').toString())
  } catch {
    return null
  }
  if (
    typeof header !== 'object' || header === null || Array.isArray(header) || Object.keys(header).length !== 3
  ) {
    return null
  }
  const { alg, typ, kid } = header as Record<string, unknown>
  return alg === 'HS256' && typ === 'JWT' && typeof kid === 'string' ? kid : null
}

function checkClaims (claims: Record<string, unknown>, nowSeconds: number): TokenVerdict {
  const { sub, sid, gen, aud, iat, exp, nbf } = claims
  if (!isId(sub) || !isId(sid) || !Number.isSafeInteger(gen) || typeof aud !== 'string') return refused('claims')
  if (!isSeconds(iat) || !isSeconds(exp) || (nbf !== undefined && !isSeconds(nbf))) return refused('times')
  if (iat > nowSeconds + CLOCK_TOLERANCE_SECONDS || (nbf ?? 0) > nowSeconds + CLOCK_TOLERANCE_SECONDS) {
    return refused('not yet')
  }
  if (exp <= iat || exp - iat > LIFETIME_SECONDS_MAX) return refused('times')
  if (nowSeconds >= exp) return refused('expired')
  return { held: true, claims: { userId: sub, sessionId: sid, generation: gen as number, expiresAt: exp * 1000 } }
}

function isId (value: unknown): value is string {
  return typeof value === 'string' && /^[a-z]{1,8}_[0-9a-z]{12,40}$/.test(value)
}

function isSeconds (value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0
}

function refused (reason: string): TokenVerdict {
  return { held: false, reason }
}
