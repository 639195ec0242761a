import type { Clock } from '../std/clock.ts'
import { pagesOf } from '../storage/pages.ts'
import type { Collection, Storage, Stored } from '../storage/port.ts'
import { joined } from './authority.ts'
import { keyCollection, userCollection } from './collections.ts'
import { MANAGE_DAYS_MAX, MANAGE_MS_MAX } from './new-key.ts'
import type { ApiKey, Authority, User } from './shapes.ts'

/**
 * Keys at a start: those that were stored before keys fell with their makers learn whom they come from, a key with
 * `manage` gets an end, and what fell while nobody could mark it is marked as revoked. Each start looks at all of them,
 * so that a fleet whose older processes still make keys is put right too. May run on several hosts at once: a key that
 * somebody else changes meanwhile is left to them.
 */
export interface KeyFindings {
  /** Ids of keys with `manage` that got an end. */
  ended: string[]
  /** Ids of keys that are marked as revoked now: their maker was disabled, or a key they were made with revoked. */
  fell: string[]
  /** Ids of living keys whose maker the store does not have: they keep their scopes. */
  makerless: string[]
}

const PAGE = 500
const KEYS_MAX = 100_000
/** Keys made with keys, and so on, as far as it is followed. */
const CHAIN_MAX = 16
/** Ids that a line of the log names. */
const NAMED_MAX = 20

/** @throws NEKO_ERR_STORE_UNAVAILABLE */
export async function upgradeKeys ({ storage, clock }: { storage: Storage, clock: Clock }): Promise<KeyFindings> {
  const keys = storage.collection<ApiKey>(keyCollection)
  const users = storage.collection<User>(userCollection)
  const findings: KeyFindings = { ended: [], fell: [], makerless: [] }
  const nowMs = clock.now()
  for await (const page of pagesOf(keys, { first: PAGE, most: KEYS_MAX })) {
    const origins = await Promise.all(page.map((key) => originOf(key, keys)))
    const makers = await makersOf(origins.map(({ makerId }) => makerId), users)
    const revoked = await revokedOf(origins.flatMap(({ authority }) => authority.keys), keys)
    for (const [i, { revision, ...stored }] of page.entries()) {
      const key = stored as ApiKey
      const { makerId, authority } = origins[i]!
      const maker = makerId === null ? undefined : makers.get(makerId)
      const fell = hasFallen(authority, maker) || authority.keys.some((id) => revoked.has(id))
      const lasting = maker === undefined ? withoutPeople(authority) : authority
      const next = upgraded({ ...key, makerId, authority: lasting }, { fell, nowMs })
      if (next.revokedAt !== key.revokedAt) findings.fell.push(key.id)
      else if (maker === undefined && isAlive(key, nowMs)) findings.makerless.push(key.id)
      if (next.expiresAt !== key.expiresAt) findings.ended.push(key.id)
      if (isChanged(key, next)) await keys.replace({ ...next, updatedAt: nowMs }, revision)
    }
  }
  return findings
}

/** A living key that fell is revoked; one with `manage` that stays gets an end. Of the others nothing changes. */
function upgraded (key: ApiKey, { fell, nowMs }: { fell: boolean, nowMs: number }): ApiKey {
  if (!isAlive(key, nowMs)) return key
  if (fell) return { ...key, revokedAt: nowMs }
  const latest = nowMs + MANAGE_MS_MAX
  const lastsTooLong = key.scopes.includes('manage') && (key.expiresAt ?? Infinity) > latest
  return lastsTooLong ? { ...key, expiresAt: latest } : key
}

/** One line for each kind of finding, with ids and never a name. */
export function warnOfKeys (
  { ended, fell, makerless }: KeyFindings,
  log: { warn (fields: object, message: string): void }
): void {
  const warn = (ids: string[], message: string): void => {
    if (ids.length > 0) log.warn({ keys: ids.slice(0, NAMED_MAX), count: ids.length }, message)
  }
  warn(ended, `API keys with manage had no end within ${MANAGE_DAYS_MAX} days: they end in ${MANAGE_DAYS_MAX} days`)
  warn(fell, 'API keys are revoked because their maker was disabled, or the key that they were made with revoked')
  warn(makerless, 'API keys whose maker is not known keep their scopes: replace them by keys of somebody who is')
}

/** Whom a key comes from. One that knows already is not asked again. */
async function originOf (
  key: Stored<ApiKey>,
  keys: Pick<Collection<ApiKey>, 'get'>
): Promise<{ makerId: string | null, authority: Authority }> {
  if (key.authority !== undefined) return { makerId: key.makerId ?? null, authority: key.authority }
  const madeWith: string[] = []
  let current: ApiKey | null = key
  for (let i = 0; i < CHAIN_MAX && current !== null; i++) {
    const [kind, id = ''] = current.createdBy.split(':')
    if (kind === 'user') {
      return { makerId: id, authority: { people: [{ userId: id, keysGeneration: 0 }], keys: madeWith } }
    }
    if (kind !== 'key') break
    current = await keys.get(id)
    if (current !== null) madeWith.push(id)
    if (current?.authority !== undefined) {
      const authority = joined([current.authority, { people: [], keys: madeWith }])
      return { makerId: current.makerId ?? null, authority }
    }
  }
  return { makerId: null, authority: { people: [], keys: madeWith } }
}

async function makersOf (
  ids: ReadonlyArray<string | null>,
  users: Pick<Collection<User>, 'getMany'>
): Promise<Map<string, User>> {
  const found = await users.getMany([...new Set(ids.filter((id) => id !== null))])
  return new Map(found.map((user) => [user.id, user]))
}

async function revokedOf (ids: readonly string[], keys: Pick<Collection<ApiKey>, 'getMany'>): Promise<Set<string>> {
  const parents = await keys.getMany([...new Set(ids)])
  return new Set(parents.filter(({ revokedAt }) => revokedAt !== null).map(({ id }) => id))
}

function withoutPeople ({ keys }: Authority): Authority {
  return { people: [], keys }
}

function isAlive ({ revokedAt, expiresAt }: ApiKey, nowMs: number): boolean {
  return revokedAt === null && (expiresAt === null || expiresAt > nowMs)
}

function hasFallen ({ people }: Authority, maker: User | undefined): boolean {
  if (maker === undefined) return false
  const { id, disabled, keysGeneration = 0 } = maker
  return people.some((one) => one.userId === id && (disabled || one.keysGeneration !== keysGeneration))
}

function isChanged (before: ApiKey, after: ApiKey): boolean {
  return before.authority?.people.length !== after.authority?.people.length || before.makerId !== after.makerId ||
    before.revokedAt !== after.revokedAt || before.expiresAt !== after.expiresAt
}
