/**
 * The audit room's service: what happened, so that it can be proved later.
 *
 * Owns: one write-ahead log per process start (trail.ts), its signed checkpoints (checkpoints.ts), and its index in the
 * store (flush.ts). Never does: judge, or keep a secret. In: what rooms say happened (shapes.ts). Out: acknowledgements
 * after the sync, `auditEvents` in the store.
 *
 * Log segments are the evidence and the store is their index, so a failing store costs nothing but the
 * index's freshness, and a failing disk refuses what must be provable: `durable` rejects, and the caller
 * changes nothing.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import type { Config } from '../config/config.ts'
import { NEKO_ERR_AUDIT_UNAVAILABLE, NEKO_ERR_INPUT_INVALID } from '../errors.ts'
import type { Clock } from '../std/clock.ts'
import type { Storage } from '../storage/port.ts'
import { lockLog, releaseLog } from '../journal/log-locks.ts'
import { createSeals } from './checkpoints.ts'
import type { Checkpoint } from './checkpoints.ts'
import { createDenials } from './denials.ts'
import type { Denial } from './denials.ts'
import { createPseudonyms, writeInput } from '../journal/entries.ts'
import { GENESIS } from '../journal/chain.ts'
import { systemFiles } from '../journal/files.ts'
import type { FileLayer } from '../journal/files.ts'
import { createFlush } from '../journal/flush.ts'
import type { Flush } from '../journal/flush.ts'
import { auditCheckpoints } from './collections.ts'
import type { StoredCheckpoint } from './collections.ts'
import { placeOf, registerTrail } from './trail-registry.ts'
import { ensureTrailId } from '../journal/segments.ts'
import { retainIndex, retainOwn } from './retention.ts'
import { noteSettings } from './settings.ts'
import { createSigner, localSigningSecret } from './signing.ts'
import type { Signer } from './signing.ts'
import type { Audit, AuditEvent, AuditInput, Receipt } from './shapes.ts'
import { eventId, Trail } from '../journal/trail.ts'
import type { Entry, TrailPosition } from '../journal/trail.ts'

/** A caller waits at most this long for the disk: below the resolver's 3 s, above two syncs of a slow disk. */
const DURABLE_DEADLINE_MS = 2_500
const CHECKPOINT_EVENTS = 1_000
const CHECKPOINT_MS = 60_000
const RETAIN_MS = 3_600_000
/** Earlier trails that one event names. */
const EARLIER_MAX = 20

/** What the room needs of a logger (pino's shape). */
export interface AuditLog {
  info (fields: object, message: string): void
  warn (fields: object, message: string): void
  error (fields: object, message: string): void
}

/** What the room needs of the configuration; what may be absent in tools and tests has its default in retention.ts. */
export interface AuditConfig
  extends
  Pick<Config, 'dataDir' | 'auditSigningKey'>,
  Partial<Pick<Config, 'auditPseudonymKey' | 'auditRetentionDays' | 'auditRetentionBytes'>> {}

export interface AuditOptions {
  config: AuditConfig
  /** null: the log alone, no index (children of tests, tools). */
  storage: Storage | null
  clock: Clock
  log: AuditLog
  processId: string
  files?: FileLayer
  onEvent?: (category: AuditInput['category']) => void
  /** For tests: bytes after which a segment ends. */
  segmentBytes?: number
}

/** Audit, and what its own process may ask of it. */
export interface AuditService extends Audit {
  /**
   * What is recorded while `work` runs, and in what it awaits, belongs to that request: its receipt stands in
   * every event, whichever room records it. An event about another receipt (a run on an old request) names
   * this one in its details.
   */
  within<T> (receipt: Receipt, work: () => T): T
  /**
   * Somebody was refused what he may not: recorded without being waited for, at most twice a minute for each
   * caller and place.
   */
  denied (denial: Denial): void
  /** Records that wait for the disk, 0 to 10,000. */
  backlog (): number
  /** Resolves when the queue is empty and synced, or the disk fails: for producers that could outrun the disk. */
  drained (): Promise<void>
  /** Writes the index of all that is synced; false when the store is down. */
  flush (): Promise<boolean>
  /**
   * Has the store remember this directory's trail, and says so where it stands in the place of one that is
   * gone. Once per host. @throws NEKO_ERR_STORE_UNAVAILABLE, NEKO_ERR_AUDIT_UNAVAILABLE: call again.
   */
  register (): Promise<void>
  /**
   * Records what changed of the configuration since the last start of this place. Once per host. @throws as
   * `register`
   */
  noteSettings (settings: Readonly<Record<string, string>>): Promise<void>
  /** Removes old segments of this process's own log, as happens every hour; returns their names. */
  retain (): Promise<string[]>
  /** Syncs since start, for benches. */
  syncs (): number
  close (): Promise<void>
}

export function auditDirectory (dataDir: string): string {
  return `${dataDir}/audit`
}

/** The key that seals: AUDIT_SIGNING_KEY, else the one kept in this machine's data directory. */
export function auditSigner (
  config: Pick<Config, 'dataDir' | 'auditSigningKey'>,
  files: FileLayer = systemFiles
): Signer {
  return createSigner(config.auditSigningKey ?? localSigningSecret(files, auditDirectory(config.dataDir)))
}

/** Opens nothing before the first event. @throws Error when the signing key cannot be read or made. */
export function createAudit (options: AuditOptions): AuditService {
  const { config, storage, clock, log, processId } = options
  const files = options.files ?? systemFiles
  const directory = auditDirectory(config.dataDir)
  const signer = auditSigner(config)
  const pseudonyms = config.auditPseudonymKey == null ? null : createPseudonyms(config.auditPseudonymKey)
  const seals = createSeals({ files, directory, processId, signer })
  const flush: Flush | null = storage === null
    ? null
    : createFlush({ storage, files, directory, processId, clock, log })
  let sealing = Promise.resolve()
  let stored = Promise.resolve()
  let sealedSeq = -1
  let sealDue = CHECKPOINT_EVENTS
  let closing: Promise<void> | null = null

  // In place of an argument through some thirty verbs of five rooms, which the next verb would forget. Entered for
  // mutations and imports alone: where it is not entered it costs nothing (Node keeps it in V8's own context slot).
  const receipts = new AsyncLocalStorage<Receipt>()

  const ownEntry = (
    type: string,
    target: string | null,
    details: { [key: string]: number | { [key: string]: number } }
  ): Entry => (
    newEntry({ category: 'security', type, actor: 'system', target, outcome: 'ok', details }).entry
  )
  const trail = new Trail({
    files,
    directory,
    processId,
    now: () => clock.now(),
    begin () {
      lockLog(files, directory, processId)
      seals.begin(clock.now(), GENESIS)
    },
    ownEntry,
    segmentBytes: options.segmentBytes,
    onHealth (healthy, error) {
      if (healthy) log.warn({ processId }, 'the audit trail can be written again')
      else {
        log.error(
          { processId, code: (error as NodeJS.ErrnoException).code ?? null },
          'the audit trail cannot be written: privileged changes are refused'
        )
      }
    },
    onCommitted (entries, position) {
      if (options.onEvent !== undefined) {
        for (const entry of entries) options.onEvent(entry.category as AuditInput['category'])
      }
      flush?.push(entries, position)
      if (position.seq + 1 >= sealDue) seal('checkpoint', position)
    }
  })
  const timer = setInterval(() => {
    if (trail.position.seq > sealedSeq) seal('checkpoint', trail.position)
  }, CHECKPOINT_MS)
  timer.unref()
  const retainTimer = setInterval(() => {
    retain().catch(() => { /* logged by whoever finds the disk full */ })
  }, RETAIN_MS)
  retainTimer.unref()

  const denials = createDenials({ clock, record: (event) => record(event) })

  /** In turn with the checkpoints, as both write the seals. */
  function retain (): Promise<string[]> {
    const retained = sealing.then(() =>
      retainOwn({
        files,
        directory,
        processId,
        currentSegment: trail.position.segment,
        seals,
        clock,
        days: config.auditRetentionDays,
        bytesMax: config.auditRetentionBytes
      })
    )
    sealing = retained.then(() => {}, () => {})
    // Fail-open: what a store that is down keeps too long goes an hour later.
    if (storage !== null) retainIndex(storage, clock, config.auditRetentionDays).catch(() => { /* as said */ })
    return retained
  }

  /** One after the other; a failed one is made up for by the next. */
  function seal (kind: 'checkpoint' | 'close', position: TrailPosition): void {
    sealDue = position.seq + 1 + CHECKPOINT_EVENTS
    sealing = sealing.then(async () => {
      const checkpoint = await seals.append({ kind, ...position, at: clock.now() })
      sealedSeq = position.seq
      announce(checkpoint)
    }).catch((error: unknown) => {
      log.error(
        { processId, code: (error as NodeJS.ErrnoException).code ?? null },
        'an audit checkpoint could not be written'
      )
    })
  }

  /** Two copies away from the files: in the store and in the log, where who edits the files may not reach. */
  function announce (checkpoint: Checkpoint): void {
    log.info({ auditCheckpoint: checkpoint }, 'audit checkpoint')
    if (storage === null) return
    // Fail-open: the next checkpoint replaces this one, and the file and the log hold it.
    stored = stored.then(async () => {
      const trailId = await ensureTrailId(files, directory)
      await storage.collection<StoredCheckpoint>(auditCheckpoints).put({ id: processId, trailId, ...checkpoint })
    }).catch(() => { /* as said */ })
  }

  function newEntry (input: AuditInput): { entry: Entry, fields: Omit<AuditInput, 'effects'>, oversize: boolean } {
    const { fields, json, oversize } = writeInput(input, pseudonyms)
    return {
      entry: { json, category: fields.category, at: clock.now(), seq: -1, state: 'waiting', settle: null },
      fields,
      oversize
    }
  }

  function record (input: AuditInput): void {
    const { entry, oversize } = newEntry(withReceipt(input, receipts.getStore()))
    if (oversize) {
      log.error({ type: input.type }, 'an audit event was recorded without its effects, which are too large')
    }
    trail.add(entry)
  }

  async function durable (input: AuditInput): Promise<AuditEvent> {
    const { entry, fields, oversize } = newEntry(withReceipt(input, receipts.getStore()))
    if (oversize) throw new NEKO_ERR_INPUT_INVALID('The change is too large to be recorded')
    if (!trail.healthy) throw new NEKO_ERR_AUDIT_UNAVAILABLE()
    try {
      await addInTime(trail, entry, (target) => { trail.add(ownEntry('audit.withdrawn', target, {})) }, processId)
    } catch (cause) {
      throw new NEKO_ERR_AUDIT_UNAVAILABLE({ cause })
    }
    return { id: eventId(processId, entry.seq), at: entry.at, processId, seq: entry.seq, ...fields }
  }

  async function register (): Promise<void> {
    if (storage === null) return
    await registerTrail(
      { storage, files, directory, place: placeOf(config.dataDir), nowMs: clock.now() },
      async (lost) => {
        log.warn(
          { ...lost },
          'the audit trail begins anew, and the store knows earlier logs of this directory that are gone: run neko audit verify'
        )
        await durable({
          category: 'security',
          type: 'audit.begin',
          actor: 'system',
          target: lost.trailId,
          outcome: 'failed',
          details: { earlier: lost.earlier.slice(0, EARLIER_MAX), missingLogs: lost.logs }
        })
      }
    )
  }

  async function close (): Promise<void> {
    clearInterval(timer)
    clearInterval(retainTimer)
    denials.close()
    const last = await trail.close()
    if (last !== null) seal('close', last)
    await sealing
    seals.close()
    await stored
    await flush?.close()
    if (last !== null) await releaseLog(files, directory, processId)
  }

  return {
    record,
    durable,
    within: (receipt, work) => receipts.run(receipt, work),
    denied: (denial) => { denials.note(denial) },
    healthy: () => trail.healthy,
    backlog: () => trail.backlog,
    drained: () => trail.idle(),
    flush: async () => await flush?.run() ?? false,
    register,
    async noteSettings (settings) {
      if (storage !== null) {
        await noteSettings({
          storage,
          place: placeOf(config.dataDir),
          signer,
          settings,
          nowMs: clock.now(),
          durable
        })
      }
    },
    retain,
    syncs: () => trail.syncs,
    close () {
      closing ??= close()
      return closing
    }
  }
}

function withReceipt (input: AuditInput, receipt: Receipt | undefined): AuditInput {
  if (receipt === undefined || receipt.assessmentId === null) return input
  const { assessmentId, score, factor } = input
  if (assessmentId == null || assessmentId === receipt.assessmentId) {
    return { ...input, ...receipt, score: score ?? receipt.score, factor: factor ?? receipt.factor }
  }
  return { ...input, details: { ...input.details, request: receipt.assessmentId } }
}

/**
 * Resolves when the entry is synced. When the disk takes longer than the deadline the caller is refused; a
 * record that was already on its way is followed by `audit.withdrawn`, so that replay does not apply what the
 * caller was told did not happen.
 */
function addInTime (
  trail: Trail,
  entry: Entry,
  withdrawn: (eventId: string) => void,
  processId: string
): Promise<void> {
  return new Promise<void>((resolve, reject) => {
    let late = false
    const deadline = setTimeout(() => {
      late = true
      trail.withdraw(entry)
      reject(new Error('the disk is too slow'))
    }, DURABLE_DEADLINE_MS)
    entry.settle = {
      resolve () {
        clearTimeout(deadline)
        if (late) withdrawn(eventId(processId, entry.seq))
        else resolve()
      },
      reject (error) {
        clearTimeout(deadline)
        reject(error)
      }
    }
    addWhenRoom(trail, entry, () => late).catch(entry.settle.reject)
  })
}

/** Back-pressure for who can wait: a full queue is waited for. */
async function addWhenRoom (trail: Trail, entry: Entry, isLate: () => boolean): Promise<void> {
  while (!trail.hasRoom() && !isLate()) await trail.room()
  if (!trail.healthy) throw new Error('the disk fails')
  if (!isLate()) trail.add(entry)
}
