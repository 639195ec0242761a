import { NEKO_ERR_INPUT_INVALID } from '../errors.ts'
import { randomText } from '../std/id.ts'
import { sha256 } from './sessions.ts'
import type { ApiKey, KeySecret, Scope } from './shapes.ts'

/** A key that is not stored yet, and the text that its owner gets once. */
export function newKey (
  { name, scopes, createdBy, expiresAt, nowMs }:
    & Pick<ApiKey, 'name' | 'scopes' | 'createdBy' | 'expiresAt'>
    & { nowMs: number }
): { apiKey: ApiKey, key: string } {
  const id = randomText(16)
  const { secret, key } = newSecret(id, nowMs)
  return {
    apiKey: {
      id,
      name,
      scopes,
      createdBy,
      createdAt: nowMs,
      updatedAt: nowMs,
      expiresAt,
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
