import type { Clock } from '../std/clock.ts'
import type { Tier } from '../identity/shapes.ts'
import { retryAfterMs, wholeSeconds } from './retry-after.ts'
import { admitted, refused } from './answers.ts'
import type { Bucket, LimitAnswer, Rate } from './shapes.ts'
import { WindowTable } from './window-table.ts'

/**
 * The local limiter: a sliding window of 16 sub-windows per key, in fixed memory (window-table.ts).
 *
 * Owns: when a count is too much, and how long that lasts. Never does: decide who is limited by what, or talk to
 * another process. In: a key, its rate, a cost. Out: a LimitAnswer, exact: N at once, never more than N in any window,
 * because a partly expired sub-window is counted in full. A fixed window lets 199 of 100 pass across its boundary, and
 * GCRA 2N-1.
 */
/** A block ends this much before its round number of seconds, so that Retry-After can say that number and be kept. */
const EARLY_MS = 5
/** A block ordered again this much later is the same one: a client that was told its end must not find it moved. */
const SAME_BLOCK_MS = 1_000

export interface WindowLimiter {
  take (tier: Tier, key: string, rate: Rate, cost?: number): LimitAnswer
  /** The state without taking: `allowed` says whether one more would pass. */
  peek (tier: Tier, key: string, rate: Rate): LimitAnswer
  /** Adds points that others admitted; never refuses. */
  absorb (key: string, rate: Rate, count: number): void
  /** The count as the primary has it: missing points were admitted now, surplus ones long ago. */
  tell (key: string, rate: Rate, count: number): void
  /** Takes back points that were taken and not used. */
  refund (key: string, count: number): void
  /** How long the sub-window in which the key is counted now lasts yet, ms. */
  subWindowMs (key: string): number
  /** Refuses the key until then, whatever its count. */
  block (key: string, rate: Rate, ms: number): void
  forget (key: string): void
}

/** @param options capacity: keys, 109 bytes each */
export function createWindowLimiter (options: { clock: Clock, capacity: number }): WindowLimiter {
  const table = new WindowTable(options.capacity)
  // Above 0, where the table's times begin.
  const nowMs = (): number => options.clock.monotonic() + 1

  return {
    take (tier, key, rate, cost = 1) {
      const now = nowMs()
      const slot = table.claim(key, rate, now)
      const used = table.advance(slot, now)
      const isBlocked = table.blockedUntilMs(slot) > now
      if (!isBlocked && used + cost <= rate.max) {
        table.add(slot, cost)
        table.setCrossed(slot, false)
        return roomIn(table, { tier, rate, slot, now, used: used + cost })
      }
      const crossed = !isBlocked && !table.hasCrossed(slot)
      table.setCrossed(slot, true)
      if (crossed && rate.blockSeconds > 0) table.blockUntil(slot, now + rate.blockSeconds * 1000 - EARLY_MS)
      return noRoomIn(table, { tier, rate, slot, now, used }, { cost, crossed })
    },
    peek (tier, key, rate) {
      const now = nowMs()
      const slot = table.find(key, now)
      if (slot < 0) return admitted({ tier, rate, count: 0, resetSeconds: 1, store: 'local' })
      const look = { tier, rate, slot, now, used: table.advance(slot, now) }
      const hasRoom = table.blockedUntilMs(slot) <= now && look.used < rate.max
      return hasRoom ? roomIn(table, look) : noRoomIn(table, look, { cost: 1, crossed: false })
    },
    absorb (key, rate, count) {
      const now = nowMs()
      const slot = table.claimAsItIs(key, rate, now)
      table.advance(slot, now)
      table.add(slot, count)
    },
    tell (key, rate, count) {
      const now = nowMs()
      const slot = table.claimAsItIs(key, rate, now)
      const used = table.advance(slot, now)
      if (count >= used) table.add(slot, count - used)
      else table.lower(slot, used - count)
    },
    refund (key, count) {
      const now = nowMs()
      const slot = table.find(key, now)
      if (slot >= 0) table.lower(slot, Math.min(count, table.advance(slot, now)))
    },
    subWindowMs (key) {
      const now = nowMs()
      const slot = table.find(key, now)
      return slot < 0 ? 0 : Math.max(0, table.subWindowEndMs(slot) - now)
    },
    block (key, rate, ms) {
      const now = nowMs()
      const slot = table.claimAsItIs(key, rate, now)
      const [beforeMs, untilMs] = [table.blockedUntilMs(slot), now + ms - EARLY_MS]
      const isNew = beforeMs <= now || beforeMs < untilMs - SAME_BLOCK_MS
      if (isNew) table.blockUntil(slot, Math.max(beforeMs, untilMs))
      table.setCrossed(slot, true)
    },
    forget (key) {
      const slot = table.find(key, nowMs())
      if (slot >= 0) table.clear(slot)
    }
  }
}

/** A slot as it was found. */
interface Look extends Pick<Bucket, 'tier' | 'rate'> { slot: number, now: number, used: number }

function roomIn (table: WindowTable, { tier, rate, slot, now, used }: Look): LimitAnswer {
  const emptyMs = Math.min(table.emptyAtMs(slot) - now, rate.windowSeconds * 1000)
  return admitted({ tier, rate, count: used, resetSeconds: wholeSeconds(emptyMs), store: 'local' })
}

/** More than the window can ever hold is told when the window is empty. */
function noRoomIn (
  table: WindowTable,
  { tier, rate, slot, now, used }: Look,
  { cost, crossed }: { cost: number, crossed: boolean }
): LimitAnswer {
  const roomAtMs = table.atMostMs(slot, used, rate.max - Math.min(cost, rate.max))
  const untilMs = retryAfterMs({ nowMs: now, blockedUntilMs: table.blockedUntilMs(slot), roomAtMs })
  return refused({ tier, rate, count: used, retryAfterMs: untilMs, crossed, store: 'local' })
}
