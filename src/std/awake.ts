import type { Clock } from './clock.ts'
import { systemClock } from './clock.ts'

/**
 * Time in which this process ran. A process that is stopped (SIGSTOP, a snapshot of the virtual machine, a frozen
 * cgroup) finds all its timers due at once when it goes on, before it has read a single message: what it then takes for
 * the silence of others was its own. So whoever judges others by a time counts it by its own looks at the clock, and
 * a look that comes late counts as one that came in time.
 */

// An event loop that is this late did not run: a long turn of it takes tens of milliseconds.
const PAUSE_MS_MIN = 1_000
const STEP_MS = 250

/** How much of the time between two looks counts, when the second was due after `dueMs`. */
export function countedMs (elapsedMs: number, dueMs: number): number {
  return elapsedMs - dueMs >= PAUSE_MS_MIN ? dueMs : elapsedMs
}

export interface AwakeTime {
  /** Milliseconds in which this process ran, from an arbitrary start, never falling. */
  ms (): number
  /** To be called every `lookMs`: without looks a pause cannot be told from a long rest. */
  look (): void
}

export function createAwakeTime ({ clock, lookMs }: { clock: Pick<Clock, 'monotonic'>, lookMs: number }): AwakeTime {
  let lookedMs = clock.monotonic()
  let atLookMs = 0
  let newestMs = 0
  const ms = (): number => {
    // Without a look in time the same pause is found again and again: what was told already stays told.
    newestMs = Math.max(newestMs, atLookMs + countedMs(clock.monotonic() - lookedMs, lookMs))
    return newestMs
  }
  return {
    ms,
    look () {
      atLookMs = ms()
      lookedMs = clock.monotonic()
    }
  }
}

/** As setTimeout, in time that counts; holds up no exit. The result cancels it. */
export function afterAwakeMs (ms: number, action: () => void): () => void {
  let leftMs = ms
  let timer: NodeJS.Timeout
  const step = (): void => {
    if (leftMs <= 0) return action()
    const stepMs = Math.min(leftMs, STEP_MS)
    const startMs = systemClock.monotonic()
    timer = setTimeout(() => {
      leftMs -= countedMs(systemClock.monotonic() - startMs, stepMs)
      step()
    }, stepMs).unref()
  }
  step()
  return () => clearTimeout(timer)
}
