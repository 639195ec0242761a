import type { Clock } from '../std/clock.ts'
import type { CollectionDefinition, Storage } from '../storage/port.ts'
import { auditDirectory, auditSigner } from './audit.ts'
import type { AuditConfig, AuditLog } from './audit.ts'
import { lockedLogs, whileRecovering } from '../journal/log-locks.ts'
import { systemFiles } from '../journal/files.ts'
import type { RecoveryProgress, RecoveryReport } from '../journal/recovery.ts'
import { inBackground } from '../storage/background.ts'
import { recoverAudit } from './recovery.ts'
import { applyRetention, retainIndex } from './retention.ts'
import { ensureTrailId } from './trail-id.ts'

interface PrepareAuditOptions {
  config: AuditConfig
  storage: Storage
  clock: Clock
  log: AuditLog
  /** Of all rooms: where effects may point. */
  collections: CollectionDefinition[]
  /** Logs that the calling process itself has open; those of other running processes are found out. */
  liveProcessIds?: readonly string[]
  /** For who calls again after a failure. */
  progress?: RecoveryProgress
}

interface PrepareAuditReport extends RecoveryReport { isElsewhere: boolean }

/**
 * For the primary at start before it forks, and for anybody when a worker died: logs that dead processes left are
 * closed and brought into the store, and segments that retention no longer keeps go. Logs that
 * another running process of this machine writes are left alone, and so is everything while another recovers
 * (`isElsewhere`): call again then, as that one may have looked before.
 * @throws NEKO_ERR_STORE_UNAVAILABLE when the store is down: serve on, and call again when it is back.
 */
export async function prepareAudit (options: PrepareAuditOptions): Promise<PrepareAuditReport> {
  const directory = auditDirectory(options.config.dataDir)
  const report = await whileRecovering(systemFiles, directory, () => recoverAndRetain(options, directory))
  return report === null
    ? { processes: 0, events: 0, effects: 0, tornBytes: 0, broken: [], isElsewhere: true }
    : { ...report, isElsewhere: false }
}

/** Makes `trail.id` where it is not there. A disk that cannot take it says so with the first event. */
export async function nameTrail (dataDir: string): Promise<void> {
  const directory = auditDirectory(dataDir)
  try {
    systemFiles.makeDirectory(directory)
    await ensureTrailId(systemFiles, directory)
  } catch { /* as said */ }
}

async function recoverAndRetain (options: PrepareAuditOptions, directory: string): Promise<RecoveryReport> {
  const { config, clock, log, collections, liveProcessIds = [], progress } = options
  const storage = inBackground(options.storage)
  const signer = auditSigner(config)
  const locked = await lockedLogs(systemFiles, directory)
  const isLive = (processId: string): boolean => liveProcessIds.includes(processId) || locked.has(processId)
  const report = await recoverAudit({
    directory,
    signer,
    storage,
    clock,
    log,
    collections,
    isLive,
    progress,
    auditPseudonymKey: config.auditPseudonymKey
  })
  if (report.processes > 0 || report.broken.length > 0) {
    log.info({ recovery: report }, 'audit logs of dead processes were brought in')
  }
  const removed = await applyRetention({
    directory,
    signer,
    clock,
    isLive,
    days: config.auditRetentionDays,
    bytesMax: config.auditRetentionBytes
  })
  // Fail-open: what was brought in is in, and an hour later the index is looked at again.
  await retainIndex(storage, clock, config.auditRetentionDays).catch(() => { /* as said */ })
  if (removed.length > 0) log.info({ removed: removed.length }, 'old audit segments were removed')
  return report
}
