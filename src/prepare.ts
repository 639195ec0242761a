import { join } from 'node:path'
import type { FastifyInstance } from 'fastify'
import { prepareReceipts } from './receipts/prepare.ts'
import { assessmentCollections } from './receipts/shapes.ts'
import { auditDirectory, prepareSigningKey } from './audit/audit.ts'
import { auditCollections } from './audit/collections.ts'
import { nameTrail, prepareAudit } from './audit/prepare.ts'
import type { Config } from './config/config.ts'
import { decisionCollections } from './decisions/shapes.ts'
import { NEKO_ERR_STORE_UNAVAILABLE } from './errors.ts'
import type { Fleet } from './fleet/port.ts'
import { identityCollections, usersSince } from './identity/collections.ts'
import { prepareIdentity, prepareSigningSecret } from './identity/prepare.ts'
import { warnOfKeys } from './identity/prepare-keys.ts'
import { incidentCollections } from './incidents/shapes.ts'
import { prepareIntel } from './intel/prepare.ts'
import { intelCollections } from './intel/shapes.ts'
import { RecoveryProgress } from './journal/apply-effects.ts'
import { onRecovered, tellRecovered } from './journal/recovered.ts'
import { loadPlaybooks } from './playbooks/override.ts'
import { playbookCollections } from './playbooks/shapes.ts'
import { firstLoginText } from './processes/banner.ts'
import type { Clock } from './std/clock.ts'
import { fileAt } from './std/file-watch.ts'
import { createOwedWork } from './std/owed-work.ts'
import { silentLog } from './storage/log.ts'
import { openStorage, storageFile } from './storage/open.ts'
import type { CollectionDefinition, Storage } from './storage/port.ts'
import type { Logger } from './telemetry/logger.ts'
import { print } from './telemetry/output.ts'
import { webhookCollections } from './webhooks/shapes.ts'

/**
 * The state of the store before the first server: its collections are there, the logs of dead processes are
 * replayed, an administrator exists, actors are seeded. Runs once, in the primary or the one server, before any fork;
 * when the store is down it runs as soon as it is back, in the first process.
 */
export interface Prepared {
  adminUsername: string
  /** True in production without ADMIN_PASSWORD while nobody is there to log in. */
  adminMissing: boolean
  /** The store had users before this start. */
  hadUsers: boolean
  /** The store was down: all of this is still to be done. */
  pending: boolean
  /** Why it was down, as readiness shows it. */
  downFor?: string | null
  /** Files that stay where they are as long as this host runs, whichever process looks: path to identity. */
  standing?: Record<string, string>
}

/** What passes: a store that is down, a disk that is full, read-only or failing. */
const AWAY = ['NEKO_ERR_STORE_UNAVAILABLE', 'NEKO_ERR_TIMEOUT', 'ENOSPC', 'EDQUOT', 'EROFS', 'EACCES', 'EPERM', 'EIO']

interface Parts {
  config: Config
  clock: Clock
  log: Logger
  /**
   * The password of an administrator that was made without ADMIN_PASSWORD, at the moment it is stored: whatever ends or
   * fails behind it, nobody could find it out again.
   */
  showFirstLogin (password: string): void
}

/** A store that came back is asked within ten seconds. */
const RETRIES = { retryMsMin: 1_000, retryMsMax: 10_000 }

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
export async function prepareStore (parts: Parts): Promise<Prepared> {
  const { config, clock, log } = parts
  await loadPlaybooks(config.dataDir)
  // Before any fork, and whether the store answers or not: processes that made these together would each make another.
  prepareSigningSecret(config)
  prepareSigningKey(config)
  await nameTrail(config.dataDir)
  const isEmbedded = config.mongodbUri === null
  // Why the embedded store is down is said in the one line below.
  const storage = await openStorage({ config, clock, log: isEmbedded ? silentLog : log })
  const standing = (): Record<string, string> => standingFiles(config)
  try {
    return { ...await prepareRooms(storage, parts), standing: standing() }
  } catch (error) {
    if (!isAway(error)) throw error
    const { reason: downFor } = storage.health()
    const { code } = error as { code?: string }
    log.warn({ err: error, code, reason: downFor }, 'the database is down: it is prepared when it is back')
    return {
      adminUsername: config.adminUsername,
      adminMissing: false,
      hadUsers: false,
      pending: true,
      downFor,
      standing: standing()
    }
  } finally {
    await storage.close()
  }
}

/** The store, or the disk of DATA_DIR, cannot take or give now what a start needs. */
function isAway (error: unknown): boolean {
  const { code = '' } = error as { code?: string }
  return AWAY.includes(code)
}

/** Files that every process of the host must find where this start did. */
function standingFiles (config: Config): Record<string, string> {
  return identitiesOf([...storeFiles(config), ...generatedKeys(config)])
}

function storeFiles ({ dataDir, mongodbUri }: Config): string[] {
  return [join(dataDir, 'neko.sock'), ...mongodbUri === null ? [storageFile(dataDir)] : []]
}

function identitiesOf (paths: readonly string[]): Record<string, string> {
  return Object.fromEntries(paths.flatMap((path) => {
    const identity = fileAt(path)
    return identity === null ? [] : [[path, identity]]
  }))
}

/** Of those that stood at the start, the ones that a configuration needs, which a reload may have given its keys. */
export function standingFor (config: Config, { standing = {} }: Prepared): Array<[path: string, identity: string]> {
  const all = generatedKeys({ ...config, jwtSecrets: [], auditSigningKey: null })
  const needed = generatedKeys(config)
  return Object.entries(standing).filter(([path]) => !all.includes(path) || needed.includes(path))
}

/** Without them a start would make others: nobody's token would hold, and no log's seals. */
function generatedKeys (
  { dataDir, jwtSecrets, auditSigningKey }: Pick<Config, 'dataDir' | 'jwtSecrets' | 'auditSigningKey'>
): string[] {
  return [
    ...jwtSecrets.length === 0 ? [join(dataDir, 'jwt.secret')] : [],
    ...auditSigningKey === null ? [join(auditDirectory(dataDir), 'signing.key')] : []
  ]
}

interface LogRecoveryParts {
  clock: Clock
  log: Logger
  fleet: Fleet
  /** Processes of this host that write their logs. */
  liveProcessIds (): readonly string[]
  /** That of the last reload. */
  config (): Config
}

/**
 * Brings in what ended workers left in their audit logs, as a start would, while the others serve: tried until it
 * succeeds, and told to the fleet each time.
 */
export function createLogRecovery (
  { clock, log, fleet, liveProcessIds, config }: LogRecoveryParts
): { owe (): void, close (): Promise<void> } {
  const standing = Object.entries(identitiesOf(storeFiles(config())))
  // Open over the tries: it goes on looking for a database that is away, and one that is slow is reached once.
  let storage: Storage | null = null
  let progress = new RecoveryProgress()
  let isClosed = false
  let hasFailed = false
  const letGo = async (): Promise<void> => {
    const open = storage
    storage = null
    await open?.close()
  }
  const recovering = createOwedWork({
    ...RETRIES,
    clock,
    async work () {
      // Nothing is brought into a store that was begun in the place of a lost one.
      if (standing.some(([path, identity]) => fileAt(path) !== identity)) throw new NEKO_ERR_STORE_UNAVAILABLE()
      storage ??= await openStorage({ config: config(), clock, log })
      if (isClosed) return await letGo()
      const parts = { config: config(), storage, clock, log, collections: [...collections], progress }
      const report = await prepareAudit({ ...parts, liveProcessIds: liveProcessIds() })
      if (report.isElsewhere) throw new Error('another process recovers')
      // Whatever an earlier try or a process that started meanwhile brought in is read again now.
      tellRecovered(fleet)
      progress = new RecoveryProgress()
      const { processes, events, effects } = report
      if (processes > 0 || hasFailed) {
        log.info({ processes, events, effects }, 'what ended workers left is in the store')
      }
      hasFailed = false
      await letGo()
    },
    onFailing (error) {
      hasFailed = true
      log.warn({ err: error }, 'what an ended worker left is not in the store yet: tried again')
    }
  })
  return {
    owe: () => recovering.owe(),
    async close () {
      isClosed = true
      recovering.close()
      await letGo()
    }
  }
}

/** On a store that is open already. @throws NEKO_ERR_STORE_UNAVAILABLE: call again */
export async function prepareRooms (
  storage: Storage,
  { config, clock, log, showFirstLogin }: Parts,
  liveProcessIds: readonly string[] = [],
  progress = new RecoveryProgress()
): Promise<Prepared> {
  await storage.migrate([...collections])
  const recovery = await prepareAudit({
    config,
    storage,
    clock,
    log,
    collections: [...collections],
    liveProcessIds,
    progress
  })
  if (recovery.isElsewhere) throw new NEKO_ERR_STORE_UNAVAILABLE({ cause: new Error('another process recovers') })
  const hadUsers = await usersSince(storage) !== null
  const { oneTimePassword, adminUsername, adminMissing, adminPasswordDiffers, keys } =
    await prepareIdentity({ config, storage, clock })
  if (oneTimePassword !== null) showFirstLogin(oneTimePassword)
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
  return { adminUsername, adminMissing, hadUsers, pending: false }
}

/**
 * Memory that was filled from the store is filled again whenever logs of dead processes were brought in. A store that
 * was down before the fork is prepared by the first process, once it is up.
 */
export function keepPrepared (app: FastifyInstance): void {
  const log = app.log as Logger
  const reloading = createOwedWork({
    ...RETRIES,
    clock: app.clock,
    async work () { await Promise.all([app.identity.reload(), app.decisions.load(), app.receipts.load()]) },
    onFailing: (error) => log.warn({ err: error }, 'what was brought into the store could not be read yet')
  })
  onRecovered(app.fleet, () => reloading.owe())
  app.addHook('onClose', async () => reloading.close())
  if (app.prepared.pending && app.fleet.slot === 0) prepareWhenUp(app, () => reloading.owe())
}

function prepareWhenUp (app: FastifyInstance, reload: () => void): void {
  const log = app.log as Logger
  let isDone = false
  const progress = new RecoveryProgress()
  const preparing = createOwedWork({
    ...RETRIES,
    clock: app.clock,
    async work () {
      // A store that is down says when it is back.
      if (isDone || !app.storage.health().up) return
      const { config, clock, storage, fleet } = app
      const showFirstLogin = (password: string): void => print(firstLoginText(config, password))
      await prepareRooms(storage, { config, clock, log, showFirstLogin }, [fleet.processId], progress)
      isDone = true
      reload()
      tellRecovered(fleet)
    },
    onFailing: (error) => log.warn({ err: error }, 'the database is still not prepared')
  })
  app.storage.onHealth((health) => { if (health.up) preparing.owe() })
  app.addHook('onReady', async () => preparing.owe())
  app.addHook('onClose', async () => preparing.close())
}
