import type { Clock } from '../std/clock.ts'
import { keysOf } from './rates.ts'
import type { Rate } from './shapes.ts'
import type { WindowLimiter } from './window.ts'

/**
 * The primary's side of lending: a client that keeps one process busy and is far from its limit is counted ahead, so
 * that the process need not ask for each request. Lent points count as admitted at once; unused ones come back when
 * their time is over or, before anybody is refused for them, when they are called back. So N stays N.
 *
 * A lease ends with the sub-window in which it was counted: used later, it would leave the window too early.
 */
export interface Leases {
  /**
   * Points counted ahead for a process, and for how long, ms; null when the bucket is too near its limit. Points that
   * it was lent before it has used up or given back, or it would not ask.
   */
  grant (key: string, rate: Rate, processId: string): { points: number, ms: number } | null
  /** Other processes that may still hold points of this bucket. */
  holders (key: string, processId: string): string[]
  /** False when nothing of this bucket is lent to it (any more): then nothing may be given back either. */
  end (key: string, processId: string): boolean
  forget (clientKey: string): void
  /** Leases whose holder never said what became of them. */
  sweep (): void
}

/** One in so many of the points left: a bucket with fewer than 128 left is never lent from. */
const SHARE = 64
const POINTS_MAX = 256
const BUCKETS_MAX = 5_000
/** A lease that ends sooner, with its sub-window, is not worth its message. */
const LEASE_MS_MIN = 50

export function createLeases ({ clock, windows }: { clock: Clock, windows: WindowLimiter }): Leases {
  /** By bucket and holder: when lent points leave the window. Given back later they would be taken from others' use. */
  const lent = new Map<string, Map<string, number>>()

  return {
    grant (key, rate, processId) {
      const used = windows.peek('standard', key, rate).count
      const points = Math.min(POINTS_MAX, Math.floor((rate.max - used) / SHARE))
      const holders = lent.get(key) ?? new Map<string, number>()
      const ms = windows.subWindowMs(key)
      if (points < 2 || ms < LEASE_MS_MIN || (holders.size === 0 && lent.size >= BUCKETS_MAX)) return null
      windows.absorb(key, rate, points)
      holders.set(processId, clock.monotonic() + ms + rate.windowSeconds * 1000)
      lent.set(key, holders)
      return { points, ms }
    },
    holders (key, processId) {
      const holders = lent.get(key)
      return holders === undefined ? [] : [...holders.keys()].filter((holder) => holder !== processId)
    },
    end (key, processId) {
      const holders = lent.get(key)
      const goneMs = holders?.get(processId)
      if (goneMs === undefined) return false
      holders!.delete(processId)
      if (holders!.size === 0) lent.delete(key)
      return goneMs > clock.monotonic()
    },
    forget (clientKey) {
      for (const key of keysOf(clientKey)) lent.delete(key)
    },
    sweep () {
      const now = clock.monotonic()
      for (const [key, holders] of lent) {
        for (const [holder, goneMs] of holders) if (goneMs <= now) holders.delete(holder)
        if (holders.size === 0) lent.delete(key)
      }
    }
  }
}
