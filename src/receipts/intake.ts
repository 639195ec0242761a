import type { Clock } from '../std/clock.ts'
import { BoundedMap } from '../std/bounded-map.ts'
import { createPerSecond } from '../std/per-second.ts'
import { describeReceipt, type RecentReceipts } from './recent-receipts.ts'
import type { Receipt, Recorded, Refused } from './receipt.ts'
import type { Recorder } from './recorder.ts'
import type { Assessment } from './shapes.ts'
import type { SharedStats } from './stats-sharing.ts'

/** Told of each receipt when it is made; `describe` redacts, so call it only for those that are shown. */
export type AddedListener = (receipt: Receipt, describe: () => Assessment) => void

/** Where receipts come in: kept in memory, offered to the store, counted, and told to whoever listens. */
export interface Intake {
  /** A scored request whose answer has left. Never throws. */
  record (receipt: Recorded): void
  /** A request refused before it was scored; of a flood of them the receipts of 500 a second are kept. */
  recordRefusal (receipt: Refused): void
  /** A request that others saw: figures and listeners hear of those only that act. */
  recordSample (receipt: Recorded, options: { acts: boolean }): void
  /** For this long every receipt of the client is stored, whatever its score (within the rate). */
  watch (client: string, ms: number): void
  onAdded (listener: AddedListener): () => void
}

interface IntakeParts {
  clock: Clock
  recent: RecentReceipts
  recorder: Recorder
  stats: Pick<SharedStats, 'count'>
  log: { error: (facts: object, message: string) => void }
}

const WATCHED_MAX = 10_000
/** The rest of a blocked client's flood is only counted: it must not push other clients' receipts out of memory. */
const REFUSALS_KEPT_PER_SECOND = 500

export function createIntake ({ clock, recent, recorder, stats, log }: IntakeParts): Intake {
  const listeners = new Set<AddedListener>()
  const watched = new BoundedMap<string, number>(WATCHED_MAX)
  const refusalsKept = createPerSecond(clock, REFUSALS_KEPT_PER_SECOND)

  function isWatched (client: string): boolean {
    if (watched.size === 0) return false
    const untilMs = watched.get(client)
    if (untilMs === undefined) return false
    if (untilMs > clock.monotonic()) return true
    watched.delete(client)
    return false
  }

  function add (given: Receipt, client: string): void {
    const receipt = recent.keep(given)
    recorder.offer(receipt, isWatched(client))
    if (listeners.size === 0) return
    const describe = (): Assessment => describeReceipt(receipt)
    for (const listener of listeners) {
      try {
        listener(receipt, describe)
      } catch (error) {
        log.error({ err: error }, 'a listener of assessments failed')
      }
    }
  }

  function record (receipt: Recorded): void {
    stats.count(receipt.verdict.action, receipt.score.value, receipt.score.factors)
    add(receipt, receipt.observation.client)
  }

  return {
    record,
    recordRefusal (receipt) {
      stats.count('BLOCK', 0, [])
      if (refusalsKept.take()) add(receipt, receipt.client)
    },
    recordSample (receipt, { acts }) {
      if (acts) return record(receipt)
      recorder.offer(recent.keep(receipt), false)
    },
    watch: (client, ms) => { watched.set(client, clock.monotonic() + ms) },
    onAdded (listener) {
      listeners.add(listener)
      return () => { listeners.delete(listener) }
    }
  }
}
