import type { Fleet } from '../fleet/port.ts'
import type { Clock } from '../std/clock.ts'
import type { Collection, Storage } from '../storage/port.ts'
import type { StoredIncident } from './shapes.ts'

/**
 * Resolved incidents leave the store some time after their last change, with their timeline and the ids of their
 * receipts, which stand in the same document. One that nobody has resolved stays for ever: it is work that is left.
 *
 * By a sweep and not by an expiry in the document: those of older versions carry none, and a changed
 * INCIDENT_RETENTION_DAYS is to hold for all. From one process of each host; two that meet only find less to remove.
 */
const EVERY_MS = 3_600_000
const DAY_MS = 86_400_000
/** Documents have 200 lines and 50 pieces of evidence: a portion is some megabytes at most. */
const PORTION = 100
/** The rest goes an hour later. */
const PORTIONS_MAX = 100
/** Between two portions, so that requests come first: on real time, as it is the processor's. */
const PAUSE_MS = 10

interface RetentionParts {
  storage: Storage
  store: Collection<StoredIncident>
  fleet: Pick<Fleet, 'slot'>
  clock: Pick<Clock, 'now' | 'every'>
  log: { warn (details: object, message: string): void }
  days: number
}

/** Begins when the store is up, then every hour. Returns what ends it. */
export function keepRetention ({ storage, store, fleet, clock, log, days }: RetentionParts): () => void {
  if (fleet.slot !== 0) return () => {}
  let isRunning = false
  let isClosed = false
  const run = async (): Promise<void> => {
    if (isRunning || isClosed || !storage.health().up) return
    isRunning = true
    try {
      await removeResolved(store, clock.now() - days * DAY_MS, () => isClosed)
    } catch (error) {
      if (!isClosed) log.warn({ err: error }, 'old incidents could not be removed: tried again within the hour')
    } finally {
      isRunning = false
    }
  }
  const timer = clock.every(EVERY_MS, run)
  storage.onHealth(run)
  run()
  return () => {
    isClosed = true
    timer.cancel()
  }
}

/** Those resolved that did not change since, the oldest first; returns how many went. */
export async function removeResolved (
  store: Collection<StoredIncident>,
  beforeMs: number,
  isClosed: () => boolean = () => false
): Promise<number> {
  let removed = 0
  for (let portion = 0; portion < PORTIONS_MAX && !isClosed(); portion++) {
    // Looked for by an index: the removal alone would walk all incidents where there is nothing to remove.
    const { items } = await store.find({
      where: { status: 'RESOLVED', updatedAt: { lt: beforeMs } },
      sort: [['updatedAt', 1]],
      first: PORTION
    })
    const last = items.at(-1)
    if (last === undefined) break
    removed += await store.deleteWhere({ status: 'RESOLVED', updatedAt: { lte: last.updatedAt } }, items.length)
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS))
  }
  return removed
}
