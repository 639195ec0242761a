import type { Clock } from '../std/clock.ts'
import type { Tier } from '../identity/shapes.ts'
import type { LimitAnswer } from './shapes.ts'

/**
 * The local limiter: a sliding window of 16 sub-windows per key, in fixed memory.
 *
 * Owns: counts per key, and blocks. Never does: decide who is limited by what, or talk to another process.
 * In: a key, its rate, a cost. Out: a LimitAnswer, exact: N at once, never more than N in any window, because a partly
 * expired sub-window is counted in full. A fixed window lets 199 of 100 pass across its boundary, and GCRA 2N-1.
 *
 * Why typed arrays: a Map of a million keys costs 189 MB. Here a key is 64 bits of hash in an 8-way bucket of a table
 * that never grows; when a bucket is full of live keys, the one idle for longest is forgotten (a flood of addresses
 * can loosen the count of an idle client, never of a busy one, and never lifts a block while unblocked keys are there).
 */
export const SUB_WINDOWS = 16
const CELLS = SUB_WINDOWS + 1
const WAYS = 8
/** A block ends this much before its round number of seconds, so that Retry-After can say that number and be kept. */
const EARLY_MS = 5
/** A block ordered again this much later is the same one: who was told when it ends must not find it moved. */
const SAME_BLOCK_MS = 1_000

export interface Rate { max: number, windowSeconds: number, blockSeconds: number }

export interface WindowLimiter {
  take (tier: Tier, key: string, rate: Rate, cost?: number): LimitAnswer
  /** The state without taking: `allowed` says whether one more would pass. */
  peek (tier: Tier, key: string, rate: Rate): LimitAnswer
  /** Adds what others admitted; never refuses. */
  absorb (key: string, rate: Rate, count: number): void
  /** The count is this, says who counts for all: what is missing was admitted now, what is too much long ago. */
  tell (key: string, rate: Rate, count: number): void
  /**
   * Takes back what was taken and not used; what is oldest goes first, so that no window ever holds more than
   * it may.
   */
  refund (key: string, count: number): void
  /** How long the sub-window in which the key is counted now lasts yet, ms. */
  subWindowMs (key: string): number
  /** Refuses the key until then, whatever its count. */
  block (key: string, rate: Rate, ms: number): void
  forget (key: string): void
}

/** `capacity` keys, rounded up to a power of two: 109 bytes each, allocated at once but touched only as used. */
export function createWindowLimiter ({ clock, capacity }: { clock: Clock, capacity: number }): WindowLimiter {
  const buckets = 2 ** Math.ceil(Math.log2(Math.max(1, capacity / WAYS)))
  const slots = buckets * WAYS
  const hashLow = new Uint32Array(slots)
  const hashHigh = new Uint32Array(slots)
  // Index of the newest sub-window, in units of windowMs / 16 of monotonic time.
  const newest = new Float64Array(slots)
  // The window that the counts were made for: a reload may change it.
  const spanSeconds = new Float64Array(slots)
  const touchedMs = new Float64Array(slots)
  const blockedUntilMs = new Float64Array(slots)
  const crossedBefore = new Uint8Array(slots)
  const counts = new Uint32Array(slots * CELLS)

  function take (tier: Tier, key: string, rate: Rate, cost = 1): LimitAnswer {
    const now = clock.monotonic() + 1
    const slot = find(key, now, true)
    if (spanSeconds[slot] !== rate.windowSeconds) respan(slot, rate, now)
    const used = advance(slot, now)
    const blocked = blockedUntilMs[slot]! > now
    if (!blocked && used + cost <= rate.max) {
      counts[slot * CELLS + (newest[slot]! % CELLS)]! += cost
      crossedBefore[slot] = 0
      return answer({ tier, rate, slot, now, used: used + cost, allowed: true, crossed: false })
    }
    const crossed = !blocked && crossedBefore[slot] === 0
    crossedBefore[slot] = 1
    if (crossed && rate.blockSeconds > 0) blockedUntilMs[slot] = now + rate.blockSeconds * 1000 - EARLY_MS
    return answer({ tier, rate, slot, now, used, allowed: false, crossed, cost })
  }

  function peek (tier: Tier, key: string, rate: Rate): LimitAnswer {
    const now = clock.monotonic() + 1
    const slot = find(key, now, false)
    if (slot < 0) {
      return {
        allowed: true,
        tier,
        limit: rate.max,
        windowSeconds: rate.windowSeconds,
        remaining: rate.max,
        resetSeconds: 1,
        retryAfterSeconds: 0,
        retryAfterMs: 0,
        crossed: false,
        count: 0,
        store: 'local'
      }
    }
    const used = advance(slot, now)
    return answer({
      tier,
      rate,
      slot,
      now,
      used,
      allowed: blockedUntilMs[slot]! <= now && used < rate.max,
      crossed: false
    })
  }

  function absorb (key: string, rate: Rate, count: number): void {
    const now = clock.monotonic() + 1
    const slot = made(key, rate, now)
    advance(slot, now)
    counts[slot * CELLS + (newest[slot]! % CELLS)]! += count
  }

  function tell (key: string, rate: Rate, count: number): void {
    const now = clock.monotonic() + 1
    const slot = made(key, rate, now)
    const used = advance(slot, now)
    if (count >= used) counts[slot * CELLS + (newest[slot]! % CELLS)]! += count - used
    else lower(slot, used - count)
  }

  function refund (key: string, count: number): void {
    const now = clock.monotonic() + 1
    const slot = find(key, now, false)
    if (slot >= 0) lower(slot, Math.min(count, advance(slot, now)))
  }

  function subWindowMs (key: string): number {
    const now = clock.monotonic() + 1
    const slot = find(key, now, false)
    return slot < 0 ? 0 : Math.max(0, (newest[slot]! + 1) * (spanSeconds[slot]! * 1000 / SUB_WINDOWS) - now)
  }

  function block (key: string, rate: Rate, ms: number): void {
    const now = clock.monotonic() + 1
    const slot = made(key, rate, now)
    const untilMs = now + ms - EARLY_MS
    if (blockedUntilMs[slot]! <= now || blockedUntilMs[slot]! < untilMs - SAME_BLOCK_MS) {
      blockedUntilMs[slot] = Math.max(blockedUntilMs[slot]!, untilMs)
    }
    crossedBefore[slot] = 1
  }

  function forget (key: string): void {
    const slot = find(key, clock.monotonic() + 1, false)
    if (slot >= 0) clear(slot)
  }

  /** The key's slot; when `make`, one is found for it at any price, else -1. */
  function find (key: string, now: number, make: boolean): number {
    const [low, high] = hash64(key)
    const first = (low & (buckets - 1)) * WAYS
    let victim = first
    let victimRank = Infinity
    for (let slot = first; slot < first + WAYS; slot++) {
      if (hashLow[slot] === low && hashHigh[slot] === high && touchedMs[slot]! > 0) {
        if (make) touchedMs[slot] = now
        return slot
      }
      // Free slots first, then the idlest; a blocked key only when all eight are blocked.
      const rank = touchedMs[slot]! + (blockedUntilMs[slot]! > now ? 1e12 : 0)
      if (rank < victimRank) { victim = slot; victimRank = rank }
    }
    if (!make) return -1
    clear(victim)
    hashLow[victim] = low
    hashHigh[victim] = high
    touchedMs[victim] = now
    return victim
  }

  /** The key's slot, for whoever changes it without knowing better which window it has. */
  function made (key: string, rate: Rate, now: number): number {
    const slot = find(key, now, true)
    if (spanSeconds[slot] === 0) respan(slot, rate, now)
    return slot
  }

  /** Another window: what was admitted in the old one counts as if it were now, which is never looser. */
  function respan (slot: number, rate: Rate, now: number): void {
    const sum = spanSeconds[slot] === 0 ? 0 : advance(slot, now)
    spanSeconds[slot] = rate.windowSeconds
    newest[slot] = Math.floor(now / (rate.windowSeconds * 1000 / SUB_WINDOWS))
    const base = slot * CELLS
    counts.fill(0, base, base + CELLS)
    counts[base + (newest[slot]! % CELLS)] = sum
  }

  function lower (slot: number, by: number): void {
    let left = by
    for (let i = SUB_WINDOWS; i >= 0 && left > 0; i--) {
      const cell = slot * CELLS + ((newest[slot]! - i + CELLS) % CELLS)
      const taken = Math.min(left, counts[cell]!)
      counts[cell]! -= taken
      left -= taken
    }
  }

  function clear (slot: number): void {
    spanSeconds[slot] = 0
    touchedMs[slot] = 0
    blockedUntilMs[slot] = 0
    crossedBefore[slot] = 0
    newest[slot] = 0
    counts.fill(0, slot * CELLS, slot * CELLS + CELLS)
  }

  /** Empties the sub-windows that time has passed and returns the sum of the rest. */
  function advance (slot: number, now: number): number {
    const current = Math.floor(now / (spanSeconds[slot]! * 1000 / SUB_WINDOWS))
    const base = slot * CELLS
    const behind = Math.min(CELLS, current - newest[slot]!)
    for (let i = 0; i < behind; i++) counts[base + ((current - i) % CELLS)] = 0
    if (behind > 0) newest[slot] = current
    let sum = 0
    for (let i = 0; i < CELLS; i++) sum += counts[base + i]!
    return sum
  }

  /** Milliseconds until `wanted` more fit: the oldest sub-windows leave one after the other. */
  function waitMs (slot: number, rate: Rate, now: number, used: number, wanted: number): number {
    const subMs = spanSeconds[slot]! * 1000 / SUB_WINDOWS
    let left = used
    for (let i = SUB_WINDOWS; i >= 0; i--) {
      if (left + wanted <= rate.max) {
        return i === SUB_WINDOWS
          ? 0
          : Math.max(0, (newest[slot]! - i - 1 + CELLS) * subMs - now)
      }
      left -= counts[slot * CELLS + ((newest[slot]! - i + CELLS) % CELLS)]!
    }
    return (newest[slot]! + CELLS) * subMs - now
  }

  function answer (
    { tier, rate, slot, now, used, allowed, crossed, cost = 1 }: {
      tier: Tier,
      rate: Rate,
      slot: number,
      now: number,
      used: number,
      allowed: boolean,
      crossed: boolean,
      cost?: number
    }
  ): LimitAnswer {
    const blockLeftMs = Math.max(0, blockedUntilMs[slot]! - now)
    // One millisecond more than the arithmetic of the window: a client that comes back on the dot must be admitted.
    const retryMs = allowed ? 0 : Math.max(blockLeftMs, waitMs(slot, rate, now, used, Math.min(cost, rate.max)) + 1)
    const retryAfterSeconds = allowed ? 0 : Math.max(1, Math.ceil(retryMs / 1000))
    const emptyMs = (newest[slot]! + CELLS) * (spanSeconds[slot]! * 1000 / SUB_WINDOWS) - now
    return {
      allowed,
      tier,
      limit: rate.max,
      windowSeconds: rate.windowSeconds,
      remaining: allowed ? Math.max(0, rate.max - used) : 0,
      resetSeconds: allowed
        ? Math.max(1, Math.ceil(Math.min(emptyMs, rate.windowSeconds * 1000) / 1000))
        : retryAfterSeconds,
      retryAfterSeconds,
      retryAfterMs: retryMs,
      crossed,
      count: used,
      store: 'local'
    }
  }

  return { take, peek, absorb, tell, refund, subWindowMs, block, forget }
}

/**
 * Two independent 32-bit FNV-like hashes: 64 bits make a collision among 262,144 live keys a one-in-a-billion
 * matter.
 */
function hash64 (text: string): [number, number] {
  let low = 0x811c9dc5
  let high = 0x9747b28c
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    low = Math.imul(low ^ code, 0x01000193)
    high = Math.imul(high ^ code, 0x5bd1e995)
    high ^= high >>> 13
  }
  low ^= low >>> 15
  low = Math.imul(low, 0x2c1b3c6d)
  low ^= low >>> 12
  return [low >>> 0, high >>> 0]
}
