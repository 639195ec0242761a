import { BoundedMap } from '../std/bounded-map.ts'
import type { Clock } from '../std/clock.ts'
import { refused } from './answers.ts'
import { keysOf } from './rates.ts'
import type { Bucket, LimitAnswer } from './shapes.ts'

/**
 * Buckets that the primary refuses for a while yet: until then nobody needs to ask it again, so that a client that goes
 * on asking costs the primary nothing. Nothing but time and forgetting lets a refused bucket in, so this is exact.
 */
export interface Refusals {
  find (bucket: Bucket): LimitAnswer | null
  /** From now on, ms; a refusal that lasts longer already stays as it is. */
  set (key: string, ms: number): void
  forget (clientKey: string): void
}

const REFUSALS_MAX = 20_000
/** The last of it is left to the primary: this process heard of the refusal late, and must not end it late. */
const MARGIN_MS = 500

export function createRefusals (clock: Clock): Refusals {
  const until = new BoundedMap<string, number>(REFUSALS_MAX)

  return {
    find ({ key, tier, rate }) {
      const endMs = until.get(key)
      if (endMs === undefined) return null
      const leftMs = endMs - clock.monotonic()
      if (leftMs > MARGIN_MS) {
        return refused({ tier, rate, count: rate.max, retryAfterMs: leftMs, crossed: false, store: 'primary' })
      }
      until.delete(key)
      return null
    },
    set (key, ms) {
      const endMs = clock.monotonic() + ms
      if (ms > MARGIN_MS && (until.get(key) ?? 0) < endMs) until.set(key, endMs)
    },
    forget (clientKey) {
      for (const key of keysOf(clientKey)) until.delete(key)
    }
  }
}
