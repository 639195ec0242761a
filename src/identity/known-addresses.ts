import { addressKey } from '../std/ip.ts'
import type { Clock } from '../std/clock.ts'
import type { Storage } from '../storage/port.ts'
import { knownAddressCollection } from './collections.ts'
import { sha256 } from './sessions.ts'

/**
 * Addresses from which a user has logged in before. Without them whoever tries ten wrong passwords of somebody else's
 * account, from anywhere, locks its owner out: when the tries on an account are used up, an address it knows still has
 * its own (OWASP's device cookies, by address). Kept as hashes, for thirty days since the last login from there.
 */
export interface KnownAddresses {
  /** The same time for a user who does not exist (null). @throws NEKO_ERR_STORE_UNAVAILABLE */
  knows (userId: string | null, address: string): Promise<boolean>
  /** Never rejects: a login does not fail because of it. */
  note (userId: string, address: string): Promise<void>
}

interface KnownAddress { id: string, expiresAt: number }

const KNOWN_MS = 30 * 86_400_000

export function createKnownAddresses ({ storage, clock }: { storage: Storage, clock: Clock }): KnownAddresses {
  const store = storage.collection<KnownAddress>(knownAddressCollection)
  const idOf = (userId: string, address: string): string => sha256(`${userId} ${addressKey(address)}`).slice(0, 40)
  return {
    async knows (userId, address) {
      return await store.get(idOf(userId ?? 'nobody', address)) !== null && userId !== null
    },
    async note (userId, address) {
      // Fail-open: the next login from there tries again.
      await store.put({ id: idOf(userId, address), expiresAt: clock.now() + KNOWN_MS }).catch(() => null)
    }
  }
}
