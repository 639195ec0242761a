import type { Clock } from './clock.ts'

/**
 * A breaker: after some failures in a row it stops asking for a while, so that what is down is answered in
 * microseconds instead of a timeout, and is not pressed while it comes back.
 *
 * Owns one state (closed, half-open, open) and when to try again. Never makes the call itself on its own accord and
 * holds no timer: an open breaker turns half-open when somebody asks after the wait. The wait doubles up to a bound
 * and is jittered, so that the processes of a fleet do not knock together.
 */
export type BreakerState = 'closed' | 'half-open' | 'open'

/** As the gauge neko_breaker_state shows it. */
export const BREAKER_STATE_VALUE: Readonly<Record<BreakerState, number>> = { closed: 0, 'half-open': 1, open: 2 }

interface BreakerOptions {
  clock: Clock
  /** Failures in a row that open it. */
  failuresMax: number
  /** The first wait; doubled at each failed trial. */
  openMsMin: number
  openMsMax: number
  onState? (state: BreakerState): void
}

export interface Breaker {
  readonly state: BreakerState
  /** May the caller try now? In half-open one trial at a time may; it must end in succeed or fail. */
  allows (): boolean
  succeed (): void
  fail (): void
  /** Milliseconds until a trial may be made; 0 when one may. */
  waitMs (): number
}

export function createBreaker (options: BreakerOptions): Breaker {
  const { clock, failuresMax, openMsMin, openMsMax, onState } = options
  let state: BreakerState = 'closed'
  let failures = 0
  let openMs = openMsMin
  let retryAtMs = 0

  const become = (next: BreakerState): void => {
    if (state === next) return
    state = next
    onState?.(next)
  }
  const open = (): void => {
    retryAtMs = clock.monotonic() + openMs * (0.5 + Math.random() / 2)
    openMs = Math.min(openMsMax, openMs * 2)
    become('open')
  }
  const trialDue = (): boolean => clock.monotonic() >= retryAtMs

  return {
    get state () { return state },
    allows () {
      if (state === 'closed') return true
      if (!trialDue()) return false
      // A trial whose end is never told must not keep it shut for ever: the next one may start after the longest wait.
      retryAtMs = clock.monotonic() + openMsMax
      become('half-open')
      return true
    },
    succeed () {
      failures = 0
      openMs = openMsMin
      become('closed')
    },
    fail () {
      failures++
      // Stragglers of before: the breaker is open already, and their failure says nothing new.
      if (state === 'open') return
      if (state === 'half-open' || failures >= failuresMax) open()
    },
    waitMs: () => state === 'closed' ? 0 : Math.max(0, retryAtMs - clock.monotonic())
  }
}
