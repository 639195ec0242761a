import type { Fleet } from '../fleet/port.ts'
import { BoundedMap } from '../std/bounded-map.ts'
import type { Clock } from '../std/clock.ts'
import type { Json } from '../std/json.ts'
import type { Standing } from './standing.ts'

/**
 * Messages between processes arrive at most once: one that is lost would leave a process with a block that
 * was lifted, or without one that was made. So each tells the others every few seconds what it holds, as one
 * number; a process that gets another number from the same sibling twice running reads the store again, to which
 * every process writes. While no message comes from other hosts (Redis is away), their decisions are read from the
 * store they share, every two seconds.
 */
interface Reconciling { close (): void }

const TELL_MS = 5_000
/** A busy fleet's numbers differ for a moment all the time: reading everything again is bounded. */
const AGAIN_MS = 30_000
const SIBLINGS_MAX = 1_000
export const PENDING_ASKED_MAX = 500
/** A decision of another host stands here within five seconds without Redis (R37). */
const POLL_MS = 2_000
/** Clocks of hosts differ, and a store may be seconds behind. */
const POLL_OVERLAP_MS = 60_000

/** Begins at once; the intervals are given by tests alone. */
export function reconcileWithSiblings (
  { fleet, standing, clock, reload, readSince, tellMs = TELL_MS, againMs = AGAIN_MS, pollMs = POLL_MS }: {
    fleet: Fleet,
    standing: Standing,
    clock: Clock,
    /** Reads the store; decisions that it lacks end here. */
    reload (): Promise<void>,
    /** Reads decisions made since, ms since the epoch. */
    readSince (ms: number): Promise<void>,
    tellMs?: number,
    againMs?: number,
    pollMs?: number
  }
): Reconciling {
  const differed = new BoundedMap<string, number>(SIBLINGS_MAX)
  let lastMs = -Infinity

  const unsubscribe = fleet.subscribe('decisions.digest', (message, from) => {
    const [size, digest] = message as [number, number]
    if (size === standing.size && digest === standing.digest()) {
      differed.delete(from)
      return
    }
    const times = (differed.get(from) ?? 0) + 1
    differed.set(from, times)
    if (times < 2 || clock.monotonic() - lastMs < againMs) return
    lastMs = clock.monotonic()
    differed.clear()
    reload().catch(() => { /* the store is down: the next number asks again */ })
  })
  const timer = setInterval(() => {
    if (fleet.processCount() > 1) fleet.publish('decisions.digest', [standing.size, standing.digest()] as Json)
  }, tellMs)
  timer.unref()
  let polling = false
  const poller = setInterval(() => {
    if (fleet.bridgeUp() === false) poll().catch(() => { /* the store is down as well */ })
  }, pollMs)
  poller.unref()

  /** A removal by others is noticed by a whole reading, which is rarer. */
  async function poll (): Promise<void> {
    if (polling) return
    polling = true
    try {
      const whole = clock.monotonic() - lastMs >= againMs
      if (whole) lastMs = clock.monotonic()
      await (whole ? reload() : readSince(clock.now() - POLL_OVERLAP_MS))
    } finally {
      polling = false
    }
  }

  return {
    close () {
      clearInterval(timer)
      clearInterval(poller)
      unsubscribe()
    }
  }
}
