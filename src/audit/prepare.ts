import type { Clock } from '../std/clock.ts'
import type { CollectionDefinition, Storage } from '../storage/port.ts'
import { auditDirectory, auditSigner } from './audit.ts'
import type { AuditConfig, AuditLog } from './audit.ts'
import { isLocked, lockedLogs, releaseLog, whileRecovering } from '../journal/log-locks.ts'
import { systemFiles } from '../journal/files.ts'
import { auditEvents } from '../journal/collections.ts'
import type { StoredAuditEvent } from '../journal/collections.ts'
import type { RecoveryProgress } from '../journal/apply-effects.ts'
import type { BrokenLog, RecoveryReport } from '../journal/recovery.ts'
import { readReplayed, writeReplayed } from '../journal/replay-mark.ts'
import { inBackground } from '../storage/background.ts'
import { ACCEPTED, acceptanceOf, digestFiles } from './acceptance.ts'
import { recoverAudit } from './recovery.ts'
import { applyRetention, retainIndex } from './retention.ts'
import { nameNewTrail } from './trail-id.ts'
import { placeOf, restoreTrailId } from './trail-registry.ts'

/** Of logs that are left alone, so many are named one by one. */
const BROKEN_SHOWN_MAX = 20

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
    ? { processes: 0, events: 0, effects: 0, tornBytes: 0, broken: [], unapplied: [], isElsewhere: true }
    : { ...report, isElsewhere: false }
}

/** Makes `trail.id` where nothing is there yet. A disk that cannot take it says so with the first event. */
export async function nameTrail (dataDir: string): Promise<void> {
  const directory = auditDirectory(dataDir)
  try {
    systemFiles.makeDirectory(directory)
    await nameNewTrail(systemFiles, directory)
  } catch { /* as said */ }
}

/**
 * A line for each log that is left alone, at each start. One that a person has accepted is done with: the index is
 * asked, which may err, as verification believes the trail alone.
 */
async function warnOfBroken (
  { storage, log }: PrepareAuditOptions,
  directory: string,
  broken: readonly BrokenLog[]
): Promise<void> {
  const events = storage.collection<StoredAuditEvent>(auditEvents)
  let shown = 0
  for (const { processId, problem } of broken) {
    const { items } = await events.find({ where: { type: ACCEPTED, target: processId }, sort: [['at', -1]], first: 10 })
    const digest = items.length === 0 ? null : await digestFiles(systemFiles, directory, processId)
    if (items.some((event) => acceptanceOf(event)?.files === digest)) {
      const replayed = await readReplayed(systemFiles, directory, processId)
      await writeReplayed(systemFiles, directory, processId, { ...replayed, done: true, isAccepted: true })
      await releaseLog(systemFiles, directory, processId)
    } else if (shown++ < BROKEN_SHOWN_MAX) {
      log.warn(
        { trail: processId, problem, broken: broken.length },
        'an audit log does not hold and is left as it is: run neko audit verify; list the key that sealed it in ' +
          'AUDIT_SIGNING_KEY, or accept it: neko audit accept <trail> --because <reason>'
      )
    }
  }
  if (shown > BROKEN_SHOWN_MAX) log.warn({ more: shown - BROKEN_SHOWN_MAX }, 'more audit logs do not hold')
}

async function recoverAndRetain (options: PrepareAuditOptions, directory: string): Promise<RecoveryReport> {
  const { config, clock, log, collections, liveProcessIds = [], progress } = options
  const storage = inBackground(options.storage)
  const signer = auditSigner(config)
  await restoreTrailId({ storage, files: systemFiles, directory, place: placeOf(config.dataDir), log })
  const isLive = async (processId: string): Promise<boolean> =>
    liveProcessIds.includes(processId) || await isLocked(systemFiles, directory, processId)
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
  if (report.processes > 0) log.info({ recovery: report }, 'audit logs of dead processes were brought in')
  await warnOfBroken({ ...options, storage }, directory, report.broken)
  const locked = await lockedLogs(systemFiles, directory)
  const removed = await applyRetention({
    directory,
    signer,
    clock,
    isLive: (processId) => liveProcessIds.includes(processId) || locked.has(processId),
    days: config.auditRetentionDays,
    bytesMax: config.auditRetentionBytes
  })
  // Fail-open: what was brought in is in, and an hour later the index is looked at again.
  await retainIndex(storage, clock, config.auditRetentionDays).catch(() => { /* as said */ })
  if (removed.length > 0) log.info({ removed: removed.length }, 'old audit segments were removed')
  return report
}
