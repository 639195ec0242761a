import { mkdirSync } from 'node:fs'
import { assessmentCollections } from './assessments/shapes.ts'
import { auditCollections } from './audit/collections.ts'
import type { Config } from './config.ts'
import { decisionCollections } from './decisions/shapes.ts'
import { identityCollections } from './identity/shapes.ts'
import { prepareIdentity } from './identity/prepare.ts'
import { intelCollections } from './intel/shapes.ts'
import { prepareIntel } from './intel/prepare.ts'
import { recoverAudit } from './audit/recovery.ts'
import type { Clock } from './std/clock.ts'
import { openStorage } from './storage/open.ts'
import type { CollectionDefinition } from './storage/port.ts'
import type { Logger } from './telemetry/logger.ts'

/**
 * What must be true of the store before the first server: its collections are there, the logs of dead processes are
 * replayed, actors are seeded, an administrator exists. Runs once, in the primary or the one server, before any fork.
 */
export interface Prepared {
  /** Printed once in the banner, when an administrator was made without ADMIN_PASSWORD. */
  oneTimePassword: string | null
}

/** Every room's collections, by hand. */
export const collections: readonly CollectionDefinition[] = [
  ...auditCollections,
  ...identityCollections,
  ...intelCollections,
  ...decisionCollections,
  ...assessmentCollections
]

export async function prepareStore ({ config, clock, log }: { config: Config, clock: Clock, log: Logger }): Promise<Prepared> {
  mkdirSync(config.dataDir, { recursive: true, mode: 0o700 })
  const storage = await openStorage({ config, clock, log })
  try {
    await storage.migrate([...collections])
    await recoverAudit({ config, storage, clock, log })
    const { oneTimePassword } = await prepareIdentity({ config, storage, clock })
    await prepareIntel({ storage, clock })
    return { oneTimePassword }
  } finally {
    await storage.close()
  }
}
