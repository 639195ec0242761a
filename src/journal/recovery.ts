/**
 * Recovery: logs that dead processes left behind are closed and brought into the store.
 *
 * Owns: the logs of processes that no longer run. In: their segments. Out: each event in the store exactly once, each
 * document as its last acknowledged change left it, each log closed, and handed over to be sealed (`sealLog`).
 * Never does: touch a log whose chain is broken (it is evidence; the events before the break are still indexed).
 *
 * Run by the primary at start before it forks, and for a worker that died. Idempotent: killed anywhere, it is
 * run again. Rooms write their documents themselves; effects are for those who died between the
 * acknowledgement and that write. So an effect is left out where somebody changed the same document later,
 * and where the document says so itself (`updatedAt`).
 */
import type { Clock } from '../std/clock.ts'
import type { Collection, CollectionDefinition, Storage } from '../storage/port.ts'
import { encodeLine, GENESIS } from './chain.ts'
import type { Line } from './chain.ts'
import { auditEvents, storedEvent } from './collections.ts'
import type { StoredAuditEvent } from './collections.ts'
import { applyEffects, EffectSet } from './effects.ts'
import { systemFiles } from './files.ts'
import type { FileLayer } from './files.ts'
import { releaseLog } from './log-locks.ts'
import { Portion, PORTION_MAX } from './portion.ts'
import { openSealed } from './pseudonyms.ts'
import type { Pseudonyms } from './pseudonyms.ts'
import { readReplayed, writeReplayed } from './replay-mark.ts'
import type { Replayed } from './replay-mark.ts'
import { countedLines, eventOf, listProcesses, readLines, segmentName } from './segments.ts'
import type { SegmentLines } from './segments.ts'
import type { StoreEffect, WrittenEvent } from './shapes.ts'

/** The last line of a log: where its chain ends. */
export interface LogEnd { processId: string, segment: number, seq: number, hash: string }

/**
 * Makes the evidence that a log ends where it does. Called once its `close` line is synced, and again when recovery
 * was killed in between: sealing twice must be sealing once.
 */
export type SealLog = (end: LogEnd) => Promise<void>

export interface RecoveryOptions {
  directory: string
  storage: Storage
  clock: Clock
  log: { error (fields: object, message: string): void }
  /** Where effects may point. An effect on another collection is logged and keeps its log from being done. */
  collections: CollectionDefinition[]
  /** True for processes that still write their log. */
  isLive: (processId: string) => boolean
  /** Opens the logs' effects, where they were written with AUDIT_PSEUDONYM_KEY. */
  pseudonyms: Pseudonyms | null
  sealLog: SealLog
  /** For who calls again after a failure: goes on where that one ended. */
  progress?: RecoveryProgress | undefined
  files?: FileLayer
}

/** How far recovery came, over the calls that it takes a store that is slow or comes and goes. */
export class RecoveryProgress {
  readonly portion = new Portion()
  /** Effects that the store has. */
  readonly applied = new Set<string>()
}

export interface RecoveryReport {
  /** Logs of dead processes that were brought in. */
  processes: number
  /** Events that the store did not have. */
  events: number
  /** Documents written or deleted. */
  effects: number
  /** Unfinished bytes cut from the ends of logs. */
  tornBytes: number
  /** Logs left alone because their chain is broken, or an effect could not be applied. */
  broken: string[]
}

/** Inserts under way at once, of a store that is quick enough for whole portions. */
const IN_FLIGHT = 4
/** The mark costs two syncs of the disk. */
const MARK_MS = 5_000

/** @throws NEKO_ERR_STORE_UNAVAILABLE: call again later, nothing is lost, and what the store has stays there. */
export async function recoverLogs (options: RecoveryOptions): Promise<RecoveryReport> {
  const { directory, isLive, log, progress = new RecoveryProgress() } = options
  const files = options.files ?? systemFiles
  const report: RecoveryReport = { processes: 0, events: 0, effects: 0, tornBytes: 0, broken: [] }
  const effects = new EffectSet()
  const brought: Array<{ processId: string, before: Replayed, replayed: Replayed }> = []
  for (const { processId, segments } of await listProcesses(files, directory)) {
    if (isLive(processId)) continue
    const replayed = await readReplayed(files, directory, processId)
    if (replayed.done) continue
    const end = await bringIn({ ...options, files, processId, segments, replayed, effects, report, progress })
    if (end === null) continue
    await closeLog({ ...options, files, processId, end, report })
    brought.push({
      processId,
      before: replayed,
      replayed: { seq: end.seq, effectsSeq: end.seq, segment: Math.max(0, end.segment), done: true }
    })
  }
  const open = (effect: StoreEffect): StoreEffect => openSealed(effect, options.pseudonyms)
  const applied = await applyEffects({ ...options, files, effects, open, progress }).catch(async (error: unknown) => {
    // The index has them: the next call goes on with their effects.
    for (const { processId, before, replayed: { seq } } of brought) {
      await writeReplayed(files, directory, processId, { ...before, seq })
    }
    throw error
  })
  const isWhole = applied.unknown.size === 0 && applied.unreadable === 0
  report.effects = applied.applied
  // Marked only now: killed before this, everything is read again.
  for (const { processId, replayed } of brought) {
    if (isWhole) {
      await writeReplayed(files, directory, processId, replayed)
      await releaseLog(files, directory, processId)
    } else report.broken.push(processId)
  }
  if (applied.unknown.size > 0) {
    log.error(
      { collections: [...applied.unknown] },
      'audit effects point to collections that nobody declared'
    )
  }
  if (applied.unreadable > 0) {
    log.error(
      { effects: applied.unreadable },
      'audit effects were sealed by another AUDIT_PSEUDONYM_KEY: start once with that one'
    )
  }
  report.processes = brought.length
  return report
}

interface BringIn extends RecoveryOptions {
  files: FileLayer
  processId: string
  segments: number[]
  replayed: Replayed
  effects: EffectSet
  report: RecoveryReport
  progress: RecoveryProgress
}

/** The end of a dead log, with what closing it needs: the next event's place, the bytes that count. */
interface OpenEnd extends Omit<LogEnd, 'processId'> { nextSeq: number, length: number, closed: boolean }

/** Events into the store, effects into the set. Returns where the log ends, or null when its chain is broken. */
async function bringIn (options: BringIn): Promise<OpenEnd | null> {
  const { files, directory, processId, segments, replayed, effects, report, log } = options
  const inserts = new Inserts(options)
  const wanted = segments.filter((segment) => segment >= replayed.segment)
  const end: OpenEnd = { segment: -1, seq: replayed.seq, hash: GENESIS, nextSeq: 0, length: 0, closed: false }
  const read = async (index: number): Promise<SegmentLines | undefined> => (
    wanted[index] === undefined
      ? undefined
      : readLines(await files.read(`${directory}/${segmentName(processId, wanted[index])}`))
  )
  let current = await read(0)
  for (let index = 0; current !== undefined; index++) {
    const next = await read(index + 1)
    const lines = countedLines(current, next?.lines[0])
    const found = lines.map(eventOf).filter((event) => event !== null)
    for (const event of found) effects.add(event, event.seq > replayed.effectsSeq)
    await inserts.add(found.filter((event) => event.seq > replayed.seq))
    const last = lines.at(-1)
    const cutShort = current.problem !== null && lines.length === current.lines.length
    if (cutShort || !follows(lines[0], end, index)) {
      log.error({
        processId,
        segment: wanted[index],
        problem: current.problem ?? 'the segment does not follow the one before'
      }, 'an audit log is damaged: run neko audit verify')
      report.broken.push(processId)
      return null
    }
    if (last !== undefined) Object.assign(end, endOf(last, wanted[index] as number, current, lines.length))
    current = next
  }
  return end
}

/** Events of one log on their way into the store, and the mark of how far they are. */
class Inserts {
  readonly #options: BringIn
  readonly #events: Collection<StoredAuditEvent>
  readonly #underWay: Array<{ inserted: Promise<number>, seq: number }> = []
  #seq = -1
  #markedAtMs: number

  constructor (options: BringIn) {
    this.#options = options
    this.#events = options.storage.collection<StoredAuditEvent>(auditEvents)
    this.#markedAtMs = options.clock.monotonic()
  }

  /** Resolves when the store has them. @throws NEKO_ERR_STORE_UNAVAILABLE behind a mark of what it has */
  async add (events: WrittenEvent[]): Promise<void> {
    const { portion } = this.#options.progress
    try {
      for (let at = 0; at < events.length;) {
        const some = events.slice(at, at + portion.size)
        const inserted = portion.through(() => this.#events.insertMany(some.map(storedEvent)))
        // Awaited below; when an earlier one fails, this one's failure must not be an unhandled one.
        inserted.catch(() => {})
        this.#underWay.push({ inserted, seq: some.at(-1)!.seq })
        at += some.length
        // The store's thread writes while the next portion is made.
        while (this.#underWay.length >= (portion.size < PORTION_MAX ? 1 : IN_FLIGHT)) await this.#settleOne()
        if (this.#options.clock.monotonic() - this.#markedAtMs >= MARK_MS) await this.#mark()
      }
      while (this.#underWay.length > 0) await this.#settleOne()
    } catch (error) {
      await this.#mark()
      throw error
    }
  }

  async #settleOne (): Promise<void> {
    const { inserted, seq } = this.#underWay.shift()!
    this.#options.report.events += await inserted
    this.#seq = seq
  }

  async #mark (): Promise<void> {
    const { files, directory, processId, replayed, clock } = this.#options
    this.#markedAtMs = clock.monotonic()
    if (this.#seq <= replayed.seq) return
    await writeReplayed(files, directory, processId, { ...replayed, seq: this.#seq })
      .catch(() => { /* a hint only: without it they are sent again */ })
  }
}

function follows (first: Line | undefined, end: OpenEnd, index: number): boolean {
  return first === undefined || index === 0 || end.segment < 0 || first.prevHash === end.hash
}

function endOf (last: Line, segment: number, read: SegmentLines, count: number): OpenEnd {
  const nextSeq = last.kind === 'event' ? last.seq + 1 : last.seq
  return {
    segment,
    seq: nextSeq - 1,
    hash: last.hash,
    nextSeq,
    length: read.ends[count - 1] as number,
    closed: last.kind === 'close'
  }
}

interface CloseLog extends RecoveryOptions { files: FileLayer, processId: string, end: OpenEnd, report: RecoveryReport }

/** Cuts a torn end, writes the `close` line, and has it sealed. */
async function closeLog ({ files, directory, processId, end, report, clock, sealLog }: CloseLog): Promise<void> {
  if (end.segment < 0) return
  const path = `${directory}/${segmentName(processId, end.segment)}`
  if (!end.closed) {
    const torn = await files.size(path) - end.length
    const file = files.open(path, 'existing')
    try {
      if (torn > 0) file.truncate(end.length)
      const line = encodeLine(end.hash, 'close', end.nextSeq, `"at":${clock.now()},"tornBytes":${torn}`)
      await file.write(Buffer.from(line.text), end.length)
      await file.sync()
      end.hash = line.hash
      report.tornBytes += torn
    } finally {
      file.close()
    }
  }
  await sealLog({ processId, segment: end.segment, seq: end.seq, hash: end.hash })
}
