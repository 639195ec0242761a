/**
 * The journal of one process: what makes a change durable.
 *
 * Owns: the process's write-ahead log (trail.ts over segments.ts and chain.ts) with its lock (log-locks.ts), the way of
 * its events into the store's index (flush.ts), and what becomes of logs whose writer died (recovery.ts). Never does:
 * sign, verify or remove anything (that is evidence, the audit room's); decide who may do what; keep a secret. In:
 * events as rooms state them. Out: acknowledgements after the sync, `auditEvents` in the store, and `onCommitted` with
 * the place that the chain has reached.
 *
 * Why a log and not the store: an fdatasync that many callers share is the only acknowledgement that holds without a
 * database. Segments are the truth and the store is their index, so a failing store costs nothing but the index's
 * freshness, and a failing disk refuses what must be provable: `appendDurable` rejects, and the caller changes nothing.
 */
import { NEKO_ERR_AUDIT_UNAVAILABLE, NEKO_ERR_INPUT_INVALID } from '../errors.ts'
import type { Clock } from '../std/clock.ts'
import type { FileWatch } from '../std/file-watch.ts'
import type { Storage } from '../storage/port.ts'
import { writeInput } from './entries.ts'
import type { FileLayer } from './files.ts'
import { Flush } from './flush.ts'
import { lockLog, releaseLog } from './log-locks.ts'
import type { Pseudonyms } from './pseudonyms.ts'
import type { AuditEvent, AuditInput } from './shapes.ts'
import { eventId, FileLost, Trail } from './trail.ts'
import type { Entry, TrailPosition } from './trail.ts'

/** A caller waits at most this long for the disk: below the resolver's 3 s, above two syncs of a slow disk. */
const DURABLE_DEADLINE_MS = 2_500

/** A logger as the room needs it (pino's shape). */
interface JournalLog {
  warn (fields: object, message: string): void
  error (fields: object, message: string): void
}

interface JournalOptions {
  files: FileLayer
  /** Of all files that must be in their places when something is acknowledged. */
  watch: FileWatch
  directory: string
  processId: string
  /** null: the log alone, no index (children of tests, tools). */
  storage: Storage | null
  clock: Clock
  log: JournalLog
  pseudonyms: Pseudonyms | null
  /** Before the first byte of the log, which is locked by then. May throw like the disk. */
  onBegin: () => void
  onCommitted: (entries: readonly Entry[], position: TrailPosition) => void
  segmentBytes?: number | undefined
}

export class Journal {
  readonly #options: JournalOptions
  readonly #trail: Trail
  readonly #flush: Flush | null
  #lastPosition: TrailPosition | null = null

  /** Opens nothing before the first event. */
  constructor (options: JournalOptions) {
    const { files, watch, directory, processId, storage, clock, log } = options
    this.#options = options
    this.#flush = storage === null ? null : new Flush({ storage, files, directory, processId, clock, log })
    this.#trail = new Trail({
      files,
      watch,
      directory,
      processId,
      clock,
      begin: () => {
        lockLog(files, directory, processId)
        options.onBegin()
      },
      ownEntry: (type, target, details) => this.#ownEntry(type, target, details),
      segmentBytes: options.segmentBytes,
      onHealth: (healthy, error) => this.#logHealth(healthy, error),
      onCommitted: (entries, position) => {
        this.#flush?.push(entries, position)
        options.onCommitted(entries, position)
      }
    })
  }

  get healthy (): boolean { return this.#trail.healthy && this.#options.watch.lost === null }
  /** Records that wait for the disk, 0 to 10,000. */
  get backlog (): number { return this.#trail.backlog }
  get position (): TrailPosition { return this.#trail.position }
  get syncs (): number { return this.#trail.syncs }

  /** Written with the next group commit; never throws, never waits for the event loop. */
  append (input: AuditInput): void {
    const { entry, oversize } = this.#newEntry(input)
    if (oversize) {
      const message = 'an audit event was recorded without its effects, which are too large'
      this.#options.log.error({ type: input.type }, message)
    }
    this.#trail.add(entry)
  }

  /**
   * Resolves when the event is synced.
   * @throws NEKO_ERR_AUDIT_UNAVAILABLE, NEKO_ERR_INPUT_INVALID when its effects are too large to be recorded
   */
  async appendDurable (input: AuditInput): Promise<AuditEvent> {
    const { entry, fields, oversize } = this.#newEntry(input)
    if (oversize) throw new NEKO_ERR_INPUT_INVALID('The change is too large to be recorded')
    if (!this.healthy) throw new NEKO_ERR_AUDIT_UNAVAILABLE()
    try {
      await this.#addInTime(entry)
    } catch (cause) {
      throw new NEKO_ERR_AUDIT_UNAVAILABLE({ cause })
    }
    const { processId } = this.#options
    return { id: eventId(processId, entry.seq), at: entry.at, processId, seq: entry.seq, ...fields }
  }

  /** Resolves when the queue is empty and synced, or the disk fails. */
  drained (): Promise<void> {
    return this.#trail.idle()
  }

  /** Writes the index of all that is synced; false when the store is down, or there is none. */
  async flush (): Promise<boolean> {
    return await this.#flush?.run() ?? false
  }

  /** Commits what waits and ends the log. Its last position, or null: nothing was written, or the disk failed. */
  async close (): Promise<TrailPosition | null> {
    this.#lastPosition = await this.#trail.close()
    return this.#lastPosition
  }

  /** Behind `close`: a last flush, and a log that ended in order is let go. */
  async release (): Promise<void> {
    await this.#flush?.close()
    const { files, directory, processId } = this.#options
    if (this.#lastPosition !== null) await releaseLog(files, directory, processId)
  }

  #newEntry (input: AuditInput): { entry: Entry, fields: Omit<AuditInput, 'effects'>, oversize: boolean } {
    const { fields, json, oversize } = writeInput(input, this.#options.pseudonyms)
    const at = this.#options.clock.now()
    return { entry: { json, category: fields.category, at, seq: -1, state: 'waiting', settle: null }, fields, oversize }
  }

  /** The journal's own events: overflow, resumed, withdrawn. */
  #ownEntry (type: string, target: string | null, details: NonNullable<AuditInput['details']>): Entry {
    return this.#newEntry({ category: 'security', type, actor: 'system', target, outcome: 'ok', details }).entry
  }

  #logHealth (healthy: boolean, error: Error | null): void {
    const { log, processId } = this.#options
    if (healthy) {
      log.warn({ processId }, 'the audit trail can be written again')
      return
    }
    // Who watches the files says which one it is, once for all that rely on it.
    if (error instanceof FileLost) return
    log.error(
      { processId, code: (error as NodeJS.ErrnoException).code ?? null },
      'the audit trail cannot be written: privileged changes are refused'
    )
  }

  /**
   * Resolves when the entry is synced. When the disk takes longer than the deadline the caller is refused; a record
   * that was already on its way is followed by `audit.withdrawn`, so that replay does not apply a change that its
   * caller was told did not happen.
   */
  #addInTime (entry: Entry): Promise<void> {
    return new Promise<void>((resolve, reject) => {
      let late = false
      const deadline = this.#options.clock.after(DURABLE_DEADLINE_MS, () => {
        late = true
        this.#trail.withdraw(entry)
        reject(new Error('the disk is too slow'))
      })
      entry.settle = {
        resolve: () => {
          deadline.cancel()
          if (late) this.#withdraw(entry)
          else resolve()
        },
        reject (error) {
          deadline.cancel()
          reject(error)
        }
      }
      this.#addWhenRoom(entry, () => late).catch(entry.settle.reject)
    })
  }

  #withdraw (entry: Entry): void {
    this.#trail.add(this.#ownEntry('audit.withdrawn', eventId(this.#options.processId, entry.seq), {}))
  }

  /** Back-pressure for a caller who can wait: a full queue is waited for. */
  async #addWhenRoom (entry: Entry, isLate: () => boolean): Promise<void> {
    while (!this.#trail.hasRoom() && !isLate()) await this.#trail.room()
    if (!this.#trail.healthy) throw new Error('the disk fails')
    if (!isLate()) this.#trail.add(entry)
  }
}
