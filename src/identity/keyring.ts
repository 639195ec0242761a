import {
  NEKO_ERR_FORBIDDEN,
  NEKO_ERR_INPUT_INVALID,
  NEKO_ERR_NOT_FOUND,
  NEKO_ERR_STORE_UNAVAILABLE
} from '../errors.ts'
import type { Clock } from '../std/clock.ts'
import type { Page } from '../storage/port.ts'
import { mayGrant } from './access.ts'
import { KEY_ID, OVERLAP_SECONDS_MAX, type Keys } from './keys.ts'
import { newKey, newSecret, requireScopes } from './new-key.ts'
import type { Recorded } from './people.ts'
import type { Revocations } from './revocations.ts'
import type { ApiKey, Principal, Scope } from './shapes.ts'

/** Administration of API keys. The text of a key leaves once, from `createApiKey` and `rotateApiKey`. */
const OVERLAP_SECONDS_DEFAULT = 86_400
const NAME_CHARACTERS_MAX = 100

/** The part of a key that may be shown. */
interface ShownKey {
  id: string
  name: string
  scopes: Scope[]
  createdBy: string
  createdAt: number
  expiresAt: number | null
  revokedAt: number | null
  lastUsedAt: number | null
  overlapEndsAt: number | null
}

export interface Keyring {
  /** @throws NEKO_ERR_INPUT_INVALID */
  createApiKey (
    by: Principal,
    given: { name: string, scopes: readonly string[], expiresAt: number | null }
  ): Promise<{ key: string, apiKey: ShownKey }>
  /**
   * The old secret holds for the overlap (default a day, 0: not at all).
   * @throws NEKO_ERR_NOT_FOUND, NEKO_ERR_INPUT_INVALID, NEKO_ERR_FORBIDDEN when the key holds more than the caller
   */
  rotateApiKey (by: Principal, id: string, overlapSeconds?: number): Promise<{ key: string, apiKey: ShownKey }>
  /**
   * Also with the store down: then only its id and the time are known.
   * @throws NEKO_ERR_NOT_FOUND
   */
  revokeApiKey (by: Principal, id: string): Promise<ShownKey>
  listApiKeys (first: number, after: string | null): Promise<Page<ShownKey>>
  countApiKeys (): Promise<number>
}

export function createKeyring (
  { keys, revocations, clock, recorded, storageUp }: {
    keys: Keys,
    revocations: Revocations,
    clock: Clock,
    recorded: Recorded,
    storageUp (): boolean
  }
): Keyring {
  async function shown (found: ApiKey[]): Promise<ShownKey[]> {
    const lastUsed = found.length === 0 ? new Map<string, number>() : await keys.lastUsed(found.map((key) => key.id))
    return found.map((key) => ({
      id: key.id,
      name: key.name,
      scopes: key.scopes,
      createdBy: key.createdBy,
      createdAt: key.createdAt,
      expiresAt: key.expiresAt,
      revokedAt: key.revokedAt,
      lastUsedAt: lastUsed.get(key.id) ?? null,
      overlapEndsAt: key.secrets[1]?.expiresAt ?? null
    }))
  }

  async function one (key: ApiKey): Promise<ShownKey> {
    return (await shown([key]))[0] as ShownKey
  }

  return {
    async createApiKey (by, { name, scopes, expiresAt }) {
      const usable = requireScopes(scopes)
      if (!mayGrant(by, usable)) throw new NEKO_ERR_INPUT_INVALID('scopes may hold what you hold yourself')
      const label = name.trim()
      if (label === '' || label.length > NAME_CHARACTERS_MAX) {
        throw new NEKO_ERR_INPUT_INVALID(`name must have 1 to ${NAME_CHARACTERS_MAX} characters`)
      }
      if (expiresAt !== null && expiresAt <= clock.now()) {
        throw new NEKO_ERR_INPUT_INVALID('expiresAt must lie in the future')
      }
      const made = newKey({ name: label, scopes: usable, createdBy: by.clientKey, expiresAt, nowMs: clock.now() })
      return await recorded({
        type: 'key.create',
        actor: by.clientKey,
        target: `key:${made.apiKey.id}`,
        details: { scopes: usable.join(' ') }
      }, async () => {
        await keys.insert(made.apiKey)
        return { key: made.key, apiKey: await one(made.apiKey) }
      })
    },
    async rotateApiKey (by, id, overlapSeconds = OVERLAP_SECONDS_DEFAULT) {
      if (overlapSeconds < 0 || overlapSeconds > OVERLAP_SECONDS_MAX) {
        throw new NEKO_ERR_INPUT_INVALID(`overlapSeconds must be 0 to ${OVERLAP_SECONDS_MAX}`)
      }
      const current = await keys.get(id)
      if (current.revokedAt !== null || revocations.has('key', id)) {
        throw new NEKO_ERR_INPUT_INVALID('The key is revoked')
      }
      // A rotation shows the new secret.
      if (!mayGrant(by, current.scopes)) throw new NEKO_ERR_FORBIDDEN('every scope of that key')
      const { secret, key } = newSecret(id, clock.now())
      return await recorded({ type: 'key.rotate', actor: by.clientKey, target: `key:${id}` }, async () => {
        const rotated = await keys.rotate(id, secret, clock.now() + overlapSeconds * 1_000)
        return { key, apiKey: await one(rotated) }
      })
    },
    async revokeApiKey (by, id) {
      if (!KEY_ID.test(id)) throw new NEKO_ERR_NOT_FOUND('There is no such API key')
      const order = { kind: 'key' as const, id, expiresAt: null, actor: by.clientKey, type: 'key.revoke' }
      const known = await keys.get(id).catch((error: unknown) => {
        if ((error as { code?: string }).code === new NEKO_ERR_STORE_UNAVAILABLE().code || !storageUp()) return null
        throw error
      })
      await revocations.revoke(order)
      if (known === null) {
        return {
          id,
          name: '',
          scopes: [],
          createdBy: '',
          createdAt: 0,
          expiresAt: null,
          revokedAt: clock.now(),
          lastUsedAt: null,
          overlapEndsAt: null
        }
      }
      // Fail-open: the revocation stands for ever; the mark in the key itself is for people who read the list.
      return await one(await keys.markRevoked(id).catch(() => ({ ...known, revokedAt: clock.now() })))
    },
    async listApiKeys (first, after) {
      const page = await keys.list(first, after)
      return {
        ...page,
        items: (await shown(page.items)).map((key) =>
          key.revokedAt === null && revocations.has('key', key.id) ? { ...key, revokedAt: clock.now() } : key
        )
      }
    },
    countApiKeys: () => keys.count()
  }
}
