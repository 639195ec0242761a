import type { Fleet } from '../fleet/port.ts'
import { BoundedMap } from '../std/bounded-map.ts'
import type { Clock } from '../std/clock.ts'

/**
 * Access tokens that a process of the fleet issued or verified, by a part of their signature: a hint that a token is
 * worth its HMAC where strangers' tokens are not. It lets nobody in, so a message that somebody forged costs an HMAC.
 * Half a signature tells nothing that helps to make the other half.
 */
export interface IssuedTokens {
  note (token: string, expiresAt: number): void
  has (handle: string): boolean
  close (): void
}

const ISSUED_MAX = 20_000
const HANDLE = /^[A-Za-z0-9_-]{22}$/

export function createIssuedTokens ({ fleet, clock }: { fleet: Fleet, clock: Clock }): IssuedTokens {
  const expiries = new BoundedMap<string, number>(ISSUED_MAX)

  const unsubscribe = fleet.subscribe('identity.issued', (message) => {
    const [handle, expiresAt] = Array.isArray(message) ? message : []
    if (typeof handle === 'string' && HANDLE.test(handle) && typeof expiresAt === 'number') {
      expiries.set(handle, expiresAt)
    }
  })

  return {
    note (token, expiresAt) {
      const handle = handleOf(token)
      if (expiries.has(handle)) return
      expiries.set(handle, expiresAt)
      fleet.publish('identity.issued', [handle, expiresAt])
    },
    has: (handle) => (expiries.get(handle) ?? 0) > clock.now(),
    close: unsubscribe
  }
}

/** 132 of the 256 bits of a token's signature, which is its last 43 characters. */
export function handleOf (token: string): string {
  return token.slice(-43, -21)
}
