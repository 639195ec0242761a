import { addressKey } from '../std/ip.ts'
import type { Clock } from '../std/clock.ts'
import type { Storage } from '../storage/port.ts'
import { knownAddressCollection } from './collections.ts'
import { sha256 } from './sessions.ts'

/**
 * Addresses from which a user has logged in before. Without them whoever tries wrong passwords of somebody else's
 * account, from anywhere, makes its owner wait: a known address never waits behind strangers. Kept as hashes, the
 * newest few of each user, for thirty days since the last login from there.
 */
interface KnownAddresses {
  /** The same time for a user who does not exist (null). @throws NEKO_ERR_STORE_UNAVAILABLE */
  knows (userId: string | null, address: string): Promise<boolean>
  /** Never rejects: a login does not fail because of it. */
  note (userId: string, address: string): Promise<void>
}

interface KnownAddress { hash: string, until: number }
/** Of one user. */
interface Known { id: string, addresses: KnownAddress[], expiresAt: number }

const KNOWN_MS = 30 * 86_400_000
/** Somebody's homes, offices, trains and telephones of a month. */
const ADDRESSES_MAX = 64

export function createKnownAddresses ({ storage, clock }: { storage: Storage, clock: Clock }): KnownAddresses {
  const store = storage.collection<Known>(knownAddressCollection)
  const hashOf = (userId: string, address: string): string => sha256(`${userId} ${addressKey(address)}`).slice(0, 40)
  const idOf = (userId: string): string => `of:${userId}`

  async function remember (userId: string, address: string): Promise<void> {
    const now = clock.now()
    const hash = hashOf(userId, address)
    const before = await store.get(idOf(userId))
    const others = (before?.addresses ?? []).filter((one) => one.hash !== hash && one.until > now)
    const addresses = [{ hash, until: now + KNOWN_MS }, ...others].slice(0, ADDRESSES_MAX)
    // Of two logins at once one may be forgotten, and is remembered the next time.
    await store.put({ id: idOf(userId), addresses, expiresAt: now + KNOWN_MS })
  }

  return {
    async knows (userId, address) {
      const known = await store.get(idOf(userId ?? 'nobody'))
      const hash = hashOf(userId ?? 'nobody', address)
      return known?.addresses.some((one) => one.hash === hash && one.until > clock.now()) === true && userId !== null
    },
    async note (userId, address) {
      // Fail-open: the next login from there tries again.
      await remember(userId, address).catch(() => null)
    }
  }
}
