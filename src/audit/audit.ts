/**
 * The audit room's service: what happened, so that it can be proved later.
 *
 * Owns: the evidence that this process's journal holds: its signed checkpoints (sealing.ts), what retention removes of
 * it, who was refused what (denials.ts), and which request an event belongs to. Never does: judge, keep a secret, or
 * write the log itself (journal/). In: events as rooms state them (shapes.ts). Out: acknowledgements after the sync,
 * checkpoints in the seals file, the store and the log.
 *
 * A hand that can write the log's files can rebuild its chain; a signature that stands in three places is beyond its
 * reach.
 */
import type { Config } from '../config/config.ts'
import { systemFiles } from '../journal/files.ts'
import type { FileLayer } from '../journal/files.ts'
import { Journal } from '../journal/journal.ts'
import { readPendingEffects } from '../journal/pending-effects.ts'
import type { Logged, PendingEffect } from '../journal/pending-effects.ts'
import { createPseudonyms } from '../journal/pseudonyms.ts'
import { ensureSecret, requireSecret } from '../journal/secret-file.ts'
import type { Clock } from '../std/clock.ts'
import { FileWatch } from '../std/file-watch.ts'
import type { CollectionDefinition, Storage } from '../storage/port.ts'
import { eventOf as acceptanceEvent } from './acceptance.ts'
import type { Acceptance } from './acceptance.ts'
import type { Checkpoint } from './checkpoints.ts'
import { createDenials } from './denials.ts'
import type { Denial } from './denials.ts'
import { createLogExaminer } from './log-sealer.ts'
import { RequestReceipt } from './request-receipt.ts'
import { retainIndex, retainOwn } from './retention.ts'
import { Sealing } from './sealing.ts'
import { noteSettings } from './settings.ts'
import type { Audit, AuditEvent, AuditInput, Receipt } from './shapes.ts'
import { createSigner, localSigningKey } from './signing.ts'
import type { Signer } from './signing.ts'
import { placeOf, registerTrail } from './trail-registry.ts'
import type { LostTrails } from './trail-registry.ts'

const RETAIN_MS = 3_600_000
/** Earlier trails that one event names. */
const EARLIER_MAX = 20

/** A logger as the room needs it (pino's shape). */
export interface AuditLog {
  info (fields: object, message: string): void
  warn (fields: object, message: string): void
  error (fields: object, message: string): void
}

/** The room's part of the configuration; where tools and tests leave a member out, retention.ts has its default. */
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
  /** Of the files of DATA_DIR: while one is lost nothing is acknowledged. Absent: of this room's own files alone. */
  watch?: FileWatch
  onEvent?: (category: AuditInput['category']) => void
  /** For tests: bytes after which a segment ends. */
  segmentBytes?: number
}

/** Audit, and what its own process may ask of it. */
export interface AuditService extends Audit {
  /**
   * Events recorded while `work` runs, and in the calls that it awaits, belong to that request: its receipt stands in
   * each, whichever room records it. An event about another receipt (a run on an old request) names this one in its
   * details.
   */
  within<T> (receipt: Receipt, work: () => T): T
  /**
   * A caller was refused: recorded without being waited for, at most twice a minute for each caller and place.
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
   * gone: earlier ones that the store knows, or one of which a store that already had users knows nothing. Once per
   * host.
   * @throws NEKO_ERR_STORE_UNAVAILABLE, NEKO_ERR_AUDIT_UNAVAILABLE: call again
   */
  register (given?: { hadUsers: boolean }): Promise<void>
  /**
   * Records changes of the configuration since the last start of this place. Once per host.
   * @throws as `register`
   */
  noteSettings (settings: Readonly<Record<string, string>>): Promise<void>
  /**
   * Changes of these collections that logs of this host hold and the store may not have yet, oldest first: memory that
   * is filled from the store takes them on top.
   */
  pendingEffects (collections: readonly CollectionDefinition[], wanted?: Logged): Promise<PendingEffect[]>
  /** Resolves when all that is durable now is sealed too, some milliseconds later. Rejects like the disk. */
  sealed (): Promise<void>
  /**
   * Records that somebody lets a log that does not hold stand as it is, and seals that. It is believed as it is given:
   * who calls has found out itself what stands there (`proposeAcceptance`).
   * @throws NEKO_ERR_AUDIT_UNAVAILABLE
   */
  accept (acceptance: Acceptance, origin: string): Promise<AuditEvent>
  /** Removes old segments of this process's own log, as happens every hour; returns their names. */
  retain (): Promise<string[]>
  /** Told of the newest checkpoint of this log once a minute, and of its last: it may go where no hand reaches all. */
  onCheckpoint (listener: (checkpoint: Checkpoint) => void): void
  /** Syncs since start, for benches. */
  syncs (): number
  close (): Promise<void>
}

export function auditDirectory (dataDir: string): string {
  return `${dataDir}/audit`
}

type SigningConfig = Pick<Config, 'dataDir' | 'auditSigningKey'>

/**
 * The key that seals: AUDIT_SIGNING_KEY, else the one that the start of the server made or found in DATA_DIR. One that
 * is gone by now is not made again: the other processes go on with the old one, and it may be in a backup.
 * @throws ConfigError, as requireSecret
 */
export function auditSigner (config: SigningConfig, files: FileLayer = systemFiles): Signer {
  return createSigner(
    config.auditSigningKey ?? requireSecret(files, localSigningKey(auditDirectory(config.dataDir)))
  )
}

/** Makes that key where it is needed and not there: before any fork. @throws ConfigError, as ensureSecret */
export function prepareSigningKey (config: SigningConfig, files: FileLayer = systemFiles): void {
  if (config.auditSigningKey === null) ensureSecret(files, localSigningKey(auditDirectory(config.dataDir)))
}

/** Opens nothing before the first event. @throws ConfigError when the signing key cannot be read. */
export function createAudit (options: AuditOptions): AuditService {
  const { config, storage, clock, log, processId, onEvent } = options
  const files = options.files ?? systemFiles
  const watch = options.watch ?? new FileWatch(files.identityAt)
  const directory = auditDirectory(config.dataDir)
  const signer = auditSigner(config)
  const pseudonyms = config.auditPseudonymKey == null ? null : createPseudonyms(config.auditPseudonymKey)
  const receipt = new RequestReceipt()
  const listeners: Array<(checkpoint: Checkpoint) => void> = []
  const journal = new Journal({
    files,
    watch,
    directory,
    processId,
    storage,
    clock,
    log,
    pseudonyms,
    segmentBytes: options.segmentBytes,
    onBegin: () => { sealing.begin() },
    onCommitted (entries, position) {
      if (onEvent !== undefined) for (const { category } of entries) onEvent(category as AuditInput['category'])
      sealing.committed(position)
    }
  })
  const sealing = new Sealing({
    files,
    watch,
    directory,
    processId,
    signer,
    storage,
    clock,
    log,
    onSealed: (checkpoint) => { for (const listener of listeners) listener(checkpoint) }
  })
  const record: Audit['record'] = (input) => { journal.append(receipt.addTo(input)) }
  const durable: Audit['durable'] = (input) => journal.appendDurable(receipt.addTo(input))
  const denials = createDenials({ clock, record })
  const retainTimer = clock.every(RETAIN_MS, () => {
    retain().catch(() => { /* the disk's own alarm tells */ })
  })
  let closing: Promise<void> | null = null

  function retain (): Promise<string[]> {
    const { auditRetentionDays: days, auditRetentionBytes: bytesMax } = config
    // Fail-open: events that a store which is down keeps too long go an hour later.
    if (storage !== null) retainIndex(storage, clock, days).catch(() => { /* as said */ })
    return sealing.inTurn((seals) => {
      const currentSegment = journal.position.segment
      return retainOwn({ files, directory, processId, currentSegment, seals, clock, days, bytesMax })
    })
  }

  /** The trail stands where the store knows another one, whose logs are gone: said before it is registered. */
  function recordLost (lost: LostTrails): Promise<unknown> {
    log.warn(
      { ...lost },
      'the audit trail begins anew in the place of earlier logs that are gone: ' +
        'run neko audit verify'
    )
    return durable({
      category: 'security',
      type: 'audit.begin',
      actor: 'system',
      target: lost.trailId,
      outcome: 'failed',
      details: { earlier: lost.earlier.slice(0, EARLIER_MAX), missingLogs: lost.logs }
    })
  }

  async function close (): Promise<void> {
    retainTimer.cancel()
    denials.close()
    await sealing.close(await journal.close())
    await journal.release()
  }

  return {
    record,
    durable,
    within: (given, work) => receipt.within(given, work),
    denied: (denial) => { denials.note(denial) },
    healthy: () => journal.healthy,
    backlog: () => journal.backlog,
    drained: () => journal.drained(),
    flush: () => journal.flush(),
    async register ({ hadUsers } = { hadUsers: false }) {
      if (storage === null) return
      const place = placeOf(config.dataDir)
      await registerTrail({ storage, files, directory, place, log, nowMs: clock.now(), hadUsers }, recordLost)
    },
    async noteSettings (settings) {
      if (storage === null) return
      const place = placeOf(config.dataDir)
      await noteSettings({ storage, place, signer, settings, nowMs: clock.now(), durable })
    },
    pendingEffects (collections, wanted = 'pending') {
      const examine = createLogExaminer({ files, directory, signer, storage })
      return readPendingEffects({ directory, files, collections, pseudonyms, storage, log, examine, wanted })
    },
    sealed: () => sealing.sealed(),
    async accept (acceptance, origin) {
      const event = await durable(acceptanceEvent(acceptance, origin))
      const { trail, findings, because } = acceptance
      log.warn({ trail, findings, because, event: event.id }, 'a person accepted an audit log that does not hold')
      // Fail-open: it counts with the next checkpoint.
      await sealing.sealed().catch(() => { /* its own alarm tells */ })
      return event
    },
    retain,
    onCheckpoint: (listener) => { listeners.push(listener) },
    syncs: () => journal.syncs,
    close () {
      closing ??= close()
      return closing
    }
  }
}
