import type { Clock } from '../std/clock.ts'
import type { LimitAnswer } from './shapes.ts'
import { keysOf } from './rates.ts'
import type { Bucket } from './rates.ts'

/**
 * Buckets that the primary refuses for a while yet: until then nobody needs to ask it again, so that a client
 * that goes on asking costs the primary nothing. Nothing but time and forgetting lets a refused bucket in, so
 * this is exact.
 */
export interface Refusals {
  find (bucket: Bucket): LimitAnswer | null
  /** From now on, ms; what is already refused for longer stays so. */
  set (key: string, ms: number): void
  forget (clientKey: string): void
}

const REFUSALS_MAX = 20_000
/**
 * The last of it is left to the primary: this process heard of the refusal later than it began, and must not
 * end it late.
 */
const MARGIN_MS = 500

export function createRefusals (clock: Clock): Refusals {
  const until = new Map<string, number>()

  return {
    find ({ key, tier, rate }) {
      const endMs = until.get(key)
      if (endMs === undefined) return null
      const leftMs = endMs - clock.monotonic()
      if (leftMs <= MARGIN_MS) {
        until.delete(key)
        return null
      }
      const seconds = Math.ceil(leftMs / 1000)
      return {
        allowed: false,
        tier,
        limit: rate.max,
        windowSeconds: rate.windowSeconds,
        remaining: 0,
        resetSeconds: seconds,
        retryAfterSeconds: seconds,
        retryAfterMs: leftMs,
        crossed: false,
        count: rate.max,
        store: 'primary'
      }
    },
    set (key, ms) {
      const endMs = clock.monotonic() + ms
      if (ms <= MARGIN_MS || (until.get(key) ?? 0) >= endMs) return
      if (until.size >= REFUSALS_MAX) until.delete(until.keys().next().value as string)
      until.set(key, endMs)
    },
    forget (clientKey) {
      for (const key of keysOf(clientKey)) until.delete(key)
    }
  }
}
