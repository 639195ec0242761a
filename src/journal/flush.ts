import type { Clock, Timer } from '../std/clock.ts'
import type { Collection, Storage } from '../storage/port.ts'
import { auditEvents, storedEvent } from './collections.ts'
import type { StoredAuditEvent } from './collections.ts'
import type { FileLayer } from './files.ts'
import { Portion } from './portion.ts'
import { RecentEntries } from './recent-entries.ts'
import { ReplayProgress, writeReplayed } from './replay-mark.ts'
import { readEvents } from './segments.ts'
import type { WrittenEvent } from './shapes.ts'
import { eventId } from './trail.ts'
import type { Entry, TrailPosition } from './trail.ts'

/** The customer's buffer: to the store at this many events, or after this long. */
const FLUSH_EVENTS = 100
const FLUSH_MS = 10_000
/** A store that failed is left alone this long. */
const RETRY_MS = 2_000
/** The mark costs two syncs of the disk. */
const MARK_MS = 5_000
/** What the store does not take in this time at the end, the next start brings in: a drain must not wait for it. */
const CLOSE_MS = 2_500

interface FlushOptions {
  storage: Storage
  files: FileLayer
  directory: string
  processId: string
  clock: Clock
  log: { warn (fields: object, message: string): void }
}

/**
 * Writes synced events into the store's index, in order, idempotent by id. With the store down nothing grows: memory
 * lets go of the events, and those that the store lacks are read again from the segments.
 *
 * Not std's write-behind: it waits for company (100 events or 10 s), and tells its callers whether the store has all.
 */
export class Flush {
  readonly #options: FlushOptions
  readonly #events: Collection<StoredAuditEvent>
  readonly #portion = new Portion()
  readonly #recent = new RecentEntries()
  readonly #progress: ReplayProgress
  /** The last event that the store has, and the last that is synced. */
  #flushedSeq = -1
  #syncedSeq = -1
  #markedAtMs = 0
  #running: Promise<boolean> | null = null
  #timer: Timer | null = null
  #closed = false
  #isGivenUp = false

  constructor (options: FlushOptions) {
    this.#options = options
    this.#events = options.storage.collection<StoredAuditEvent>(auditEvents, 'background')
    this.#progress = new ReplayProgress(options.clock.now())
  }

  /** Takes over synced entries; never waits. */
  push (entries: Entry[], position: TrailPosition): void {
    if (this.#closed) return
    if (this.#flushedSeq < 0 && this.#recent.isEmpty && this.#syncedSeq < 0) {
      this.#progress.storeUpSince(this.#options.clock.now())
    }
    this.#progress.wroteTo(position.segment, this.#syncedSeq + 1)
    this.#syncedSeq = position.seq
    this.#recent.keep(entries)
    if (this.#running !== null) return
    if (this.#syncedSeq - this.#flushedSeq < FLUSH_EVENTS) this.#schedule(FLUSH_MS)
    else if (this.#options.storage.health().up) this.#runLater()
    else this.#schedule(RETRY_MS)
  }

  /** Flushes all that is synced; false when the store refused. Never rejects. */
  async run (): Promise<boolean> {
    // One under way may have begun before the last events.
    if (this.#running !== null) await this.#running
    this.#running ??= this.#flushAll().finally(() => { this.#running = null })
    return await this.#running
  }

  /** A last flush, and with it the end of this log's replay. */
  async close (): Promise<void> {
    this.#closed = true
    const late = new Promise<void>((resolve) => { this.#options.clock.after(CLOSE_MS, resolve) })
    await Promise.race([this.run(), late])
    this.#isGivenUp = true
    this.#timer?.cancel()
  }

  #schedule (delayMs: number): void {
    if (this.#closed || this.#timer !== null) return
    this.#timer = this.#options.clock.after(delayMs, () => {
      this.#timer = null
      this.#runLater()
    })
  }

  #runLater (): void {
    // A store that fails is tried again.
    this.run().catch(() => {})
  }

  async #flushAll (): Promise<boolean> {
    this.#timer?.cancel()
    this.#timer = null
    const last = this.#syncedSeq
    try {
      while (this.#flushedSeq < last && !this.#isGivenUp) await this.#flushChunk()
      await this.#mark()
      const behind = this.#syncedSeq - this.#flushedSeq
      if (behind > 0) this.#schedule(behind >= FLUSH_EVENTS ? 0 : FLUSH_MS)
      return true
    } catch (error) {
      this.#progress.storeUpSince(this.#options.clock.now())
      this.#options.log.warn(
        { code: (error as { code?: string }).code ?? null, behind: this.#syncedSeq - this.#flushedSeq },
        'audit events wait for the store'
      )
      this.#schedule(RETRY_MS)
      return false
    }
  }

  async #flushChunk (): Promise<void> {
    const { firstSeq } = this.#recent
    if (firstSeq === null || firstSeq > this.#flushedSeq + 1) {
      await this.#flushFromSegments(firstSeq ?? this.#syncedSeq + 1)
      return
    }
    const chunk = this.#recent.oldest(this.#portion.size)
    await this.#insert(chunk.map((entry) => writtenEvent(this.#options.processId, entry)))
  }

  /** Reads again the events that memory let go: from behind the flushed one to before `untilSeq`. */
  async #flushFromSegments (untilSeq: number): Promise<void> {
    const { files, directory, processId } = this.#options
    const before = this.#flushedSeq
    for await (const chunk of readEvents({ files, directory, processId, afterSeq: before, untilSeq })) {
      for (let at = 0; at < chunk.length && !this.#isGivenUp;) {
        const portion = chunk.slice(at, at + this.#portion.size)
        await this.#insert(portion)
        at += portion.length
      }
    }
    if (this.#flushedSeq === before) throw new Error('the segments do not hold what was synced')
  }

  async #insert (events: WrittenEvent[]): Promise<void> {
    await this.#portion.through(() => this.#events.insertMany(events.map(storedEvent)))
    this.#advance(events.at(-1)!.seq)
  }

  #advance (seq: number): void {
    this.#flushedSeq = seq
    this.#recent.forgetThrough(seq)
  }

  /** Not at every flush, as it costs two syncs. */
  async #mark (): Promise<void> {
    const { files, directory, processId, clock } = this.#options
    const nowMs = clock.now()
    if (this.#flushedSeq < 0 || (Math.abs(nowMs - this.#markedAtMs) < MARK_MS && !this.#closed)) return
    this.#markedAtMs = nowMs
    await writeReplayed(files, directory, processId, this.#progress.flushed(this.#flushedSeq, nowMs))
      .catch(() => { /* the disk's own alarm tells */ })
  }
}

function writtenEvent (processId: string, entry: Entry): WrittenEvent {
  return {
    id: eventId(processId, entry.seq),
    at: entry.at,
    processId,
    seq: entry.seq,
    ...JSON.parse(entry.json) as Omit<WrittenEvent, 'id' | 'at' | 'processId' | 'seq'>
  }
}
