/**
 * The only door through which time enters. Wall time is for people and tokens, monotonic time for durations:
 * a clock that is set back must never make a duration negative. The timers of a room are its clock's, so that a test
 * that owns the time owns them too; what waits for the real world (a socket, a disk, a thread, another process) stays
 * on real time.
 */
export interface Clock {
  /** Wall clock, milliseconds since the epoch. May jump. */
  now (): number
  /** Milliseconds from an arbitrary start, never falling. */
  monotonic (): number
  /** Runs once, `ms` from now. Holds up no exit. */
  after (ms: number, run: () => void): Timer
  /** Runs every `ms`, first `ms` from now, until it is cancelled. Holds up no exit. */
  every (ms: number, run: () => void): Timer
}

export interface Timer {
  /** It runs no more. Of no effect on one that is over. */
  cancel (): void
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after: (ms, run) => cancelling(setTimeout(run, ms)),
  every: (ms, run) => cancelling(setInterval(run, ms))
}

function cancelling (timer: NodeJS.Timeout): Timer {
  timer.unref()
  return { cancel: () => clearTimeout(timer) }
}

/** A clock that stands still until told otherwise: tests own time with it. */
export interface TestClock extends Clock {
  /**
   * Runs what is due until then, in the order of the due times, each at its own time; what those runs add as well.
   * Promises that they settle are heard by others only behind the advance. Repetitions that a long advance leaves
   * far behind are left out, as those of a machine that slept. A negative time sets the wall clock back, and nothing
   * else.
   * @throws Error when timers rearm themselves without any time passing
   */
  advance (ms: number): void
}

/** Runs of one repeated timer within one advance: the last ones, so that a month is no million runs. */
const REPEATED_MAX = 100
/** Runs of timers at one and the same moment. */
const AT_ONCE_MAX = 10_000

interface Due { atMs: number, everyMs: number | null, run: () => void }

export function createTestClock (startMs = 1_800_000_000_000): TestClock {
  let elapsedMs = 0
  let wallMs = startMs
  /** Of those that are due at the same time the one that was added first comes first. */
  const timers = new Set<Due>()

  function add (due: Due): Timer {
    timers.add(due)
    return { cancel: () => { timers.delete(due) } }
  }

  function takeDue (untilMs: number): Due | null {
    let next: Due | null = null
    for (const due of timers) if (due.atMs <= untilMs && (next === null || due.atMs < next.atMs)) next = due
    if (next !== null) timers.delete(next)
    return next
  }

  function runUntil (untilMs: number): void {
    for (let atOnce = 0, due = takeDue(untilMs); due !== null; due = takeDue(untilMs)) {
      atOnce = due.atMs > elapsedMs ? 0 : atOnce + 1
      if (atOnce > AT_ONCE_MAX) throw new Error(`timers rearm themselves at ${due.atMs} ms for ever`)
      elapsedMs = Math.max(elapsedMs, due.atMs)
      if (due.everyMs !== null) {
        due.atMs += due.everyMs
        timers.add(due)
      }
      due.run()
    }
  }

  return {
    now: () => wallMs + elapsedMs,
    monotonic: () => elapsedMs,
    after: (ms, run) => add({ atMs: elapsedMs + Math.max(0, ms), everyMs: null, run }),
    every (ms, run) {
      const everyMs = Math.max(1, ms)
      return add({ atMs: elapsedMs + everyMs, everyMs, run })
    },
    advance (ms) {
      if (ms < 0) {
        wallMs += ms
        return
      }
      const untilMs = elapsedMs + ms
      for (const due of timers) {
        const missed = due.everyMs === null ? 0 : Math.floor((untilMs - due.atMs) / due.everyMs) - REPEATED_MAX + 1
        if (missed > 0) due.atMs += missed * due.everyMs!
      }
      runUntil(untilMs)
      elapsedMs = Math.max(elapsedMs, untilMs)
    }
  }
}
