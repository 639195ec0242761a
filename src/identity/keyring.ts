import {
  NEKO_ERR_FORBIDDEN,
  NEKO_ERR_INPUT_INVALID,
  NEKO_ERR_NOT_FOUND,
  NEKO_ERR_STORE_UNAVAILABLE
} from '../errors.ts'
import { createBatched } from '../std/batched.ts'
import type { Clock } from '../std/clock.ts'
import type { Page } from '../storage/port.ts'
import { mayGrant } from './access.ts'
import type { Authorities } from './authority.ts'
import type { FallingKeys } from './falling-keys.ts'
import { KEY_ID, OVERLAP_SECONDS_MAX, type Keys } from './keys.ts'
import { newKey, newSecret, requireEnd, requireScopes } from './new-key.ts'
import { createShownKeys, type ShownKey } from './shown-keys.ts'
import type { Recorded } from './people.ts'
import type { Revocations } from './revocations.ts'
import type { Principal } from './shapes.ts'

/** Administration of API keys. The text of a key leaves once, from `createApiKey` and `rotateApiKey`. */
const OVERLAP_SECONDS_DEFAULT = 86_400
const NAME_CHARACTERS_MAX = 100
/** A key made with a key, and so on: more than anybody needs, and few enough to look at for every request. */
const MADE_WITH_MAX = 4
/** Keys shown beside a person; the list of all has pages. */
const SHOWN_OF_PERSON = 100
/** A page of them. */
const PEOPLE_ASKED_MAX = 100

export interface Keyring {
  /**
   * Capped by the caller's role for as long as it lives (authority.ts).
   * @throws NEKO_ERR_INPUT_INVALID, NEKO_ERR_STORE_UNAVAILABLE
   */
  createApiKey (
    by: Principal,
    given: { name: string, scopes: readonly string[], expiresAt: number | null }
  ): Promise<{ key: string, apiKey: ShownKey }>
  /**
   * The old secret holds for the overlap (default a day, 0: not at all). The key ends when it did, and the new secret
   * has no more than its maker and the caller have.
   * @throws NEKO_ERR_NOT_FOUND, NEKO_ERR_INPUT_INVALID, NEKO_ERR_FORBIDDEN when the key holds more than the caller
   */
  rotateApiKey (by: Principal, id: string, overlapSeconds?: number): Promise<{ key: string, apiKey: ShownKey }>
  /**
   * Also with the store down: then only its id and the time are known. What was made with it ends too.
   * @throws NEKO_ERR_NOT_FOUND
   */
  revokeApiKey (by: Principal, id: string): Promise<ShownKey>
  listApiKeys (first: number, after: string | null): Promise<Page<ShownKey>>
  countApiKeys (): Promise<number>
  /** The newest 100 that a person made, by hand or with keys of that person. A list of people is one question. */
  apiKeysOf (userId: string): Promise<ShownKey[]>
}

export function createKeyring (
  { keys, authorities, falling, revocations, clock, recorded, storageUp }: {
    keys: Keys,
    authorities: Authorities,
    falling: FallingKeys,
    revocations: Revocations,
    clock: Clock,
    recorded: Recorded,
    storageUp (): boolean
  }
): Keyring {
  const { shown, one } = createShownKeys({ keys, revocations, clock })
  const ofMakers = createBatched(async (userIds: string[]) => {
    const { items, hasNextPage } = await keys.listOfMany(userIds)
    if (hasNextPage) return new Map(await Promise.all(userIds.map(async (id) => [id, await ofMaker(id)] as const)))
    const all = await shown(items)
    const own = Map.groupBy(all.map((key, i) => ({ key, makerId: items[i]!.makerId })), ({ makerId }) => makerId)
    return new Map(userIds.map((id) => [id, (own.get(id) ?? []).slice(0, SHOWN_OF_PERSON).map(({ key }) => key)]))
  }, { keysMax: PEOPLE_ASKED_MAX })

  async function ofMaker (userId: string): Promise<ShownKey[]> {
    return await shown((await keys.listOf(userId)({ first: SHOWN_OF_PERSON })).items)
  }

  return {
    async createApiKey (by, { name, scopes, expiresAt }) {
      const usable = requireScopes(scopes)
      if (!usable.every((scope) => by.scopes.includes(scope))) {
        throw new NEKO_ERR_INPUT_INVALID('scopes may hold what you hold yourself')
      }
      const label = name.trim()
      if (label === '' || label.length > NAME_CHARACTERS_MAX) {
        throw new NEKO_ERR_INPUT_INVALID(`name must have 1 to ${NAME_CHARACTERS_MAX} characters`)
      }
      const nowMs = clock.now()
      const end = requireEnd(by, { scopes: usable, expiresAt, nowMs })
      const authority = await authorities.of(by)
      if (authority.keys.length > MADE_WITH_MAX) {
        throw new NEKO_ERR_INPUT_INVALID(`Keys are made with keys ${MADE_WITH_MAX} times at most: sign in to make one`)
      }
      const made = newKey({
        name: label,
        scopes: usable,
        createdBy: by.clientKey,
        makerId: authority.people[0]?.userId ?? null,
        authority,
        expiresAt: end,
        nowMs
      })
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
      const authority = await authorities.of(by)
      return await recorded({ type: 'key.rotate', actor: by.clientKey, target: `key:${id}` }, async () => {
        const rotated = await keys.rotate(id, { ...secret, authority }, clock.now() + overlapSeconds * 1_000)
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
      if (known === null) return unknownKey(id, clock.now())
      await falling.withKey(known, by.clientKey)
      // Fail-open: the revocation stands for ever; the mark in the key itself is for people who read the list.
      return await one(await keys.markRevoked(id).catch(() => ({ ...known, revokedAt: clock.now() })))
    },
    async listApiKeys (first, after) {
      const page = await keys.list(first, after)
      return { ...page, items: await shown(page.items) }
    },
    countApiKeys: () => keys.count(),
    apiKeysOf: async (userId) => await ofMakers(userId) ?? []
  }
}

/** A key that was revoked while the store was down. */
function unknownKey (id: string, revokedAt: number): ShownKey {
  const unread = { name: '', scopes: [], createdBy: '', createdAt: 0, expiresAt: null }
  return { id, ...unread, revokedAt, lastUsedAt: null, overlapEndsAt: null }
}
