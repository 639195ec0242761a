import type { Fleet } from '../fleet/port.ts'
import { NEKO_ERR_INPUT_INVALID, NEKO_ERR_NOT_FOUND, NEKO_ERR_OVERLOADED } from '../errors.ts'
import type { Clock } from '../std/clock.ts'
import { compareAndSet } from '../std/compare-and-set.ts'
import { retryable } from '../std/retryable.ts'
import { pagesOf } from '../storage/pages.ts'
import type { Page, Storage, Stored, Where } from '../storage/port.ts'
import { keyCollection } from './collections.ts'
import type { ShownSecret } from './authority.ts'
import { HeldKeys, type HeldKey } from './held-keys.ts'
import { createKeyUses } from './key-uses.ts'
import { equal, sha256 } from './sessions.ts'
import type { ApiKey, KeySecret } from './shapes.ts'

/**
 * API keys: `neko_<id>_<secret>`, of which the store has SHA-256 hashes only (206 random bits need no slow hash).
 *
 * A key may have two secrets during a rotation: the new one, and the one it replaces until the overlap ends. Every
 * process holds the keys it was shown; a secret that does not fit makes it look at the store again before it refuses
 * (at most once a second per key), so that a rotation needs no message to arrive. Revoking is revocations' business.
 */
const KEY_TEXT = /^neko_([0-9a-z]{16})_([0-9a-z]{40})$/
export const KEY_ID = /^[0-9a-z]{16}$/
const PAGE = 1_000
const PRELOAD = 10_000
const CONFLICT_TRIES = 5
export const OVERLAP_SECONDS_MAX = 30 * 86_400

type KeyVerdict = { state: 'held', secret: ShownSecret } | { state: 'refused', reason: string }

export interface Keys {
  /**
   * Memory where it can. Does not ask whether the key is revoked, nor who caps it. Rejects with
   * NEKO_ERR_STORE_UNAVAILABLE when only the store could tell.
   */
  authenticate (text: string): KeyVerdict | Promise<KeyVerdict>
  /** The same from memory alone; null for a key that this process does not hold. */
  recall (text: string): KeyVerdict | null
  /** Whether a secret that was let in would still be: a replaced one ends with its overlap. From memory. */
  holds (id: string, secret: Pick<ShownSecret, 'hash' | 'expiresAt'>): boolean
  /** As this process holds it, else as the store does; null for one that nobody has. */
  find (id: string): Promise<HeldKey | null>
  get (id: string): Promise<Stored<ApiKey>>
  list (first: number, after: string | null): Promise<Page<Stored<ApiKey>>>
  count (): Promise<number>
  /** Those that a person made, by hand or with keys of that person; null: those of nobody. The newest first. */
  listOf (makerId: string | null): (page: { first: number, after?: string | null }) => Promise<Page<Stored<ApiKey>>>
  /** The same of several people at once, the newest 1000 of all together. */
  listOfMany (makerIds: string[]): Promise<Page<Stored<ApiKey>>>
  lastUsed (ids: string[]): Promise<Map<string, number>>
  insert (key: ApiKey): Promise<void>
  /** The new secret stands first; of the old ones only the newest stays, until `overlapEndsAt`. */
  rotate (id: string, secret: KeySecret, overlapEndsAt: number): Promise<ApiKey>
  markRevoked (id: string): Promise<ApiKey>
  poll (sinceMs?: number): Promise<void>
  close (): Promise<void>
}

export function createKeys ({ storage, fleet, clock }: { storage: Storage, fleet: Fleet, clock: Clock }): Keys {
  const store = storage.collection<ApiKey>(keyCollection)
  const held = new HeldKeys({ store, clock })
  const uses = createKeyUses({ storage, clock })

  function checkKey (id: string, key: HeldKey, secretHash: string): KeyVerdict {
    const now = clock.now()
    const match = key.secrets.find((secret) => equal(secret.hash, secretHash))
    if (match === undefined) return refused('api key')
    if (key.revoked) return refused('api key revoked')
    if (isOver(key, now) || isOver(match, now)) return refused('api key expired')
    uses.note(id)
    return { state: 'held', secret: match }
  }

  async function checkKeyInStore (id: string, secretHash: string): Promise<KeyVerdict> {
    const key = await held.read(id)
    return key === null ? refused('api key') : checkKey(id, key, secretHash)
  }

  /** Siblings look again; what they hold stays good until they have. */
  function tell (key: Stored<ApiKey>): ApiKey {
    held.apply(key)
    fleet.publish('identity.key', { id: key.id })
    return key
  }

  const unsubscribe = fleet.subscribe('identity.key', (message) => {
    const id = (message as { id?: unknown })?.id
    if (typeof id !== 'string' || !KEY_ID.test(id)) return
    // Fail-open: with the store down the poll or the next use looks again; a revocation does not come this way.
    held.readAnew(id).catch(() => null)
  })

  function change (id: string, next: (key: ApiKey) => ApiKey): Promise<ApiKey> {
    return compareAndSet(CONFLICT_TRIES, async () => {
      const { revision, ...key } = await require(id)
      const stored = await store.replace({ ...next(key as ApiKey), updatedAt: clock.now() }, revision)
      return stored === null ? null : tell(stored)
    }, () => retryable(new NEKO_ERR_OVERLOADED('1'), 1))
  }

  async function require (id: string): Promise<Stored<ApiKey>> {
    const key = await store.get(id)
    if (key === null) throw new NEKO_ERR_NOT_FOUND('There is no such API key')
    return key
  }

  return {
    authenticate (text) {
      const match = KEY_TEXT.exec(text)
      if (match === null) return refused('malformed')
      const id = match[1] as string
      const secretHash = sha256(match[2] as string)
      const key = held.use(id)
      if (key === undefined) return held.isUnknown(id) ? refused('api key') : checkKeyInStore(id, secretHash)
      const verdict = checkKey(id, key, secretHash)
      return verdict.state === 'held' || key.revoked || !held.mayReadAgain(id)
        ? verdict
        : checkKeyInStore(id, secretHash)
    },
    recall (text) {
      const match = KEY_TEXT.exec(text)
      const key = match === null ? undefined : held.use(match[1] as string)
      return key === undefined ? null : checkKey(match![1] as string, key, sha256(match![2] as string))
    },
    holds (id, secret) {
      const now = clock.now()
      const key = held.peek(id)
      // Unknown means forgotten for lack of room: then what is known is its own end.
      if (key === undefined) return !isOver(secret, now)
      const match = key.secrets.find(({ hash }) => hash === secret.hash)
      return match !== undefined && !key.revoked && !isOver(key, now) && !isOver(match, now)
    },
    find: async (id) => held.use(id) ?? (KEY_ID.test(id) && !held.isUnknown(id) ? await held.read(id) : null),
    get: require,
    list: (first, after) => store.find({ first, after }),
    count: () => store.count(),
    listOf: (makerId) => (page) => store.find({ ...page, where: { makerId }, sort: [['createdAt', -1]] }),
    listOfMany: (makerIds) =>
      store.find({ first: PAGE, where: { makerId: { in: makerIds } }, sort: [['createdAt', -1]] }),
    lastUsed: (ids) => uses.of(ids),
    async insert (key) { tell(await store.insert(key)) },
    rotate: (id, secret, overlapEndsAt) => change(id, (key) => {
      if (key.revokedAt !== null) throw new NEKO_ERR_INPUT_INVALID('The key is revoked')
      const newest = key.secrets[0] as KeySecret
      return { ...key, secrets: [secret, { ...newest, expiresAt: overlapEndsAt }] }
    }),
    markRevoked: (id) => change(id, (key) => ({ ...key, revokedAt: key.revokedAt ?? clock.now() })),
    async poll (sinceMs) {
      const where: Where = sinceMs === undefined ? {} : { updatedAt: { gte: sinceMs } }
      const pages = pagesOf(store, { where, sort: [['updatedAt', 1]], first: PAGE, most: PRELOAD })
      for await (const page of pages) for (const key of page) held.apply(key)
    },
    async close () {
      unsubscribe()
      await uses.close()
    }
  }
}

function isOver ({ expiresAt }: { expiresAt: number | null }, now: number): boolean {
  return expiresAt !== null && expiresAt <= now
}

function refused (reason: string): KeyVerdict {
  return { state: 'refused', reason }
}
