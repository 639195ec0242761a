import type { Clock } from '../std/clock.ts'
import type { Channel, Waiting } from './shapes.ts'

/** Time of one tick for answers in a hurry: what is left is answered in the next one. */
const EXPIRING_MS_MAX = 10
/** How often deadlines and stuck threads are looked for while anything waits. */
const TICK_MS = 20

export interface Deadlines {
  watch (waiting: Waiting): void
  stop (): void
}

/**
 * One timer for all deadlines and all threads, running only while anything waits. `expire` is told once of each that
 * is due and not answered.
 */
export function createDeadlines (
  { channels, clock, expire, onTick }: {
    channels: readonly Channel[],
    clock: Pick<Clock, 'monotonic'>,
    expire: (waiting: Waiting) => void,
    /** True while there is work beside: the timer goes on. */
    onTick: () => boolean
  }
): Deadlines {
  let watched: Waiting[] = []
  let timer: NodeJS.Timeout | null = null
  let lastMs = 0

  function tick (): void {
    const nowMs = clock.monotonic()
    const passedMs = countedMs(nowMs - lastMs)
    lastMs = nowMs
    for (const channel of channels) channel.tick(passedMs)
    // What is due before the next tick is due now.
    for (const waiting of watched) {
      if (waiting.answered || nowMs < waiting.dueMs - TICK_MS) continue
      expire(waiting)
      if (clock.monotonic() - nowMs > EXPIRING_MS_MAX) break
    }
    watched = watched.filter((waiting) => !waiting.answered)
    const goesOn = onTick()
    if (watched.length === 0 && !goesOn) stop()
  }

  function stop (): void {
    if (timer !== null) clearInterval(timer)
    timer = null
  }

  return {
    watch (waiting) {
      watched.push(waiting)
      if (timer !== null) return
      lastMs = clock.monotonic()
      timer = setInterval(tick, TICK_MS).unref()
    },
    stop
  }
}

/**
 * How much of the time between two ticks counts against a thread. A tick that comes late says that the machine is busy
 * or that our own loop stood still: then the thread did not have the time either, and must not be stopped for it.
 */
function countedMs (elapsedMs: number): number {
  return elapsedMs <= 1.5 * TICK_MS ? elapsedMs : TICK_MS * TICK_MS / elapsedMs
}
