/**
 * The record of one client, of one fingerprint: where each fact stands in its 32-bit words, and the arithmetic of
 * sliding windows and sketches on them. A window is a pair (this one, the one before): the estimate is
 * `now + before * share of before that still counts`, which is at most one window's worth off and needs two words.
 */

/** Word 0 and 1 belong to the table: time of last use, signs. */
export const FIRST_SEEN = 2
const EPOCH_10 = 3
const REQUESTS_10 = 4
const EPOCH_60 = 6
const REQUESTS_60 = 7
const EPOCH_600 = 9
/** Counters of ten minutes, in this order, two words each. */
export const COUNTERS_600 = 10
export const REQUESTS = 0
export const NOT_FOUND = 1
export const CLIENT_ERRORS = 2
export const FAILED_LOGINS = 3
export const BAD_TOKENS = 4
export const LOGIN_ATTEMPTS = 5
export const CHALLENGED = 6
export const REFUSED = 7
export const VARIATIONS = 8
/** Unknown routes that nothing led to (traits.ts). */
export const GUESSES = 9
export const AGENT_CHANGES = 10
export const PROBES = 11
/** Unknown routes that something led to. */
export const STRAYS = 12
/** Requests that used up the time of scoring threads. */
export const EXHAUSTED = 13
/** Refused for a scope that the credential lacks. */
export const DENIED = 14
export const COUNTER_COUNT = 15
const EPOCH_3600 = COUNTERS_600 + 2 * COUNTER_COUNT
/** The same counters over an hour. */
export const COUNTERS_3600 = EPOCH_3600 + 1
/** Sketches of an hour: this one's words, then as many of the one before. */
export const AGENTS = COUNTERS_3600 + 2 * COUNTER_COUNT
export const ADDRESSES = AGENTS + 2
export const CREDENTIALS = ADDRESSES + 2
export const HEADER_SETS = CREDENTIALS + 2
export const ROUTES = HEADER_SETS + 2
export const SHAPES = ROUTES + 2
export const TARGETS = SHAPES + 4
export const TARGET_WORDS = 4
export const SHAPE_WORDS = 2
const SKETCHES_END = TARGETS + 2 * TARGET_WORDS
export const LAST_AGENT = SKETCHES_END
export const LAST_SHAPE = LAST_AGENT + 1
export const LAST_TARGET = LAST_SHAPE + 1
export const LAST_NUMBER = LAST_TARGET + 1
export const SEQUENTIAL_RUN = LAST_NUMBER + 1
export const LAST_REQUEST = SEQUENTIAL_RUN + 1
export const STREAK_START = LAST_REQUEST + 1
export const STREAK_REQUESTS = STREAK_START + 1
export const INTERVALS = STREAK_REQUESTS + 1
export const INTERVAL_MEAN = INTERVALS + 1
export const INTERVAL_DEVIATION = INTERVAL_MEAN + 1
export const HABIT = INTERVAL_DEVIATION + 1
export const ACTIVE_MINUTES = HABIT + 1
/** Table hash of the fingerprint that the last request had, to settle its outcome there too. */
export const LAST_FINGERPRINT = ACTIVE_MINUTES + 1
/** 0: nothing to tell the siblings, 1: in a list, 2: in the urgent list. */
export const DIRTY = LAST_FINGERPRINT + 1
/** Counts of this process since the siblings were told; COUNTER_COUNT words. */
export const PENDING = DIRTY + 1
export const CLIENT_STRIDE = PENDING + COUNTER_COUNT

/** A fingerprint: ten-minute counters and two sketches of addresses: seen, and seen failing. */
export const PRINT_EPOCH = 2
export const PRINT_COUNTERS = 3
export const PRINT_ADDRESSES = PRINT_COUNTERS + 2 * COUNTER_COUNT
export const PRINT_WORDS = 4
export const PRINT_FAILING = PRINT_ADDRESSES + 2 * PRINT_WORDS
export const PRINT_DIRTY = PRINT_FAILING + 2 * PRINT_WORDS
export const PRINT_PENDING = PRINT_DIRTY + 1
export const PRINT_STRIDE = PRINT_PENDING + COUNTER_COUNT

const SECONDS_10 = 10_000
const MINUTE = 60_000
export const MINUTES_10 = 600_000
export const HOUR = 3_600_000
/** Weight of the newest minute in the habit. */
const HABIT_WEIGHT = 0.2

/** Brings all windows of a client's record to `nowMs`. */
export function rollClient (words: Int32Array, floats: Float32Array, at: number, nowMs: number): void {
  rollPair(words, at + EPOCH_10, at + REQUESTS_10, 1, Math.floor(nowMs / SECONDS_10))
  const minute = Math.floor(nowMs / MINUTE)
  if (words[at + EPOCH_60] !== minute) learnHabit(words, floats, at)
  rollPair(words, at + EPOCH_60, at + REQUESTS_60, 1, minute)
  rollPair(words, at + EPOCH_600, at + COUNTERS_600, COUNTER_COUNT, Math.floor(nowMs / MINUTES_10))
  const hour = Math.floor(nowMs / HOUR)
  const passed = hour - (words[at + EPOCH_3600] as number)
  if (passed === 0) return
  rollPair(words, at + EPOCH_3600, at + COUNTERS_3600, COUNTER_COUNT, hour)
  rollSketches(words, at, passed === 1)
}

export function rollPrint (words: Int32Array, at: number, nowMs: number): void {
  const epoch = Math.floor(nowMs / MINUTES_10)
  const passed = epoch - (words[at + PRINT_EPOCH] as number)
  if (passed === 0) return
  rollPair(words, at + PRINT_EPOCH, at + PRINT_COUNTERS, COUNTER_COUNT, epoch)
  rollSketch(words, at + PRINT_ADDRESSES, PRINT_WORDS, passed === 1)
  rollSketch(words, at + PRINT_FAILING, PRINT_WORDS, passed === 1)
}

/** `count` counters of two words each: this window moves to the one before, or both are forgotten. */
function rollPair (words: Int32Array, epochAt: number, first: number, count: number, epoch: number): void {
  const passed = epoch - (words[epochAt] as number)
  if (passed === 0) return
  words[epochAt] = epoch
  for (let i = first; i < first + 2 * count; i += 2) {
    words[i + 1] = passed === 1 ? words[i] as number : 0
    words[i] = 0
  }
}

function rollSketches (words: Int32Array, at: number, keep: boolean): void {
  rollSketch(words, at + AGENTS, 1, keep)
  rollSketch(words, at + ADDRESSES, 1, keep)
  rollSketch(words, at + CREDENTIALS, 1, keep)
  rollSketch(words, at + HEADER_SETS, 1, keep)
  rollSketch(words, at + ROUTES, 1, keep)
  rollSketch(words, at + SHAPES, SHAPE_WORDS, keep)
  rollSketch(words, at + TARGETS, TARGET_WORDS, keep)
}

function rollSketch (words: Int32Array, at: number, size: number, keep: boolean): void {
  for (let i = at; i < at + size; i++) {
    words[i + size] = keep ? words[i] as number : 0
    words[i] = 0
  }
}

/** Mean of the minutes in which it was active; a client without a past has no habit. */
function learnHabit (words: Int32Array, floats: Float32Array, at: number): void {
  const last = words[at + REQUESTS_60] as number
  if (last === 0) return
  const minutes = (words[at + ACTIVE_MINUTES] as number) + 1
  words[at + ACTIVE_MINUTES] = minutes
  const habit = floats[at + HABIT] as number
  floats[at + HABIT] = minutes === 1 ? last : habit + (last - habit) * HABIT_WEIGHT
}

/** One request in the short windows. */
export function countRequest (words: Int32Array, at: number, count = 1): void {
  words[at + REQUESTS_10] = (words[at + REQUESTS_10] as number) + count
  words[at + REQUESTS_60] = (words[at + REQUESTS_60] as number) + count
}

/** Adds to one of the counters of ten minutes and of an hour. */
export function countClient (words: Int32Array, at: number, counter: number, count = 1): void {
  const short = at + COUNTERS_600 + 2 * counter
  const long = at + COUNTERS_3600 + 2 * counter
  words[short] = (words[short] as number) + count
  words[long] = (words[long] as number) + count
}

/** The sliding estimate of a pair at `nowMs`, whole numbers. */
export function slide (words: Int32Array, pair: number, windowMs: number, nowMs: number): number {
  const before = words[pair + 1] as number
  if (before === 0) return words[pair] as number
  const share = 1 - (nowMs % windowMs) / windowMs
  return (words[pair] as number) + Math.round(before * share)
}

export function requests10s (words: Int32Array, at: number, nowMs: number): number {
  return slide(words, at + REQUESTS_10, SECONDS_10, nowMs)
}

export function requests60s (words: Int32Array, at: number, nowMs: number): number {
  return slide(words, at + REQUESTS_60, MINUTE, nowMs)
}

export function within600s (words: Int32Array, at: number, counter: number, nowMs: number): number {
  return slide(words, at + COUNTERS_600 + 2 * counter, MINUTES_10, nowMs)
}

export function within3600s (words: Int32Array, at: number, counter: number, nowMs: number): number {
  return slide(words, at + COUNTERS_3600 + 2 * counter, HOUR, nowMs)
}

/** Sets the bit of a hash in a sketch of `size` words. */
export function mark (words: Int32Array, at: number, size: number, hash: number): void {
  const word = at + (size === 1 ? 0 : (hash >>> 5) & (size - 1))
  words[word] = (words[word] as number) | (1 << (hash & 31))
}

/** How many distinct hashes a sketch and the one before it have seen: -m ln(empty / m), at most m ln m. */
export function countDistinct (words: Int32Array, at: number, size: number): number {
  let ones = 0
  for (let i = at; i < at + size; i++) ones += bitCount((words[i] as number) | (words[i + size] as number))
  // Few bits: what is set is what was seen; also exact for the commonest case, one.
  return ESTIMATES[size === 1 ? 0 : size === 2 ? 1 : 2]?.[ones] as number
}

function bitCount (word: number): number {
  let x = word - ((word >>> 1) & 0x55555555)
  x = (x & 0x33333333) + ((x >>> 2) & 0x33333333)
  return Math.imul((x + (x >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24
}

const ESTIMATES = [32, 64, 128].map((bits) => Array.from({ length: bits + 1 }, (_, ones) =>
  Math.round(-bits * Math.log(Math.max(1, bits - ones) / bits) * (ones === bits ? 1.1 : 1))))
