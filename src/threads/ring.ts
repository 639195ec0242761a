/**
 * The ring: one block of shared memory between the main thread and one scoring thread, and the words in it by which
 * they tell each other what is new. No message is sent and nothing is cloned: 0.4 us per request where a message
 * costs 35.
 *
 * Main publishes requests (a slot's number in ORDER, then TAIL), the thread takes them in order (TAKEN), writes the
 * result over the request in the same slot and publishes it (DONE). Observations that do not fit into a slot travel by
 * a message port and are counted beside (BIG_*): small ones do not queue behind them. A side that has nothing to do
 * sleeps on a word that the other side raises before it notifies, so no wake-up is lost.
 */
import { QUEUE_MAX } from './shapes.ts'

/** How many slots (a power of two, at most SLOTS_MAX) of how many bytes (a multiple of 8). */
export interface Geometry { slots: number, slotBytes: number }

const SLOTS_MAX = QUEUE_MAX
/** A slot takes a request line, headers, history and a body of some 6 KiB; more travels by message. */
export const SMALL: Geometry = { slots: SLOTS_MAX, slotBytes: 8_192 }
/** 64 KiB of body, 16 of headers, and what belongs to it. The memory is taken from the system as it is touched. */
export const LARGE: Geometry = { slots: 64, slotBytes: 98_304 }

// Each word on a cache line of its own: the two threads write different ones at the same time.
export const TAIL = 0
export const TAKEN = 16
export const DONE = 32
export const BIG_TAIL = 48
export const BIG_TAKEN = 64
export const BIG_DONE = 80
/** Raised by main after it published; the thread sleeps on it. */
const WORK = 96
/** 1 while the thread sleeps or is about to. */
const ASLEEP = 112
/** Raised by the thread after it published; main waits on it. */
export const RESULTS = 128
export const STOP = 144
/** 1 as soon as the thread takes work. */
export const READY = 160
/** Number of the policy that main wants answers by; the thread finds it at the policy port. */
export const POLICY = 176
/** How many times slower than an ordinary one this machine warmed the thread up, in hundredths; before READY. */
const SLOWNESS = 192
const ORDER = 208

/** By running number, like ORDER: CPU time that the thread spent on it, us. */
const SPENT = ORDER + SLOTS_MAX

const CONTROL_BYTES = (SPENT + SLOTS_MAX) * 4

/** The same memory as words, numbers and bytes. */
export interface Ring {
  readonly memory: SharedArrayBuffer
  readonly slots: number
  readonly slotBytes: number
  readonly words: Int32Array
  readonly floats: Float64Array
  readonly shorts: Uint16Array
  readonly bytes: Buffer<ArrayBufferLike>
}

export function createRing (geometry: Geometry = SMALL): Ring {
  return openRing(new SharedArrayBuffer(CONTROL_BYTES + geometry.slots * geometry.slotBytes), geometry)
}

export function openRing (memory: SharedArrayBuffer, { slots, slotBytes }: Geometry): Ring {
  return {
    memory,
    slots,
    slotBytes,
    words: new Int32Array(memory),
    floats: new Float64Array(memory),
    shorts: new Uint16Array(memory),
    bytes: Buffer.from(memory) as Buffer<ArrayBufferLike>
  }
}

/** Where a slot begins, in bytes; always a multiple of 8. */
export function slotOffset ({ slotBytes }: Ring, slot: number): number {
  return CONTROL_BYTES + slot * slotBytes
}

/** The slot of the request with this running number. */
export function slotAt ({ words, slots }: Ring, sequence: number): number {
  return words[ORDER + (sequence & (slots - 1))] as number
}

/** The thread's own measure of its machine: 1 to SLOWNESS_MAX. */
export function slownessOf ({ words }: Ring): number {
  return Math.min(SLOWNESS_MAX, Math.max(1, (words[SLOWNESS] as number) / 100))
}

export function noteSlowness ({ words }: Ring, times: number): void {
  words[SLOWNESS] = Math.round(times * 100)
}

/** A text that exhausts must be refused within half a second on any machine. */
const SLOWNESS_MAX = 2

/** CPU time of the request with this running number, us; 0 where nobody measured it. */
export function spentAt ({ words, slots }: Ring, sequence: number): number {
  return words[SPENT + (sequence & (slots - 1))] as number
}

/** Thread: before the request is published as done. */
export function noteSpent ({ words, slots }: Ring, sequence: number, cpuUs: number): void {
  words[SPENT + (sequence & (slots - 1))] = cpuUs
}

/**
 * Main: gives request number `sequence` to the thread. A thread that is awake sees it; one that sleeps must
 * be woken by `raiseWork`.
 */
export function publishRequest ({ words, slots }: Ring, sequence: number, slot: number): void {
  words[ORDER + (sequence & (slots - 1))] = slot
  Atomics.store(words, TAIL, sequence + 1)
}

export function publishBigRequest ({ words }: Ring, sequence: number): void {
  Atomics.store(words, BIG_TAIL, sequence + 1)
}

export function raiseWork ({ words }: Ring): void {
  Atomics.add(words, WORK, 1)
  // Only the first to see it asleep pays for the system call.
  if (Atomics.compareExchange(words, ASLEEP, 1, 0) === 1) Atomics.notify(words, WORK)
}

/** Whether looking around before falling asleep has paid lately. */
interface Watchfulness { misses: number }

/**
 * Looking around for this long saves both sides two system calls (some 10 us of main's time) when the next
 * request is near.
 */
const WATCH_MS = 0.025
/** After so many times in vain the thread goes to sleep at once, and looks around again only every so many sleeps. */
const MISSES_MAX = 4
const SLEEPS_PER_TRY = 64

/** Thread: returns when there is something new. Watches for a moment first as long as that pays, then sleeps. */
export function awaitWork ({ words }: Ring, watch: Watchfulness): void {
  if (watch.misses < MISSES_MAX || watch.misses % SLEEPS_PER_TRY === 0) {
    const endMs = performance.now() + WATCH_MS
    do {
      if (!hasWork(words)) continue
      watch.misses = 0
      return
    } while (performance.now() < endMs)
  }
  watch.misses++
  const seen = Atomics.load(words, WORK)
  Atomics.store(words, ASLEEP, 1)
  if (!hasWork(words)) Atomics.wait(words, WORK, seen)
  Atomics.store(words, ASLEEP, 0)
}

function hasWork (words: Int32Array): boolean {
  return Atomics.load(words, TAIL) !== Atomics.load(words, TAKEN) ||
    Atomics.load(words, BIG_TAIL) !== Atomics.load(words, BIG_TAKEN) || Atomics.load(words, STOP) !== 0
}

/** Thread: tells main that there are results. */
export function raiseResults ({ words }: Ring): void {
  Atomics.add(words, RESULTS, 1)
  Atomics.notify(words, RESULTS)
}
