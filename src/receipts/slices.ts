import type { Clock } from '../std/clock.ts'

/**
 * Work that need not be done at once, such as the redaction of receipts: done in the order of its coming, for a few
 * milliseconds of each turn of the event loop, however much of it waits. One piece is never cut, so that pieces must be
 * small by themselves.
 */
export interface Slices {
  /** What the work returns or throws, in a later turn. */
  run<T> (work: () => T): Promise<T>
}

/** A receipt takes 50 us, and a hostile one a few milliseconds. */
const SLICE_MS = 5

export function createSlices (clock: Pick<Clock, 'monotonic'>): Slices {
  let waiting: Array<() => void> = []
  let isDue = false

  function runSlice (): void {
    const endMs = clock.monotonic() + SLICE_MS
    let done = 0
    do (waiting[done++] as () => void)()
    while (done < waiting.length && clock.monotonic() < endMs)
    waiting = waiting.slice(done)
    isDue = waiting.length > 0
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
