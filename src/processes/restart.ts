/**
 * When to fork again, and how long to wait (pure). A worker that dies once is back within a second; one that dies at
 * every start is tried ever more rarely (at most 12 forks per slot and minute), while its siblings serve.
 */
interface RestartState {
  /** Deaths in a row without a stable life between them. */
  readonly failures: number
}

export const FRESH: RestartState = { failures: 0 }

/** Doubling from 100 ms: 0.1 0.2 0.4 ... 12.8 15 15 s. */
const BACKOFF_FIRST_MS = 100
export const BACKOFF_MS_MAX = 15_000
/** A fifth to either side, so that slots that died together do not start together. */
const BACKOFF_JITTER = 0.2
/** A worker that served this long died of something new: its slot starts at the first delay again. */
export const STABLE_MS = 10_000
/** No worker was ever ready for this long: the primary gives up (60 s is the most, of which the way out takes some). */
export const NEVER_READY_MS = 45_000

/**
 * @param life how long the dead worker had been ready; null when it never was
 * @param random 0 to 1, exclusive of 1
 */
export function nextRestart (
  state: RestartState,
  life: { readyMs: number | null },
  random: number
): { state: RestartState, delayMs: number } {
  const failures = life.readyMs !== null && life.readyMs >= STABLE_MS ? 1 : state.failures + 1
  const plainMs = Math.min(BACKOFF_MS_MAX, BACKOFF_FIRST_MS * 2 ** (failures - 1))
  const delayMs = Math.min(BACKOFF_MS_MAX, Math.round(plainMs * (1 - BACKOFF_JITTER + 2 * BACKOFF_JITTER * random)))
  return { state: { failures }, delayMs }
}

/** An event loop that did not turn for this long hangs: a long task takes a tenth of it. */
export const HUNG_MS = 5_000

/** What the primary knows of the worker of one slot. */
interface SlotState {
  /** Null while no worker of the slot is ready, or none may be replaced. */
  readonly silentMs: number | null
  /** A replacement is starting beside it. */
  readonly isBeingReplaced: boolean
}

/**
 * The slot whose worker is replaced now because it hangs, the longest silent first, or null. One at a time: what
 * silences several (a stopped container, a disk that stands still) mostly passes by itself, and the next one is judged
 * by what it does while the first is replaced.
 */
export function hungSlot (slots: readonly SlotState[]): number | null {
  if (slots.some(({ isBeingReplaced }) => isBeingReplaced)) return null
  let hung: number | null = null
  let longestMs = HUNG_MS
  for (const [index, { silentMs }] of slots.entries()) {
    if (silentMs === null || silentMs <= longestMs) continue
    longestMs = silentMs
    hung = index
  }
  return hung
}

interface Beat { rssBytes: number, heapUsedBytes: number, heapMaxBytes: number }

/** A share of the heap from which V8 spends its time collecting, and soon aborts the process. */
const HEAP_SHARE_MAX = 0.9

/** Why a worker should be replaced before it fails, or null. */
export function replacementReason (beat: Beat, rssBytesMax: number | null): 'heap' | 'rss' | null {
  if (beat.heapMaxBytes > 0 && beat.heapUsedBytes > beat.heapMaxBytes * HEAP_SHARE_MAX) return 'heap'
  if (rssBytesMax !== null && beat.rssBytes > rssBytesMax) return 'rss'
  return null
}
