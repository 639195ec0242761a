import { systemFiles } from '../journal/files.ts'
import { createPseudonyms } from '../journal/pseudonyms.ts'
import { recoverLogs } from '../journal/recovery.ts'
import type { RecoveryOptions, RecoveryReport } from '../journal/recovery.ts'
import { createLogSealer } from './log-sealer.ts'
import type { Signer } from './signing.ts'

interface AuditRecoveryOptions extends Omit<RecoveryOptions, 'pseudonyms' | 'seals'> {
  signer: Signer
  /** The key that the logs' effects are sealed with, where there is one. */
  auditPseudonymKey?: string | null | undefined
}

/** The journal's recovery, with this room's seals on what it closes. @throws NEKO_ERR_STORE_UNAVAILABLE: call again. */
export async function recoverAudit (
  { signer, auditPseudonymKey, files = systemFiles, ...options }: AuditRecoveryOptions
): Promise<RecoveryReport> {
  const { directory, clock, storage } = options
  return await recoverLogs({
    ...options,
    files,
    pseudonyms: auditPseudonymKey == null ? null : createPseudonyms(auditPseudonymKey),
    seals: createLogSealer({ files, directory, signer, clock, storage })
  })
}
