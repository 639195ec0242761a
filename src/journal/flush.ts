import type { Clock } from '../std/clock.ts'
import type { Collection, Storage } from '../storage/port.ts'
import { auditEvents } from '../audit/collections.ts'
import type { StoredAuditEvent } from '../audit/collections.ts'
import type { FileLayer } from './files.ts'
import { replaceFile } from './files.ts'
import { countedLines, eventOf, listProcesses, readLines, segmentName } from './segments.ts'
import type { WrittenEvent } from './segments.ts'
import { eventId } from './trail.ts'
import type { Entry, TrailPosition } from './trail.ts'

/** The customer's buffer: to the store at this many events, or after this long. */
const FLUSH_EVENTS = 100
const FLUSH_MS = 10_000
/** One insert of the store. */
const CHUNK = 1_000
/** Synced events kept in memory for the store; what does not fit is read again from the segments. */
const RECENT_MAX = 2_000
/** A store that failed is left alone this long. */
const RETRY_MS = 2_000
/**
 * Behind this many milliseconds with the store up, a room has written what it acknowledged: recovery need not
 * apply it again.
 */
const EFFECTS_SETTLED_MS = 300_000
/** The mark costs two syncs of the disk. */
const MARK_MS = 5_000

/** How far the store has this process's log: `seq` by event, `effectsSeq` by what recovery would apply. */
export interface Replayed {
  seq: number
  effectsSeq: number
  /** A segment at or before the one that holds the event behind effectsSeq: reading begins there. */
  segment: number
  done: boolean
}

function replayedName (processId: string): string {
  return `${processId}.replayed`
}

export interface Flush {
  push (entries: Entry[], position: TrailPosition): void
  /** Flushes all that is synced; false when the store refused. */
  run (): Promise<boolean>
  /** A last flush, and with it the end of this log's replay. */
  close (): Promise<void>
}

export interface FlushOptions {
  storage: Storage
  files: FileLayer
  directory: string
  processId: string
  clock: Clock
  log: { warn (fields: object, message: string): void }
}

/** The document of an event: without effects, which may hold what only their own collection shows. */
export function storedEvent (event: WrittenEvent): StoredAuditEvent {
  const { effects, ...stored } = event
  const first = effects?.[0]
  return first === undefined ? stored : { ...stored, effectKey: `${first.collection}/${first.id}` }
}

/**
 * Writes synced events into the store's index, in order, idempotent by id. With the store down nothing grows: beyond
 * RECENT_MAX events the memory is let go, and what the store lacks is read again from the segments.
 */
export function createFlush (options: FlushOptions): Flush {
  const { storage, files, directory, processId, clock } = options
  const events: Collection<StoredAuditEvent> = storage.collection<StoredAuditEvent>(auditEvents)
  let recent: Entry[] = []
  let flushedSeq = -1
  let syncedSeq = -1
  let effectsSeq = -1
  let upSince = clock.now()
  let markedAt = 0
  /** Flushed, with their time: the newest that is old enough moves `effectsSeq`. At most 32. */
  let flushedAt: Array<{ seq: number, at: number }> = []
  /**
   * First event of each segment since the one that effectsSeq is in; while the store is down one pair per
   * segment on the disk.
   */
  let starts: Array<{ segment: number, seq: number }> = []
  let running: Promise<boolean> | null = null
  let timer: NodeJS.Timeout | null = null
  let closed = false

  function schedule (delayMs: number): void {
    if (closed || timer !== null) return
    timer = setTimeout(() => {
      timer = null
      runLater()
    }, delayMs)
    timer.unref()
  }

  async function run (): Promise<boolean> {
    // One under way may have begun before the last events.
    if (running !== null) await running
    running ??= flushAll().finally(() => { running = null })
    return await running
  }

  /** run() never rejects: a store that fails is tried again. */
  function runLater (): void {
    run().catch(() => {})
  }

  async function flushAll (): Promise<boolean> {
    if (timer !== null) clearTimeout(timer)
    timer = null
    const last = syncedSeq
    try {
      for (let at = flushedSeq; at < last; at = flushedSeq) await flushChunk()
      await mark()
      if (syncedSeq > flushedSeq) schedule(syncedSeq - flushedSeq >= FLUSH_EVENTS ? 0 : FLUSH_MS)
      return true
    } catch (error) {
      upSince = clock.now()
      options.log.warn(
        { code: (error as { code?: string }).code ?? null, behind: syncedSeq - flushedSeq },
        'audit events wait for the store'
      )
      schedule(RETRY_MS)
      return false
    }
  }

  async function flushChunk (): Promise<void> {
    const first = recent[0]
    if (first === undefined || first.seq > flushedSeq + 1) {
      await flushFromSegments(first?.seq ?? syncedSeq + 1)
      return
    }
    const chunk = recent.slice(0, CHUNK)
    await events.insertMany(chunk.map((entry) => storedEvent(entryEvent(processId, entry))))
    advance(chunk.at(-1)!.seq)
  }

  /** Reads again what memory let go: events from behind the flushed one to before `untilSeq`. */
  async function flushFromSegments (untilSeq: number): Promise<void> {
    const before = flushedSeq
    for await (const chunk of readEvents({ files, directory, processId, afterSeq: flushedSeq, untilSeq })) {
      await events.insertMany(chunk.map(storedEvent))
      advance(chunk.at(-1)!.seq)
    }
    if (flushedSeq === before) throw new Error('the segments do not hold what was synced')
  }

  function advance (seq: number): void {
    flushedSeq = seq
    let done = 0
    while (done < recent.length && recent[done]!.seq <= seq) done++
    recent = recent.slice(done)
  }

  /**
   * Only a hint that makes the next start shorter (replay is idempotent), so not at every flush: it costs two
   * syncs.
   */
  async function mark (): Promise<void> {
    const now = clock.now()
    if (flushedSeq < 0 || (Math.abs(now - markedAt) < MARK_MS && !closed)) return
    markedAt = now
    flushedAt.push({ seq: flushedSeq, at: now })
    const settled = flushedAt.filter((flushed) =>
      now - flushed.at >= EFFECTS_SETTLED_MS && now - upSince >= EFFECTS_SETTLED_MS
    )
    effectsSeq = Math.max(effectsSeq, settled.at(-1)?.seq ?? -1)
    // The oldest are kept, as they ripen first.
    flushedAt = flushedAt.filter((flushed) => flushed.seq > effectsSeq).slice(0, 32)
    const before = starts.findLastIndex((start) => start.seq <= effectsSeq + 1)
    if (before > 0) starts = starts.slice(before)
    await writeReplayed(files, directory, processId, {
      seq: flushedSeq,
      effectsSeq,
      segment: starts[0]?.segment ?? 0,
      done: false
    }).catch(() => { /* the disk's own alarm tells */ })
  }

  return {
    push (entries, position) {
      if (closed) return
      if (flushedSeq < 0 && recent.length === 0 && syncedSeq < 0) upSince = clock.now()
      if (starts.at(-1)?.segment !== position.segment) starts.push({ segment: position.segment, seq: syncedSeq + 1 })
      syncedSeq = position.seq
      // A gap in memory is fine: what is behind it is read from the segments first.
      if (recent.length + entries.length > RECENT_MAX) recent = []
      if (entries.length <= RECENT_MAX) recent = recent.concat(entries)
      if (running === null) {
        if (syncedSeq - flushedSeq < FLUSH_EVENTS) schedule(FLUSH_MS)
        else if (storage.health().up) runLater()
        else schedule(RETRY_MS)
      }
    },
    run,
    async close () {
      closed = true
      await run()
      if (timer !== null) clearTimeout(timer)
    }
  }
}

function entryEvent (processId: string, entry: Entry): WrittenEvent {
  return {
    id: eventId(processId, entry.seq),
    at: entry.at,
    processId,
    seq: entry.seq,
    ...JSON.parse(entry.json) as Omit<WrittenEvent, 'id' | 'at' | 'processId' | 'seq'>
  }
}

export async function writeReplayed (
  files: FileLayer,
  directory: string,
  processId: string,
  replayed: Replayed
): Promise<void> {
  await replaceFile(files, directory, replayedName(processId), Buffer.from(JSON.stringify(replayed)))
}

export async function readReplayed (files: FileLayer, directory: string, processId: string): Promise<Replayed> {
  try {
    const { seq, effectsSeq, segment, done } = JSON.parse(
      (await files.read(`${directory}/${replayedName(processId)}`)).toString()
    ) as Partial<Replayed>
    return {
      seq: Number(seq ?? -1),
      effectsSeq: Number(effectsSeq ?? -1),
      segment: Number(segment ?? 0),
      done: done === true
    }
  } catch {
    // Absent or damaged: everything is replayed, which is only slower.
    return { seq: -1, effectsSeq: -1, segment: 0, done: false }
  }
}

/** Events of one process in order, at most 1,000 at a time; `untilSeq` excluded. */
export async function * readEvents (
  options: { files: FileLayer, directory: string, processId: string, afterSeq: number, untilSeq: number }
): AsyncGenerator<WrittenEvent[]> {
  const { files, directory, processId, afterSeq, untilSeq } = options
  const segments =
    (await listProcesses(files, directory)).find((process) => process.processId === processId)?.segments ?? []
  const reads = segments.map((segment) => async () =>
    readLines(await files.read(`${directory}/${segmentName(processId, segment)}`))
  )
  let next = reads[0] === undefined ? undefined : await reads[0]()
  for (let index = 0; next !== undefined; index++) {
    const read = next
    next = reads[index + 1] === undefined ? undefined : await reads[index + 1]!()
    if ((next?.lines[0]?.seq ?? Infinity) <= afterSeq + 1) continue
    const events = countedLines(read, next?.lines[0]).map(eventOf).filter((event) =>
      event !== null && event.seq > afterSeq && event.seq < untilSeq
    ) as WrittenEvent[]
    for (let at = 0; at < events.length; at += CHUNK) yield events.slice(at, at + CHUNK)
  }
}
