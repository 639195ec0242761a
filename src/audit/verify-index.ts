import { createHash } from 'node:crypto'
import type { Hash } from 'node:crypto'
import { systemClock } from '../std/clock.ts'
import type { Storage, Where } from '../storage/port.ts'
import { pagesOf } from '../storage/pages.ts'
import { auditEvents, storedEvent } from '../journal/collections.ts'
import type { StoredAuditEvent } from '../journal/collections.ts'
import { systemFiles } from '../journal/files.ts'
import { readReplayed } from '../journal/replay-mark.ts'
import { listProcesses, readEvents } from '../journal/segments.ts'
import type { WrittenEvent } from '../journal/shapes.ts'
import { shownMessage } from '../errors.ts'
import { RETENTION_DAYS } from './retention.ts'
import { isStoreError } from './store-error.ts'
import type { LogExtent } from './verify-log.ts'
import { find, note } from './verify-report.ts'
import type { VerifyReport } from './verify-report.ts'

/**
 * The index against the log: administrators are shown the store's copy of the events, so a copy that was wiped, edited
 * or invented is a finding as much as a line of the log. The log's events are kept as digests while it is walked;
 * then the index is read once, in pages.
 *
 * An event may be missing in the index where its writer had not yet noted that the store has it, and where retention
 * removed it. The index may hold what retention removed of the log, and what was written since the log was walked: that
 * is looked up in the log once more.
 */
interface IndexCheckOptions {
  storage: Storage
  directory: string
  /** AUDIT_RETENTION_DAYS. */
  days?: number | undefined
}

/** 24 bytes each are held: those behind them are not compared, and a note says so. */
const EVENTS_MAX = 10_000_000
const PAGE = 1_000
/** A database that hosts share is asked for the events of so many logs, else for all. */
const PROCESSES_ASKED_MAX = 1_000
const DIGEST_BYTES = 16
const ENTRY_BYTES = DIGEST_BYTES + 8
const DAY_MS = 86_400_000

export class IndexCheck {
  readonly #options: IndexCheckOptions
  readonly #logs = new Map<string, LogDigests>()
  #current: LogDigests | null = null
  #events = 0
  #compared = 0

  constructor (options: IndexCheckOptions) {
    this.#options = options
  }

  /** A log is about to be walked. Its mark is read first: the index has at least that much of it. */
  async begin (processId: string): Promise<void> {
    const { seq } = await readReplayed(systemFiles, this.#options.directory, processId)
    this.#current = new LogDigests(seq)
    this.#logs.set(processId, this.#current)
  }

  add (event: WrittenEvent): void {
    if (this.#events < EVENTS_MAX && this.#current!.add(event)) this.#events++
  }

  /** Never throws for a store that cannot answer: a note says so. `trailOf`: what findings about a log stand under. */
  async compare (
    report: VerifyReport,
    extents: ReadonlyMap<string, LogExtent>,
    trailOf: (processId: string) => string
  ): Promise<void> {
    try {
      await this.#compare(report, extents, trailOf)
    } catch (error) {
      if (!isStoreError(error)) throw error
      return note(report, { file: 'store' }, `the index was not compared with the log: ${shownMessage(error)}`)
    }
    report.indexed = this.#compared
    if (this.#events < EVENTS_MAX) return
    note(report, { file: 'store' }, `of the index, ${EVENTS_MAX} events were compared with the log`)
  }

  async #compare (
    report: VerifyReport,
    extents: ReadonlyMap<string, LogExtent>,
    trailOf: (processId: string) => string
  ): Promise<void> {
    const { storage, days = RETENTION_DAYS } = this.#options
    const isShared = storage.kind === 'mongodb'
    const own = [...this.#logs.keys()]
    const where: Where = isShared && own.length <= PROCESSES_ASKED_MAX ? { processId: { in: own } } : {}
    const rows: Rows = { other: new Map(), extra: new Map(), strange: new Map() }
    const index = storage.collection<StoredAuditEvent>(auditEvents)
    for await (const page of pagesOf(index, { where, sort: [['at', -1]], first: PAGE, most: Infinity })) {
      for (const stored of page) {
        if (this.#logs.has(stored.processId)) this.#compareOne(rows, stored, extents.get(stored.processId)!)
        else if (!isShared) gather(rows.strange, stored)
      }
    }
    await this.#findRows(report, rows, { extents, trailOf })
    const keptSinceMs = systemClock.now() - days * DAY_MS
    for (const [processId, log] of this.#logs) {
      const { count, firstSeq } = log.missing(keptSinceMs)
      if (count === 0) continue
      const place = { file: 'store', seq: firstSeq, trail: trailOf(processId) }
      find(report, place, `the index lacks ${count} events of ${processId}, which its log holds`)
    }
  }

  #compareOne (rows: Rows, stored: StoredAuditEvent, { removedSeq }: LogExtent): void {
    const met = this.#logs.get(stored.processId)!.meet(stored)
    if (met === 'same') this.#compared++
    else if (met === 'other') gather(rows.other, stored)
    else if (stored.seq > removedSeq && this.#events < EVENTS_MAX) gather(rows.extra, stored)
  }

  async #findRows (
    report: VerifyReport,
    { other, extra, strange }: Rows,
    { extents, trailOf }: { extents: ReadonlyMap<string, LogExtent>, trailOf: (processId: string) => string }
  ): Promise<void> {
    for (const [processId, found] of other) {
      const message = `the event ${found.id} in the index is not the one that the log holds${andMore(found)}`
      find(report, placeOf(found, trailOf(processId)), message)
    }
    for (const [processId, found] of extra) {
      if (await this.#isWrittenSince(processId, found, extents.get(processId)!)) continue
      const message = `the index holds an event ${found.id} that the log does not${andMore(found)}`
      find(report, placeOf(found, trailOf(processId)), message)
    }
    if (strange.size === 0) return
    const now = new Set((await listProcesses(systemFiles, this.#options.directory)).map(({ processId }) => processId))
    for (const [processId, found] of strange) {
      if (now.has(processId)) continue
      const place = { file: 'store', trail: processId, rows: found.digest.digest('hex') }
      find(report, place, `the index holds ${found.count} events of ${processId}, whose log is not here`)
    }
  }

  /** A process that goes on writing: the rows lie behind the end that was read, and its log reaches them now. */
  async #isWrittenSince (processId: string, { lowest, highest }: Gathered, { lastSeq }: LogExtent): Promise<boolean> {
    if (lowest <= lastSeq) return false
    const { directory } = this.#options
    let reached = lastSeq
    for await (
      const chunk of readEvents({ files: systemFiles, directory, processId, afterSeq: lastSeq, untilSeq: Infinity })
    ) reached = chunk.at(-1)!.seq
    return reached >= highest
  }
}

/** Rows of the index, by process, that are not as the log holds them; that it does not hold; whose log is not here. */
interface Rows { other: Map<string, Gathered>, extra: Map<string, Gathered>, strange: Map<string, Gathered> }

/** The newest of them, how many they are, and a digest of all in the order of the index. */
interface Gathered { id: string, seq: number, lowest: number, highest: number, count: number, digest: Hash }

function gather (rows: Map<string, Gathered>, stored: StoredAuditEvent): void {
  const { processId, id, seq } = stored
  let found = rows.get(processId)
  if (found === undefined) {
    found = { id, seq, lowest: seq, highest: seq, count: 0, digest: createHash('sha256') }
    rows.set(processId, found)
  }
  found.count++
  found.lowest = Math.min(found.lowest, seq)
  found.highest = Math.max(found.highest, seq)
  found.digest.update(digestOf(stored))
}

function andMore ({ count }: Gathered): string {
  return count === 1 ? '' : `, and ${count - 1} more`
}

function placeOf (
  { seq, digest }: Gathered,
  trail: string
): { file: string, seq: number, trail: string, rows: string } {
  return { file: 'store', seq, trail, rows: digest.digest('hex') }
}

/** The events of one log, by number: what each says as a digest, and when it was. A zero: met, or never there. */
class LogDigests {
  /** The last event that the index has, as its writer noted. */
  readonly #indexedSeq: number
  #firstSeq = 0
  #entries = Buffer.alloc(0)
  #length = 0

  constructor (indexedSeq: number) {
    this.#indexedSeq = indexedSeq
  }

  /** False for a number that an edited line invented: that line is a finding already. */
  add (event: WrittenEvent): boolean {
    if (this.#length === 0) this.#firstSeq = event.seq
    const place = event.seq - this.#firstSeq
    if (place < this.#length || place > this.#length + PAGE) return false
    const start = place * ENTRY_BYTES
    if (start + ENTRY_BYTES > this.#entries.length) {
      const grown = Buffer.alloc(Math.max(start + ENTRY_BYTES, this.#entries.length * 2, PAGE * ENTRY_BYTES))
      this.#entries.copy(grown)
      this.#entries = grown
    }
    digestOf(storedEvent(event)).copy(this.#entries, start)
    this.#entries.writeDoubleLE(event.at, start + DIGEST_BYTES)
    this.#length = place + 1
    return true
  }

  meet (stored: StoredAuditEvent): 'same' | 'other' | 'none' {
    const start = (stored.seq - this.#firstSeq) * ENTRY_BYTES
    if (!(stored.seq >= this.#firstSeq && stored.seq < this.#firstSeq + this.#length)) return 'none'
    const digest = this.#entries.subarray(start, start + DIGEST_BYTES)
    // One that was met already, under another id.
    if (digest.every((byte) => byte === 0)) return 'other'
    const isSame = digestOf(stored).equals(digest)
    digest.fill(0)
    return isSame ? 'same' : 'other'
  }

  /** Events that the index must hold and that were not met. */
  missing (keptSinceMs: number): { count: number, firstSeq: number | null } {
    let count = 0
    let firstSeq: number | null = null
    const last = Math.min(this.#length - 1, this.#indexedSeq - this.#firstSeq)
    for (let place = 0; place <= last; place++) {
      const start = place * ENTRY_BYTES
      if (this.#entries.subarray(start, start + DIGEST_BYTES).every((byte) => byte === 0)) continue
      if (this.#entries.readDoubleLE(start + DIGEST_BYTES) < keptSinceMs) continue
      count++
      firstSeq ??= this.#firstSeq + place
    }
    return { count, firstSeq }
  }
}

/** Of what the event says; the store's own members are no part of it. */
function digestOf ({ revision: _revision, ...event }: StoredAuditEvent & { revision?: number }): Buffer {
  return createHash('sha256').update(canonical(event)).digest().subarray(0, DIGEST_BYTES)
}

/** JSON with the names in order, as a store may give them back in another. */
function canonical (value: unknown): string {
  return JSON.stringify(value, (_name, member: unknown) =>
    member !== null && typeof member === 'object' && !Array.isArray(member)
      ? Object.fromEntries(Object.entries(member).sort(([a], [b]) => a < b ? -1 : 1))
      : member)
}
