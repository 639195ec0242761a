import { BoundedMap } from '../std/bounded-map.ts'
import type { Clock } from '../std/clock.ts'
import { addressKey } from '../std/ip.ts'
import type { Storage } from '../storage/port.ts'
import { usedAddressCollection } from './collections.ts'
import { createKnownAddresses } from './known-addresses.ts'
import { sha256 } from './sessions.ts'
import type { Principal } from './shapes.ts'

/**
 * From which addresses each credential (a key, or a user by any session) is used, so that a stolen one can be told by
 * where it comes from. Noted in memory at each use; the first use from an address is written within ten seconds, and
 * the first that was written stands, so that all processes agree since when. Kept as hashes, for thirty days since the
 * last day of use. Decides nothing: it answers a question.
 */
export interface UsedAddresses {
  /** A comparison for all but the first use from there. Never throws. */
  noteUse (principal: Pick<Principal, 'clientKey'>, address: string): void
  /**
   * True for an address from which the credential was used for the first time within ten minutes, and its user never
   * signed in. Never rejects: with the store away an address is not called new.
   */
  isNewAddress (principal: Pick<Principal, 'clientKey' | 'kind' | 'id'>, address: string): Promise<boolean>
}

interface UsedAddress { id: string, firstAt: number, expiresAt: number }

/** The use of a credential from one address, as this process knows it. */
interface Use { firstAt: number, writtenAt: number }

/** All of one credential. */
interface Uses {
  last: string
  /** Until then, the last one needs no second look. */
  lastUntil: number
  /** By address, IPv6 by /64. */
  byAddress: BoundedMap<string, Use>
  writes: number
  writesSince: number
}

const NEW_MS = 600_000
const KEPT_MS = 30 * 86_400_000
const DAY_MS = 86_400_000
const CREDENTIALS_MAX = 2_000
const ADDRESSES_MAX = 32
/** Of one credential and process: whoever changes addresses faster writes no more of them, and stays new there. */
const WRITES_PER_DAY_MAX = 64
const WRITE_MS = 10_000
const WAITING_MAX = 1_000

export function createUsedAddresses (
  { storage, clock }: { storage: Storage, clock: Clock }
): UsedAddresses & { close (): Promise<void> } {
  const knownAddresses = createKnownAddresses({ storage, clock })
  const store = storage.collection<UsedAddress>(usedAddressCollection)
  const credentials = new BoundedMap<string, Uses>(CREDENTIALS_MAX)
  const waiting = new Map<string, UsedAddress>()
  const idOf = (clientKey: string, key: string): string => sha256(`${clientKey} ${key}`).slice(0, 40)

  function usesOf (clientKey: string): Uses {
    return credentials.getOrInsertComputed(clientKey, () =>
      ({ last: '', lastUntil: 0, byAddress: new BoundedMap(ADDRESSES_MAX), writes: 0, writesSince: clock.now() }))
  }

  function noteUse ({ clientKey }: Pick<Principal, 'clientKey'>, address: string): void {
    const now = clock.now()
    const known = credentials.get(clientKey)
    if (known?.last === address && now < known.lastUntil) return
    const uses = known ?? usesOf(clientKey)
    uses.last = address
    uses.lastUntil = now + DAY_MS
    const key = addressKey(address)
    const use = uses.byAddress.get(key) ?? { firstAt: now, writtenAt: -Infinity }
    uses.byAddress.set(key, use)
    if (now - use.writtenAt < DAY_MS || !mayWrite(uses, now)) return
    use.writtenAt = now
    const id = idOf(clientKey, key)
    waiting.set(id, { id, firstAt: use.firstAt, expiresAt: now + KEPT_MS })
  }

  function mayWrite (uses: Uses, now: number): boolean {
    if (now - uses.writesSince >= DAY_MS) {
      uses.writes = 0
      uses.writesSince = now
    }
    return waiting.size < WAITING_MAX && ++uses.writes <= WRITES_PER_DAY_MAX
  }

  async function write (): Promise<void> {
    if (waiting.size === 0) return
    const rows = [...waiting.values()]
    waiting.clear()
    try {
      // Those that are there already are left as they are, and live on.
      await store.insertMany(rows)
      const lasting = await store.getMany(rows.map(({ id }) => id))
      const stale = lasting.filter(({ expiresAt }) => expiresAt < clock.now() + KEPT_MS - DAY_MS)
      const renewed = stale.map(({ id, firstAt }) => ({ id, firstAt, expiresAt: clock.now() + KEPT_MS }))
      if (renewed.length > 0) await store.putMany(renewed)
    } catch {
      // Fail-open: an address that was not written is written with the first use of another day.
    }
  }

  async function isNewAddress (
    { clientKey, kind, id }: Pick<Principal, 'clientKey' | 'kind' | 'id'>,
    address: string
  ): Promise<boolean> {
    const key = addressKey(address)
    const since = clock.now() - NEW_MS
    const use = credentials.get(clientKey)?.byAddress.get(key)
    if (use !== undefined && use.firstAt <= since) return false
    try {
      const stored = await store.get(idOf(clientKey, key))
      if (stored !== null && stored.firstAt <= since) {
        if (use !== undefined) use.firstAt = stored.firstAt
        return false
      }
      return kind === 'key' || !await knownAddresses.knows(id, address)
    } catch {
      return false
    }
  }

  const timer = clock.every(WRITE_MS, write)
  return {
    noteUse,
    isNewAddress,
    async close () {
      timer.cancel()
      await write()
    }
  }
}
