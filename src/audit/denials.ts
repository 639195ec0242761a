import type { Clock } from '../std/clock.ts'
import type { AuditInput, Receipt } from './shapes.ts'

/**
 * Refusals of callers without the right: category access. The first refusal of a caller at a place is recorded at
 * once, those that follow within the minute are counted and told in one event when it is over, so that a caller who
 * hammers at a closed door costs two lines a minute. Callers beyond KEYS_MAX in a minute are counted together.
 */
const WINDOW_MS = 60_000
const SWEEP_MS = 10_000
const KEYS_MAX = 1_000

export interface Denial extends Receipt {
  /** ClientKey. */
  actor: string
  /** `Mutation.addDecision`, `POST /v1/assess`. */
  target: string
  /** The scope that was missing; '' is any signed-in caller. */
  needs: string
  /** NEKO_ERR_*. */
  code: string
}

interface Denials {
  note (denial: Denial): void
  close (): void
}

export function createDenials ({ clock, record }: { clock: Clock, record: (event: AuditInput) => void }): Denials {
  const held = new Map<string, { sinceMs: number, more: number, last: Denial }>()
  let othersSinceMs = 0
  let others = 0

  function tell ({ actor, target, needs, code, assessmentId, score, factor }: Denial, times: number): void {
    record({
      category: 'access',
      type: 'access.denied',
      actor,
      target,
      outcome: 'refused',
      assessmentId,
      score,
      factor,
      details: { needs: needs === '' ? 'a signed-in caller' : needs, code, times }
    })
  }

  function sweep (isLast: boolean): void {
    const before = isLast ? Infinity : clock.monotonic() - WINDOW_MS
    for (const [key, { sinceMs, more, last }] of held) {
      if (sinceMs > before) continue
      held.delete(key)
      if (more > 0) tell(last, more)
    }
    if (others === 0 || othersSinceMs > before) return
    record({
      category: 'access',
      type: 'access.denied',
      actor: 'system',
      outcome: 'refused',
      details: { times: others, callers: 'others' }
    })
    others = 0
  }

  const timer = clock.every(SWEEP_MS, () => sweep(false))
  return {
    note (denial) {
      const key = `${denial.actor} ${denial.target}`
      const known = held.get(key)
      if (known !== undefined) {
        known.more++
        known.last = denial
      } else if (held.size < KEYS_MAX) {
        held.set(key, { sinceMs: clock.monotonic(), more: 0, last: denial })
        tell(denial, 1)
      } else if (others++ === 0) othersSinceMs = clock.monotonic()
    },
    close () {
      timer.cancel()
      sweep(true)
    }
  }
}
