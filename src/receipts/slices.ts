import type { Clock } from '../std/clock.ts'

/**
 * Work that need not be done at once, such as the redaction of receipts: done in the order of its coming, for a few
 * milliseconds of each turn of the event loop, however much of it waits. One piece is never cut, so that pieces must be
 * small by themselves.
 *
 * The queue has no bound of its own, since everybody who fills it has one: the recorder waits for its portion of 20,
 * the live view takes 50 receipts a second, and a lookup is one request's, which waits for its page.
 */
export interface Slices {
  /** What the work returns or throws, in a later turn. */
  run<T> (work: () => T): Promise<T>
}

/** A receipt takes 50 us, and a hostile one a few milliseconds. */
const SLICE_MS = 5
/** Pieces that are done and still in the queue, where more wait: to cut them off in each turn would copy the rest. */
const DONE_MAX = 1_000

export function createSlices (clock: Pick<Clock, 'monotonic'>): Slices {
  let waiting: Array<() => void> = []
  /** The next piece in `waiting`; those before it are done. */
  let head = 0
  let isDue = false

  function runSlice (): void {
    const endMs = clock.monotonic() + SLICE_MS
    do (waiting[head++] as () => void)()
    while (head < waiting.length && clock.monotonic() < endMs)
    isDue = head < waiting.length
    if (!isDue || head >= DONE_MAX) {
      waiting = waiting.slice(head)
      head = 0
    }
    if (isDue) setImmediate(runSlice)
  }

  return {
    run: (work) => new Promise((resolve, reject) => {
      waiting.push(() => {
        try {
          resolve(work())
        } catch (error) {
          reject(error)
        }
      })
      if (isDue) return
      isDue = true
      setImmediate(runSlice)
    })
  }
}
