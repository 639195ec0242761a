import type { Config } from '../config.ts'
import type { Clock } from '../std/clock.ts'
import type { CollectionDefinition, Storage } from '../storage/port.ts'
import { auditDirectory, auditSigner } from './audit.ts'
import type { AuditLog } from './audit.ts'
import { recoverAudit } from './recovery.ts'
import type { RecoveryReport } from './recovery.ts'
import { newestCheckpoints } from './collections.ts'
import { applyRetention } from './retention.ts'
import { verifyAudit } from './verify.ts'
import type { VerifyReport } from './verify.ts'

export interface PrepareAuditOptions {
  config: Pick<Config, 'dataDir' | 'auditSigningKey'>
  storage: Storage
  clock: Clock
  log: AuditLog
  /** Of all rooms: where effects may point. */
  collections: CollectionDefinition[]
  /** Processes of this data directory that serve now; before the first fork none. */
  liveProcessIds?: readonly string[]
}

/**
 * What the primary does at start before it forks, and again when a worker died: logs that dead processes left are closed and
 * brought into the store, and what retention no longer keeps goes.
 * @throws NEKO_ERR_STORE_UNAVAILABLE when the store is down: serve on, and call again when it is back.
 */
export async function prepareAudit (options: PrepareAuditOptions): Promise<RecoveryReport> {
  const { config, storage, clock, log, collections, liveProcessIds = [] } = options
  const directory = auditDirectory(config.dataDir)
  const signer = auditSigner(config)
  const isLive = (processId: string): boolean => liveProcessIds.includes(processId)
  const report = await recoverAudit({ directory, signer, storage, clock, log, collections, isLive })
  if (report.processes > 0 || report.broken.length > 0) log.info({ recovery: report }, 'audit logs of dead processes were brought in')
  const removed = await applyRetention({ directory, signer, clock, isLive })
  if (removed.length > 0) log.info({ removed: removed.length }, 'old audit segments were removed')
  return report
}

/**
 * What `neko audit verify` does; also beside the server. `storage` null, or down: the files alone are verified.
 * @throws what reading the directory throws.
 */
export async function verifyDataDir (config: Pick<Config, 'dataDir' | 'auditSigningKey'>, storage: Storage | null): Promise<VerifyReport & { comparedWithStore: boolean }> {
  const stored = storage === null ? null : await newestCheckpoints(storage).catch(() => null)
  const report = await verifyAudit({ directory: auditDirectory(config.dataDir), signer: auditSigner(config), checkpoints: stored ?? [] })
  return { ...report, comparedWithStore: stored !== null }
}
