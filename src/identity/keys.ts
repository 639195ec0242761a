import type { Fleet } from '../fleet/port.ts'
import { NEKO_ERR_INPUT_INVALID, NEKO_ERR_NOT_FOUND, NEKO_ERR_OVERLOADED } from '../errors.ts'
import { randomText } from '../std/id.ts'
import type { Clock } from '../std/clock.ts'
import { pagesOf } from '../storage/pages.ts'
import type { Page, Storage, Stored, Where } from '../storage/port.ts'
import { keyCollection } from './collections.ts'
import { createKeyUses } from './key-uses.ts'
import { BoundedMap } from '../std/bounded-map.ts'
import { equal, sha256 } from './sessions.ts'
import type { ApiKey, Credential, KeySecret, Principal, Scope } from './shapes.ts'

/**
 * API keys: `neko_<id>_<secret>`, of which the store has SHA-256 hashes only (206 random bits need no slow hash).
 *
 * A key may have two secrets during a rotation: the new one, and the one it replaces until the overlap ends. Every
 * process holds the keys it was shown; a secret that does not fit makes it look at the store again before it refuses
 * (at most once a second per key), so that a rotation needs no message to arrive. Revoking is revocations' business.
 */
const KEY_TEXT = /^neko_([0-9a-z]{16})_([0-9a-z]{40})$/
export const KEY_ID = /^[0-9a-z]{16}$/
const KEYS_HELD_MAX = 20_000
/** Ids nobody has: kept for a short while, so that a flood of one invented key does not become a flood of reads. */
const UNKNOWN_HELD_MAX = 5_000
const UNKNOWN_MS = 5_000
const RELOAD_MS = 1_000
const PAGE = 1_000
const PRELOAD = 10_000
const CONFLICT_TRIES = 5
export const OVERLAP_SECONDS_MAX = 30 * 86_400

interface HeldKey {
  principal: Principal
  expiresAt: number | null
  revoked: boolean
  secrets: KeySecret[]
  revision: number
}

export interface Keys {
  /**
   * Memory where it can. Does not ask whether the key is revoked. Rejects with NEKO_ERR_STORE_UNAVAILABLE
   * when only the store could tell.
   */
  authenticate (text: string): Credential | Promise<Credential>
  get (id: string): Promise<Stored<ApiKey>>
  list (first: number, after: string | null): Promise<Page<Stored<ApiKey>>>
  count (): Promise<number>
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
  const held = new BoundedMap<string, HeldKey>(KEYS_HELD_MAX)
  const unknown = new BoundedMap<string, number>(UNKNOWN_HELD_MAX)
  /** When a key was last looked up again because a secret did not fit. */
  const lookedAgain = new BoundedMap<string, number>(UNKNOWN_HELD_MAX)
  const loading = new Map<string, Promise<HeldKey | null>>()
  const uses = createKeyUses({ storage, clock })

  function apply (key: Stored<ApiKey>): HeldKey {
    const known = held.get(key.id)
    if (known !== undefined && known.revision > key.revision) return known
    const next = heldOf(key)
    held.set(key.id, next)
    return next
  }

  async function read (id: string): Promise<HeldKey | null> {
    const key = await store.get(id)
    if (key !== null) return apply(key)
    unknown.set(id, clock.monotonic() + UNKNOWN_MS)
    return null
  }

  /** One read at a time for each key: a thousand requests with a new key are one read. */
  function load (id: string): Promise<HeldKey | null> {
    const running = loading.get(id)
    if (running !== undefined) return running
    const reading = read(id).finally(() => { if (loading.get(id) === reading) loading.delete(id) })
    loading.set(id, reading)
    return reading
  }

  function mayLookAgain (id: string): boolean {
    if (loading.has(id)) return true
    if (clock.monotonic() - (lookedAgain.get(id) ?? -Infinity) < RELOAD_MS) return false
    lookedAgain.set(id, clock.monotonic())
    return true
  }

  function checkKey (key: HeldKey, secretHash: string): Credential {
    const now = clock.now()
    const match = key.secrets.find((secret) => equal(secret.hash, secretHash))
    if (match === undefined) return refused('api key')
    if (key.revoked) return refused('api key revoked')
    if (
      (key.expiresAt !== null && key.expiresAt <= now) || (match.expiresAt !== null && match.expiresAt <= now)
    ) return refused('api key expired')
    uses.note(key.principal.id)
    return { state: 'held', principal: key.principal }
  }

  async function checkKeyInStore (id: string, secretHash: string): Promise<Credential> {
    const key = await load(id)
    return key === null ? refused('api key') : checkKey(key, secretHash)
  }

  /** Siblings look again; what they hold stays good until they have. */
  function tell (key: Stored<ApiKey>): ApiKey {
    apply(key)
    fleet.publish('identity.key', { id: key.id })
    return key
  }

  const unsubscribe = fleet.subscribe('identity.key', (message) => {
    const id = (message as { id?: unknown })?.id
    if (typeof id !== 'string' || !KEY_ID.test(id)) return
    // A read that is under way may have begun before the change.
    loading.delete(id)
    // Fail-open: with the store down the poll or the next use looks again; a revocation does not come this way.
    load(id).catch(() => null)
  })

  async function change (id: string, next: (key: ApiKey) => ApiKey): Promise<ApiKey> {
    for (let tries = 0; tries < CONFLICT_TRIES; tries++) {
      const { revision, ...key } = await require(id)
      const stored = await store.replace({ ...next(key as ApiKey), updatedAt: clock.now() }, revision)
      if (stored !== null) return tell(stored)
    }
    throw Object.assign(new NEKO_ERR_OVERLOADED('1'), { retryAfterSeconds: 1 })
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
      if (key === undefined) {
        return (unknown.get(id) ?? 0) > clock.monotonic()
          ? refused('api key')
          : checkKeyInStore(id, secretHash)
      }
      const credential = checkKey(key, secretHash)
      return credential.state === 'held' || key.revoked || !mayLookAgain(id)
        ? credential
        : checkKeyInStore(id, secretHash)
    },
    get: require,
    list: (first, after) => store.find({ first, after }),
    count: () => store.count(),
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
      for await (const page of pages) page.forEach(apply)
    },
    async close () {
      unsubscribe()
      await uses.close()
    }
  }
}

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

function heldOf (key: Stored<ApiKey>): HeldKey {
  const principal: Principal = Object.freeze({
    kind: 'key' as const,
    id: key.id,
    name: key.name,
    role: null,
    scopes: Object.freeze([...key.scopes]),
    tier: 'service' as const,
    sessionId: null,
    clientKey: `key:${key.id}`,
    expiresAt: key.expiresAt
  })
  return {
    principal,
    expiresAt: key.expiresAt,
    revoked: key.revokedAt !== null,
    secrets: key.secrets,
    revision: key.revision
  }
}

function refused (reason: string): Credential {
  return { state: 'refused', reason }
}
