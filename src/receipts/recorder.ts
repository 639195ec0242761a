/**
 * Which receipts are stored, and how they get there: those from 20 points on, at most 200 a second; of the others every
 * hundredth, chosen by its id so that a repetition chooses the same. Redaction and JSON are done in small portions off
 * the request path; a store that is down costs receipts, never requests.
 */
import { REDACTION_VERSION } from './cleaning.ts'
import { describeReceipt, idOf } from './recent-receipts.ts'
import type { Receipt } from './receipt.ts'
import type { StoredAssessment } from './shapes.ts'
import type { Slices } from './slices.ts'
import type { Clock } from '../std/clock.ts'
import { createPerSecond } from '../std/per-second.ts'
import type { Collection } from '../storage/port.ts'

export interface Recorder {
  offer (receipt: Receipt, always: boolean): void
  /** Receipts that were not stored, by reason. */
  left (): { overRate: number, failed: number }
  /** Everything offered so far is in the store or given up. */
  flush (): Promise<void>
  close (): Promise<void>
}

interface RecorderParts {
  store: Collection<StoredAssessment>
  clock: Clock
  slices: Slices
  retentionDays: number
  log: { warn: (facts: object, message: string) => void }
}

const STORED_FROM_SCORE = 20
const STORED_PER_SECOND_MAX = 200
const SAMPLED_ONE_IN = 100
/** Receipts of one write. 20 every 80 ms are 250 a second, more than STORED_PER_SECOND_MAX. */
const PORTION = 20
const PORTION_EVERY_MS = 80
const WAITING_MAX = 1_000
const WARN_EVERY_MS = 60_000
const DAY_MS = 86_400_000

export function createRecorder ({ store, clock, slices, retentionDays, log }: RecorderParts): Recorder {
  let waiting: Receipt[] = []
  let writing: Promise<void> | null = null
  const stored = createPerSecond(clock, STORED_PER_SECOND_MAX)
  let overRate = 0
  let failed = 0
  let warnedMs = -Infinity
  const timer = clock.every(PORTION_EVERY_MS, () => {
    if (waiting.length > 0 && writing === null) writePortion()
  })

  function mayStore (): boolean {
    if (waiting.length < WAITING_MAX && stored.take()) return true
    overRate++
    return false
  }

  function writePortion (): Promise<void> {
    writing = write(waiting.splice(0, PORTION)).finally(() => { writing = null })
    return writing
  }

  /** Never rejects. A receipt that cannot be described costs none of the others. */
  async function write (portion: readonly Receipt[]): Promise<void> {
    const described = await Promise.allSettled(portion.map((receipt) => slices.run(() => storedOf(receipt))))
    const documents: StoredAssessment[] = []
    for (const one of described) {
      if (one.status === 'fulfilled') documents.push(one.value)
      else fail(1, one.reason)
    }
    if (documents.length === 0) return
    try {
      await store.insertMany(documents)
    } catch (error) {
      fail(documents.length, error)
    }
  }

  function storedOf (receipt: Receipt): StoredAssessment {
    const expiresAt = receipt.at + retentionDays * DAY_MS
    return { ...describeReceipt(receipt), expiresAt, redaction: REDACTION_VERSION }
  }

  function fail (receipts: number, error: unknown): void {
    failed += receipts
    if (clock.monotonic() - warnedMs < WARN_EVERY_MS) return
    warnedMs = clock.monotonic()
    log.warn({ err: error, failed }, 'receipts could not be stored')
  }

  async function flush (): Promise<void> {
    while (waiting.length > 0 || writing !== null) await (writing ?? writePortion())
  }

  return {
    offer (receipt, always) {
      if (isWorthStoring(receipt, always) && mayStore()) waiting.push(receipt)
    },
    left: () => ({ overRate, failed }),
    flush,
    async close () {
      timer.cancel()
      await flush()
      waiting = []
    }
  }
}

function isWorthStoring (receipt: Receipt, always: boolean): boolean {
  if (always || ('score' in receipt && receipt.score.value >= STORED_FROM_SCORE)) return true
  // Ids end in a running number.
  const id = idOf(receipt)
  return parseInt(id.slice(id.lastIndexOf('_') + 1), 36) % SAMPLED_ONE_IN === 0
}
