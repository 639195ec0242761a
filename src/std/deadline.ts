import type { Clock } from './clock.ts'

/**
 * Ends the waiting for a promise after `ms`, with the error that `late` makes. The work itself goes on: its
 * owner must cancel it, where it can be cancelled. A result that comes too late is dropped, and never unhandled.
 */
export function withDeadline<T> (work: Promise<T>, ms: number, late: () => Error): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const timer = setTimeout(() => reject(late()), ms)
    work.then(resolve, reject).finally(() => clearTimeout(timer))
  })
}

/** `base` doubled `attempt` times up to `max`, of which a random half to whole: retries spread instead of marching. */
export function backoffMs (attempt: number, base: number, max: number): number {
  return Math.min(max, base * 2 ** Math.min(attempt, 30)) * (0.5 + Math.random() / 2)
}

/**
 * Waits `ms`, or less when the signal says so: ends early without an error, and holds up no exit. The signal
 * of a room lives as long as its process, so nothing of a pause that is over may stay with it.
 */
export function pause (clock: Pick<Clock, 'after'>, ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      timer.cancel()
      signal.removeEventListener('abort', end)
      resolve()
    }
    const timer = clock.after(ms, end)
    signal.addEventListener('abort', end)
  })
}
