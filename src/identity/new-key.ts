import { NEKO_ERR_INPUT_INVALID } from '../errors.ts'
import { randomText } from '../std/id.ts'
import { sha256 } from './sessions.ts'
import type { ApiKey, KeySecret, Principal, Scope } from './shapes.ts'

/** A key that may make people and keys is given out anew now and then, or it outlives whoever knew about it. */
export const MANAGE_DAYS_MAX = 90
export const MANAGE_MS_MAX = MANAGE_DAYS_MAX * 86_400_000

/** A key that is not stored yet, and the text that its owner gets once. */
export function newKey (
  { nowMs, ...given }:
    & Pick<ApiKey, 'name' | 'scopes' | 'createdBy' | 'makerId' | 'authority' | 'expiresAt'>
    & { nowMs: number }
): { apiKey: ApiKey, key: string } {
  const id = randomText(16)
  const { secret, key } = newSecret(id, nowMs)
  return {
    apiKey: {
      id,
      ...given,
      createdAt: nowMs,
      updatedAt: nowMs,
      revokedAt: null,
      secrets: [secret]
    },
    key
  }
}

/** A new secret and the text that is shown once: `neko_<id>_<40 characters>`, 206 bits; only its SHA-256 is kept. */
export function newSecret (id: string, nowMs: number): { secret: KeySecret, key: string } {
  const text = randomText(40)
  return { secret: { hash: sha256(text), createdAt: nowMs, expiresAt: null }, key: `neko_${id}_${text}` }
}

/** @throws NEKO_ERR_INPUT_INVALID for a scope that is none, or none at all. Gives them in their order, each once. */
export function requireScopes (scopes: readonly string[]): Scope[] {
  const all: readonly Scope[] = ['read', 'assess', 'decide', 'manage']
  if (scopes.length === 0 || scopes.length > 16 || scopes.some((scope) => !all.includes(scope as Scope))) {
    throw new NEKO_ERR_INPUT_INVALID('scopes must be some of read, assess, decide, manage')
  }
  return all.filter((scope) => scopes.includes(scope))
}

/**
 * When a key ends: as asked for, a key with `manage` within 90 days, and no key after the one it is made with. Where
 * nothing is asked for, as late as it may.
 * @throws NEKO_ERR_INPUT_INVALID
 */
export function requireEnd (
  by: Principal,
  { scopes, expiresAt, nowMs }: { scopes: readonly Scope[], expiresAt: number | null, nowMs: number }
): number | null {
  if (expiresAt !== null && expiresAt <= nowMs) throw new NEKO_ERR_INPUT_INVALID('expiresAt must lie in the future')
  const latest = scopes.includes('manage') ? nowMs + MANAGE_MS_MAX : Infinity
  if (expiresAt !== null && expiresAt > latest) {
    throw new NEKO_ERR_INPUT_INVALID(`expiresAt of a key with manage must lie within ${MANAGE_DAYS_MAX} days`)
  }
  // A person's own is the end of the access token, which says nothing about the person.
  const ofMaker = by.kind === 'key' ? by.expiresAt ?? Infinity : Infinity
  if (expiresAt !== null && expiresAt > ofMaker) {
    throw new NEKO_ERR_INPUT_INVALID('expiresAt must not lie after the end of the key that makes it')
  }
  const end = expiresAt ?? Math.min(latest, ofMaker)
  return end === Infinity ? null : end
}
