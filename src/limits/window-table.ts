import type { Rate } from './shapes.ts'

/**
 * Counts of many keys in fixed memory: per key 16 sub-windows of time, the end of its block, and whether it crossed.
 *
 * Owns the slots: which key has which, and which is given up for a new key. Never does: compare a count with a limit.
 * Times are ms of the monotonic clock, and above 0 (a slot touched at 0 is a free one).
 *
 * Why typed arrays: a Map of a million keys costs 189 MB. Here a key is 64 bits of hash in an 8-way set of a table
 * that never grows; when a set is full of live keys, the one idle for longest is forgotten (a flood of addresses can
 * loosen the count of an idle client, never of a busy one, and never lifts a block while unblocked keys are there).
 */
const SUB_WINDOWS = 16
/** One more than there are: a partly expired sub-window is counted in full, so that no window ever holds too many. */
const CELLS = SUB_WINDOWS + 1
const WAYS = 8

export class WindowTable {
  readonly #sets: number
  readonly #hashLow: Uint32Array
  readonly #hashHigh: Uint32Array
  /** Index of the newest sub-window, in units of a sixteenth of the window since monotonic 0. */
  readonly #newest: Float64Array
  /** The window that the counts were made for: a reload may change it. */
  readonly #spanSeconds: Float64Array
  readonly #touchedMs: Float64Array
  readonly #blockedUntilMs: Float64Array
  readonly #crossedBefore: Uint8Array
  readonly #counts: Uint32Array

  /** @param capacity keys, rounded up to a power of two: 109 bytes each, allocated at once but touched only as used */
  constructor (capacity: number) {
    this.#sets = 2 ** Math.ceil(Math.log2(Math.max(1, capacity / WAYS)))
    const slots = this.#sets * WAYS
    this.#hashLow = new Uint32Array(slots)
    this.#hashHigh = new Uint32Array(slots)
    this.#newest = new Float64Array(slots)
    this.#spanSeconds = new Float64Array(slots)
    this.#touchedMs = new Float64Array(slots)
    this.#blockedUntilMs = new Float64Array(slots)
    this.#crossedBefore = new Uint8Array(slots)
    this.#counts = new Uint32Array(slots * CELLS)
  }

  /** The slot of a key that was counted before, else -1. */
  find (key: string, now: number): number {
    return this.#search(key, now, false)
  }

  /** The slot of a key; one that is new takes the place of another. Its window becomes that of the rate. */
  claim (key: string, rate: Rate, now: number): number {
    const slot = this.#search(key, now, true)
    if (this.#spanSeconds[slot] !== rate.windowSeconds) this.#respan(slot, rate, now)
    return slot
  }

  /** As `claim`, but a key that has a window keeps it: for callers who need not know which it is. */
  claimAsItIs (key: string, rate: Rate, now: number): number {
    const slot = this.#search(key, now, true)
    if (this.#spanSeconds[slot] === 0) this.#respan(slot, rate, now)
    return slot
  }

  clear (slot: number): void {
    this.#spanSeconds[slot] = 0
    this.#touchedMs[slot] = 0
    this.#blockedUntilMs[slot] = 0
    this.#crossedBefore[slot] = 0
    this.#newest[slot] = 0
    this.#counts.fill(0, slot * CELLS, slot * CELLS + CELLS)
  }

  /** Empties the sub-windows that time has passed and returns the sum of the rest. */
  advance (slot: number, now: number): number {
    const counts = this.#counts
    const newest = this.#newest[slot]!
    const current = Math.floor(now / this.#subMs(slot))
    const base = slot * CELLS
    const behind = Math.min(CELLS, current - newest)
    for (let i = 0; i < behind; i++) counts[base + ((current - i) % CELLS)] = 0
    if (behind > 0) this.#newest[slot] = current
    let sum = 0
    for (let i = 0; i < CELLS; i++) sum += counts[base + i]!
    return sum
  }

  /** Counts in the newest sub-window. */
  add (slot: number, count: number): void {
    this.#counts[slot * CELLS + (this.#newest[slot]! % CELLS)]! += count
  }

  /** Takes from the count, from the oldest sub-window first, so that no window ever holds more than it may. */
  lower (slot: number, by: number): void {
    const newest = this.#newest[slot]!
    let left = by
    for (let age = SUB_WINDOWS; age >= 0 && left > 0; age--) {
      const cell = slot * CELLS + ((newest - age + CELLS) % CELLS)
      const taken = Math.min(left, this.#counts[cell]!)
      this.#counts[cell]! -= taken
      left -= taken
    }
  }

  blockedUntilMs (slot: number): number {
    return this.#blockedUntilMs[slot]!
  }

  blockUntil (slot: number, ms: number): void {
    this.#blockedUntilMs[slot] = ms
  }

  /** True from a crossing on, until something is admitted again. */
  hasCrossed (slot: number): boolean {
    return this.#crossedBefore[slot] === 1
  }

  setCrossed (slot: number, crossed: boolean): void {
    this.#crossedBefore[slot] = crossed ? 1 : 0
  }

  /** When the newest sub-window ends. */
  subWindowEndMs (slot: number): number {
    return (this.#newest[slot]! + 1) * this.#subMs(slot)
  }

  /** When all that is counted now has left the window. */
  emptyAtMs (slot: number): number {
    return (this.#newest[slot]! + CELLS) * this.#subMs(slot)
  }

  /** When the count is at most `most`, of `used` that it is now: the oldest sub-windows leave one after the other. */
  atMostMs (slot: number, used: number, most: number): number {
    const counts = this.#counts
    const newest = this.#newest[slot]!
    const subMs = this.#subMs(slot)
    const base = slot * CELLS
    let left = used
    for (let age = SUB_WINDOWS; age >= 0; age--) {
      if (left <= most) return age === SUB_WINDOWS ? 0 : (newest - age - 1 + CELLS) * subMs
      left -= counts[base + ((newest - age + CELLS) % CELLS)]!
    }
    return (newest + CELLS) * subMs
  }

  #search (key: string, now: number, make: boolean): number {
    const [low, high] = hash64(key)
    const hashLow = this.#hashLow
    const hashHigh = this.#hashHigh
    const touchedMs = this.#touchedMs
    const first = (low & (this.#sets - 1)) * WAYS
    let victim = first
    let victimRank = Infinity
    for (let slot = first; slot < first + WAYS; slot++) {
      if (hashLow[slot] === low && hashHigh[slot] === high && touchedMs[slot]! > 0) {
        if (make) touchedMs[slot] = now
        return slot
      }
      // Free slots first, then the idlest; a blocked key only when all eight are blocked.
      const rank = touchedMs[slot]! + (this.#blockedUntilMs[slot]! > now ? 1e12 : 0)
      if (rank < victimRank) { victim = slot; victimRank = rank }
    }
    if (!make) return -1
    this.clear(victim)
    hashLow[victim] = low
    hashHigh[victim] = high
    touchedMs[victim] = now
    return victim
  }

  /** Another window: the count of the old one is taken to be of now, which is never looser. */
  #respan (slot: number, rate: Rate, now: number): void {
    const sum = this.#spanSeconds[slot] === 0 ? 0 : this.advance(slot, now)
    this.#spanSeconds[slot] = rate.windowSeconds
    this.#newest[slot] = Math.floor(now / this.#subMs(slot))
    this.#counts.fill(0, slot * CELLS, slot * CELLS + CELLS)
    this.add(slot, sum)
  }

  #subMs (slot: number): number {
    return this.#spanSeconds[slot]! * 1000 / SUB_WINDOWS
  }
}

/** Two independent 32-bit FNV-like hashes: a collision among 262,144 live keys is a one-in-a-billion matter. */
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
