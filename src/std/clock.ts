/**
 * The only door through which time enters. Wall time is for people and tokens, monotonic time for durations:
 * a clock that is set back must never make a duration negative.
 */
export interface Clock {
  /** Wall clock, milliseconds since the epoch. May jump. */
  now (): number
  /** Milliseconds from an arbitrary start, never falling. */
  monotonic (): number
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now()
}

/** A clock that stands still until told otherwise: tests own time with it. */
export interface TestClock extends Clock {
  advance (ms: number): void
}

export function createTestClock (startMs = 1_800_000_000_000): TestClock {
  let elapsedMs = 0
  return {
    now: () => startMs + elapsedMs,
    monotonic: () => elapsedMs,
    advance (ms) { elapsedMs += ms }
  }
}
