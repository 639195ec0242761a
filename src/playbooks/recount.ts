import type { Fleet } from '../fleet/port.ts'
import type { Clock, Timer } from '../std/clock.ts'
import type { Detection } from './shapes.ts'

/**
 * Detections of refused requests are offered to the playbooks a second time, when the other processes of the host have
 * told what they refused: three quick requests of one client may land on three processes, none of which has seen more
 * than one when it judges. Each playbook still acts once per attacker and window.
 */
interface Recount {
  offer (detection: Detection): void
  close (): void
}

/** Twice the time in which processes tell each other of their clients (clients/plugin.ts), and a little. */
const AGAIN_MS = 600
/** In a storm the oldest are dropped: their clients come again. */
const WAITING_MAX = 1_000

interface RecountParts {
  fleet: Pick<Fleet, 'processCount'>
  clock: Pick<Clock, 'monotonic' | 'after'>
  /** Refusals of a client within ten minutes, in all processes as far as they have told. */
  refusalsOf (client: string): number
  respond (detection: Detection): void
}

export function createRecount ({ fleet, clock, refusalsOf, respond }: RecountParts): Recount {
  /** In the order of their times. */
  let waiting: Array<{ detection: Detection, dueMs: number }> = []
  let timer: Timer | null = null

  function look (): void {
    const nowMs = clock.monotonic()
    const due = waiting.filter(({ dueMs }) => dueMs <= nowMs)
    waiting = waiting.slice(due.length)
    timer = waiting.length === 0 ? null : clock.after(waiting[0]!.dueMs - nowMs, look)
    for (const { detection } of due) {
      const refusals600s = refusalsOf(detection.client)
      if (refusals600s > detection.refusals600s) respond({ ...detection, refusals600s })
    }
  }

  return {
    offer (detection) {
      if (!detection.refused || fleet.processCount() < 2) return
      if (waiting.length >= WAITING_MAX) waiting.shift()
      waiting.push({ detection, dueMs: clock.monotonic() + AGAIN_MS })
      timer ??= clock.after(AGAIN_MS, look)
    },
    close () {
      timer?.cancel()
    }
  }
}
