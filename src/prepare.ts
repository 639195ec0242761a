import type { FastifyInstance } from 'fastify'
import { prepareReceipts } from './receipts/prepare.ts'
import { assessmentCollections } from './receipts/shapes.ts'
import { auditCollections } from './audit/collections.ts'
import { nameTrail, prepareAudit } from './audit/prepare.ts'
import type { Config } from './config/config.ts'
import { decisionCollections } from './decisions/shapes.ts'
import { identityCollections, usersSince } from './identity/collections.ts'
import { prepareIdentity } from './identity/prepare.ts'
import { warnOfKeys } from './identity/prepare-keys.ts'
import { incidentCollections } from './incidents/shapes.ts'
import { prepareIntel } from './intel/prepare.ts'
import { intelCollections } from './intel/shapes.ts'
import { loadPlaybooks } from './playbooks/override.ts'
import { playbookCollections } from './playbooks/shapes.ts'
import type { Clock } from './std/clock.ts'
import { openStorage } from './storage/open.ts'
import type { CollectionDefinition, Storage } from './storage/port.ts'
import type { Logger } from './telemetry/logger.ts'
import { webhookCollections } from './webhooks/shapes.ts'

/**
 * The state of the store before the first server: its collections are there, the logs of dead processes are
 * replayed, an administrator exists, actors are seeded. Runs once, in the primary or the one server, before any fork;
 * when the store is down it runs as soon as it is back, in the first process.
 */
export interface Prepared {
  /** Printed once in the banner, when an administrator was made without ADMIN_PASSWORD. */
  oneTimePassword: string | null
  adminUsername: string
  /** True in production without ADMIN_PASSWORD while nobody is there to log in. */
  adminMissing: boolean
  /** The store had users before this start. */
  hadUsers: boolean
  /** The store was down: all of this is still to be done. */
  pending: boolean
}

interface Parts { config: Config, clock: Clock, log: Logger }

/** Every room's collections, by hand. */
const collections: readonly CollectionDefinition[] = [
  ...auditCollections,
  ...identityCollections,
  ...intelCollections,
  ...decisionCollections,
  ...assessmentCollections,
  ...incidentCollections,
  ...playbookCollections,
  ...webhookCollections
]

/**
 * @throws ConfigError, NEKO_ERR_STORE_CORRUPT, NEKO_ERR_STORE_INCOMPATIBLE; a store that is merely down is
 * `pending`.
 */
export async function prepareStore ({ config, clock, log }: Parts): Promise<Prepared> {
  await loadPlaybooks(config.dataDir)
  // Before any fork: processes that made it together would each make another.
  await nameTrail(config.dataDir)
  const storage = await openStorage({ config, clock, log })
  try {
    return await prepareRooms(storage, { config, clock, log })
  } catch (error) {
    const { code } = error as { code?: string }
    if (code !== 'NEKO_ERR_STORE_UNAVAILABLE' && code !== 'NEKO_ERR_TIMEOUT') throw error
    log.warn({ err: error }, 'the database is down: it is prepared when it is back')
    const { adminUsername } = config
    return { oneTimePassword: null, adminUsername, adminMissing: false, hadUsers: false, pending: true }
  } finally {
    await storage.close()
  }
}

/**
 * Brings in what a worker that died left in its audit log; what a start would do, while the others serve.
 * @throws NEKO_ERR_STORE_UNAVAILABLE
 */
export async function recoverDead ({ config, clock, log }: Parts, liveProcessIds: readonly string[]): Promise<void> {
  const storage = await openStorage({ config, clock, log })
  try {
    await prepareAudit({ config, storage, clock, log, collections: [...collections], liveProcessIds })
  } finally {
    await storage.close()
  }
}

/** The same on a store that is open already. @throws NEKO_ERR_STORE_UNAVAILABLE */
export async function prepareRooms (
  storage: Storage,
  { config, clock, log }: Parts,
  liveProcessIds: readonly string[] = []
): Promise<Prepared> {
  await storage.migrate([...collections])
  await prepareAudit({ config, storage, clock, log, collections: [...collections], liveProcessIds })
  const hadUsers = await usersSince(storage) !== null
  const { oneTimePassword, adminUsername, adminMissing, adminPasswordDiffers, keys } =
    await prepareIdentity({ config, storage, clock })
  if (adminMissing) log.warn('nobody can log in: set ADMIN_PASSWORD for the first administrator')
  if (adminPasswordDiffers) {
    log.warn(
      { username: adminUsername },
      'ADMIN_PASSWORD is not the password that is stored: it counts at the first start alone (neko users password)'
    )
  }
  warnOfKeys(keys, log)
  await prepareIntel({ storage, clock })
  await prepareReceipts({ storage, log })
  return { oneTimePassword, adminUsername, adminMissing, hadUsers, pending: false }
}

/** A store that was down before the fork is prepared by the first process, once it is up. */
export function prepareWhenUp (app: FastifyInstance): void {
  if (!app.prepared.pending) return
  const reload = (): Promise<void> =>
    app.identity.reload().catch((error: unknown) =>
      app.log.warn({ err: error }, 'identity could not be read yet')
    )
  app.fleet.subscribe('app.prepared', () => { reload() })
  if (app.fleet.slot !== 0) return
  let under = false
  let done = false
  const prepare = async (): Promise<void> => {
    if (under || done) return
    under = true
    try {
      const { oneTimePassword, adminUsername } = await prepareRooms(app.storage, {
        config: app.config,
        clock: app.clock,
        log: app.log as Logger
      }, [app.fleet.processId])
      // The banner is long printed: it is shown here, and not as a log line, which would be kept.
      if (oneTimePassword !== null) {
        process.stdout.write(`  first login  ${adminUsername} / ${oneTimePassword}   (shown this once)\n`)
      }
      await app.identity.reload()
      app.fleet.publish('app.prepared', null)
      done = true
    } catch (error) {
      app.log.warn({ err: error }, 'the database is still not prepared')
    } finally {
      under = false
    }
  }
  app.storage.onHealth((health) => { if (health.up) prepare() })
  if (app.storage.health().up) prepare()
}
