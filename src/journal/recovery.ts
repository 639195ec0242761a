/**
 * Recovery: logs that dead processes left behind are closed and brought into the store.
 *
 * Owns: the logs of processes that no longer run. In: their segments. Out: each event in the store exactly once, each
 * document as its last acknowledged change left it, each log closed, and handed over to be sealed (`seals`).
 * Never does: touch a log whose chain is broken or whose seals do not hold. It is evidence, and stays as it is until a
 * person has looked at it. Before a break, events are still indexed and what was acknowledged in them applied, as far
 * as a seal proves them; of a log whose seals do not hold nothing is taken, as anybody can write a chain, and only the
 * key tells who wrote this one.
 *
 * Run by the primary at start before it forks, and for a worker that died. Idempotent: killed anywhere, it is
 * run again. Rooms write their documents themselves; effects are for those who died between the
 * acknowledgement and that write. So an effect is left out where somebody changed the same document later,
 * and where the document says so itself (`updatedAt`).
 */
import type { Clock } from '../std/clock.ts'
import type { Collection, CollectionDefinition, Storage } from '../storage/port.ts'
import { encodeLine, GENESIS } from './chain.ts'
import { auditEvents, storedEvent } from './collections.ts'
import type { StoredAuditEvent } from './collections.ts'
import { EffectSet } from './effect-set.ts'
import { applyEffects, RecoveryProgress } from './apply-effects.ts'
import { systemFiles } from './files.ts'
import type { FileLayer } from './files.ts'
import { countProven, lastEvent, linkedLines, NOWHERE, readSegment } from './linked-lines.ts'
import type { OpenEnd, Sealed } from './linked-lines.ts'
import { releaseLog } from './log-locks.ts'
import { PORTION_MAX } from './portion.ts'
import { openSealed } from './pseudonyms.ts'
import type { Pseudonyms } from './pseudonyms.ts'
import { readReplayed, writeReplayed } from './replay-mark.ts'
import type { Replayed } from './replay-mark.ts'
import { eventOf, listProcesses, segmentName } from './segments.ts'
import type { StoreEffect, WrittenEvent } from './shapes.ts'
import { eventId } from './trail.ts'

/** The last line of a log: where its chain ends. */
export interface LogEnd { processId: string, segment: number, seq: number, hash: string }

/** What is sealed of a dead log. */
export interface DeadLog {
  /** Why its seals do not hold; null when they do. */
  problem: string | null
  /** The first segment that must be there, and the line that it follows; null where the seals do not tell. */
  begins: { segment: number, hash: string } | null
  sealed: Sealed
}

export interface LogSeals {
  /** Before a log is touched. */
  examine (processId: string): Promise<DeadLog>
  /**
   * Makes the evidence that a log ends where it does. Called once its `close` line is synced, and again when recovery
   * was killed in between: sealing twice must be sealing once.
   */
  seal (end: LogEnd): Promise<void>
}

/** A log that is left alone, and why. */
export interface BrokenLog { processId: string, problem: string }

export interface RecoveryOptions {
  directory: string
  storage: Storage
  clock: Clock
  log: { warn (fields: object, message: string): void, error (fields: object, message: string): void }
  /** Where effects may point. An effect on another collection is logged and keeps its log from being done. */
  collections: CollectionDefinition[]
  /** True for processes that still write their log. Asked behind the listing of the logs. */
  isLive: (processId: string) => boolean | Promise<boolean>
  /** Opens the logs' effects, where they were written with AUDIT_PSEUDONYM_KEY. */
  pseudonyms: Pseudonyms | null
  seals: LogSeals
  /** For who calls again after a failure: goes on where that one ended. */
  progress?: RecoveryProgress | undefined
  files?: FileLayer
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
  /** Logs left alone because their chain or seals do not hold. They are looked at again with each recovery. */
  broken: BrokenLog[]
  /** Logs of which an effect could not be applied: tried again with each recovery. */
  unapplied: string[]
}

/** Inserts under way at once, of a store that is quick enough for whole portions. */
const IN_FLIGHT = 4
/** The mark costs two syncs of the disk. */
const MARK_MS = 5_000

/** @throws NEKO_ERR_STORE_UNAVAILABLE: call again later, nothing is lost, and what the store has stays there. */
export async function recoverLogs (options: RecoveryOptions): Promise<RecoveryReport> {
  const { directory, isLive, log, progress = new RecoveryProgress() } = options
  const files = options.files ?? systemFiles
  const report: RecoveryReport = { processes: 0, events: 0, effects: 0, tornBytes: 0, broken: [], unapplied: [] }
  const effects = new EffectSet()
  const brought: Array<{ processId: string, before: Replayed, replayed: Replayed }> = []
  const ended = new Set<string>()
  for (const { processId, segments } of await listProcesses(files, directory)) {
    if (await isLive(processId)) continue
    ended.add(processId)
    const replayed = await readReplayed(files, directory, processId)
    if (replayed.done) continue
    const now = await bringLog({ ...options, files, processId, segments, replayed, effects, report, progress })
    brought.push({ processId, before: replayed, replayed: now })
  }
  const open = (effect: StoreEffect): StoreEffect => openSealed(effect, options.pseudonyms)
  const applying = applyEffects({ ...options, files, effects, ended, open, progress })
  const applied = await applying.catch(async (error: unknown) => {
    // The index has them: the next call goes on with their effects.
    for (const { processId, before, replayed: { seq } } of brought) {
      await writeReplayed(files, directory, processId, { ...before, seq })
        .catch(() => { /* a hint only, and the store's error is what counts */ })
    }
    throw error
  })
  const isWhole = applied.unknown.size === 0 && applied.unreadable === 0
  report.effects = applied.applied
  // Marked only now: killed before this, everything is read again.
  for (const { processId, before, replayed } of brought) {
    if (isWhole) {
      // One that is left alone is met at each start: its mark moves once.
      const isNews = replayed.done || replayed.effectsSeq > before.effectsSeq
      if (isNews) await writeReplayed(files, directory, processId, replayed)
      if (replayed.done) await releaseLog(files, directory, processId)
    } else report.unapplied.push(processId)
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
  report.processes = brought.filter(({ replayed }) => replayed.done).length
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

/**
 * One log: into the store, and closed where it holds. Returns how far the store has it then. A log that is left alone
 * is read on from where its reading ended, so that a start does not read all of it again.
 */
async function bringLog (options: BringIn): Promise<Replayed> {
  const { processId, replayed, report, log, seals } = options
  const sealed = await seals.examine(processId)
  if (sealed.problem !== null) {
    report.broken.push({ processId, problem: sealed.problem })
    // The mark stays: with the key that sealed it listed, all of it is brought in.
    return replayed
  }
  const { end, problem } = await bringIn(options, sealed)
  const found = problem ?? await beyond(options, end)
  if (found !== null) {
    report.broken.push({ processId, problem: found })
    return {
      seq: Math.max(replayed.seq, end.seq),
      effectsSeq: Math.max(replayed.effectsSeq, end.seq),
      segment: Math.max(replayed.segment, end.segment),
      done: false
    }
  }
  const tornBytes = await closeLog(options, end)
  if (tornBytes > 0) {
    report.tornBytes += tornBytes
    log.warn({ processId, tornBytes }, 'an audit log ended within a line that was never acknowledged: it was cut off')
  }
  return { seq: end.seq, effectsSeq: end.seq, segment: Math.max(0, end.segment), done: true }
}

/** What the store knows of a log, and the log does not hold. */
async function beyond ({ storage, processId }: BringIn, { nextSeq }: OpenEnd): Promise<string | null> {
  const events = storage.collection<StoredAuditEvent>(auditEvents)
  const following = await events.get(eventId(processId, nextSeq))
  return following === null ? null : `it ends before event ${nextSeq}, which the store knows`
}

/** Events into the store, effects into the set, through the last line of the chain that holds and is proven. */
async function bringIn (
  options: BringIn,
  { begins, sealed }: DeadLog
): Promise<{ end: OpenEnd, problem: string | null }> {
  const { segments, replayed, effects } = options
  const inserts = new Inserts(options)
  const present = begins === null ? segments : segments.filter((segment) => segment >= begins.segment)
  const expected = begins?.segment ?? present[0] ?? 0
  const from = Math.min(replayed.segment, sealed.reaches?.segment ?? Infinity)
  const first = await firstToRead(options, { present, expected, from })
  const wanted = present.slice(first)
  const start: OpenEnd = { ...NOWHERE, hash: first === 0 && begins !== null ? begins.hash : null }
  const proven = await countProven(options, wanted, { start, sealed })
  const end = { ...start }
  let left = proven.lines
  for await (const { segment, lines, problem } of linkedLines(options, wanted, end)) {
    const taken = lines.slice(0, left)
    left -= taken.length
    const found = taken.map(eventOf).filter((event) => event !== null)
    for (const event of found) effects.add(event, event.seq > replayed.effectsSeq)
    await inserts.add(found.filter((event) => event.seq > replayed.seq))
    if (left === 0 && proven.problem !== null) {
      const last = taken.at(-1)
      const through = last === undefined ? {} : { segment, ...lastEvent(last) }
      return { end: { ...NOWHERE, ...through }, problem: proven.problem }
    }
    if (problem !== null) return { end, problem }
  }
  return { end, problem: proven.problem }
}

/**
 * Where the reading begins, among the segments that are there: at one that holds a line, before the one that is asked
 * for, as only its end tells what that one follows. Their numbers do not: one that a full disk left empty was removed,
 * and its number is not used again. So where numbers are missing on the way, the reading begins before them.
 */
async function firstToRead (
  options: BringIn,
  { present, expected, from }: { present: readonly number[], expected: number, from: number }
): Promise<number> {
  const asked = present.findIndex((segment) => segment >= from)
  const gap = present.findIndex((segment, index) => segment !== (index === 0 ? expected : present[index - 1]! + 1))
  const behind = Math.min(asked < 0 ? present.length : asked, gap < 0 ? Infinity : gap)
  let first = Math.max(0, behind - 1)
  while (first > 0 && (await readSegment(options, present[first]))?.lines.length === 0) first--
  return first
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

/** Cuts a torn end, writes the `close` line, and has it sealed. Returns the bytes that were cut off. */
async function closeLog (options: BringIn, end: OpenEnd): Promise<number> {
  const { processId, seals } = options
  const tornBytes = end.closed || end.lastSegment < 0 ? 0 : await cutTorn(options, end)
  if (!end.closed && end.segment >= 0) await writeClose(options, end, tornBytes)
  await seals.seal({ processId, segment: Math.max(0, end.segment), seq: end.seq, hash: end.hash ?? GENESIS })
  return tornBytes
}

/** A line that was being written when its writer died. It may be all that the last segment holds. */
async function cutTorn ({ files, directory, processId }: BringIn, end: OpenEnd): Promise<number> {
  const path = `${directory}/${segmentName(processId, end.lastSegment)}`
  const length = end.lastSegment === end.segment ? end.length : 0
  const tornBytes = await files.size(path) - length
  if (tornBytes <= 0) return 0
  const file = files.open(path, 'existing')
  try {
    file.truncate(length)
    await file.sync()
  } finally {
    file.close()
  }
  return tornBytes
}

async function writeClose (
  { files, directory, processId, clock }: BringIn,
  end: OpenEnd,
  tornBytes: number
): Promise<void> {
  const file = files.open(`${directory}/${segmentName(processId, end.segment)}`, 'existing')
  try {
    const line = encodeLine(end.hash ?? GENESIS, 'close', end.nextSeq, `"at":${clock.now()},"tornBytes":${tornBytes}`)
    await file.write(Buffer.from(line.text), end.length)
    await file.sync()
    end.hash = line.hash
  } finally {
    file.close()
  }
}
