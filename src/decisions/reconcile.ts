import type { Fleet } from '../fleet/port.ts'
import type { Sharing } from '../fleet/sharing.ts'
import { BoundedMap } from '../std/bounded-map.ts'
import type { Clock } from '../std/clock.ts'
import type { Json } from '../std/json.ts'
import type { Standing } from './standing.ts'

/**
 * Messages between processes arrive at most once: one that is lost would leave a process with a block that
 * was lifted, or without one that was made. So each tells the others every few seconds what it holds, as one
 * number; a process that gets another number from the same sibling twice running asks that sibling for what the store
 * may lack, and reads the store again when they still differ. Where the store cannot be read, it takes all that the
 * sibling holds. While no message comes from other hosts (Redis is away), their decisions are read from the
 * store they share, every two seconds.
 */
interface Reconciling { close (): void }

/** Twice of these and an exchange: what a process lacks it has within five seconds. */
const TELL_MS = 2_000
/** A busy fleet's numbers differ for a moment all the time: reading everything again is bounded in time and share. */
const AGAIN_MS = 10_000
const READING_SHARE_MAX = 0.1
const SIBLINGS_MAX = 1_000
/** A decision of another host stands here within five seconds without Redis. */
const POLL_MS = 2_000
/** Clocks of hosts differ, and a store may be seconds behind. */
const POLL_OVERLAP_MS = 60_000

interface ReconcilingOptions {
  fleet: Fleet
  standing: Standing
  sharing: Sharing
  clock: Clock
  /** Reads the store; decisions that it has no more end here. */
  reload (): Promise<void>
  /** Reads decisions made since, ms since the epoch. */
  readSince (ms: number): Promise<void>
  mark (): string
}

export function reconcileWithSiblings (options: ReconcilingOptions): Reconciling {
  const { fleet, standing, sharing, clock, reload, readSince, mark } = options
  const differed = new BoundedMap<string, number>(SIBLINGS_MAX)
  let nextReadingMs = -Infinity
  let isRepairing = false

  const unsubscribe = fleet.subscribe('decisions.digest', (message, from) => {
    const [size, digest] = message as [number, number]
    if (size === standing.size && digest === standing.digest()) {
      differed.delete(from)
      return
    }
    const times = (differed.get(from) ?? 0) + 1
    differed.set(from, times)
    if (times < 2 || isRepairing) return
    isRepairing = true
    differed.clear()
    repair(from).catch(() => { /* the next number asks again */ }).finally(() => { isRepairing = false })
  })
  const timer = clock.every(TELL_MS, () => {
    if (fleet.processCount() > 1) fleet.publish('decisions.digest', [standing.size, standing.digest()] as Json)
  })
  let polling = false
  const poller = clock.every(POLL_MS, () => {
    if (fleet.bridgeUp() === false) poll().catch(() => { /* the store is down as well */ })
  })

  async function repair (from: string): Promise<void> {
    const taken = await sharing.askOne(from, 'news')
    if ((taken.isWhole && taken.mark === mark()) || clock.monotonic() < nextReadingMs) return
    try {
      await readAll()
    } catch {
      await sharing.askOne(from, 'all')
    }
  }

  async function readAll (): Promise<void> {
    const startMs = clock.monotonic()
    nextReadingMs = startMs + AGAIN_MS
    await reload()
    nextReadingMs = Math.max(nextReadingMs, startMs + (clock.monotonic() - startMs) / READING_SHARE_MAX)
  }

  /** A removal by others is noticed by a whole reading, which is rarer. */
  async function poll (): Promise<void> {
    if (polling) return
    polling = true
    try {
      const isDue = clock.monotonic() >= nextReadingMs
      await (isDue ? readAll() : readSince(clock.now() - POLL_OVERLAP_MS))
    } finally {
      polling = false
    }
  }

  return {
    close () {
      timer.cancel()
      poller.cancel()
      unsubscribe()
    }
  }
}
