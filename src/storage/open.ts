import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Config } from '../config/config.ts'
import type { Clock } from '../std/clock.ts'
import type { FileWatch } from '../std/file-watch.ts'
import type { StorageLog } from './log.ts'
import type { Storage } from './port.ts'
import { openSqliteStorage } from './sqlite.ts'

/** Chooses the adapter: MongoDB when MONGODB_URI is set, else one SQLite file under DATA_DIR. */
interface OpenOptions {
  config: Pick<Config, 'dataDir' | 'mongodbUri' | 'mongodbDatabase'>
  clock: Clock
  log: StorageLog
  /** State of the breaker before MongoDB, as its gauge shows it. */
  onBreaker? (value: number): void
  /** Of an embedded store: files that must stand at their paths when something is written. */
  watch?: FileWatch
  /** Why an embedded store was down when this host tried it last. */
  downFor?: string | null
}

/**
 * `dataDir: ':memory:'` is a temporary folder that goes with the storage (tests). A MongoDB that is down opens as a
 * storage that is down.
 *
 * @throws NEKO_ERR_STORE_CORRUPT, NEKO_ERR_STORE_INCOMPATIBLE
 */
export async function openStorage (options: OpenOptions): Promise<Storage> {
  const { config, clock, log } = options
  if (config.mongodbUri !== null) {
    // Late: the driver is 130 files, and most installations have none.
    const { openMongoStorage } = await import('./mongo.ts')
    return openMongoStorage({
      uri: config.mongodbUri,
      database: config.mongodbDatabase,
      clock,
      log,
      onBreaker: options.onBreaker
    })
  }
  if (config.dataDir === ':memory:') return openTemporaryStorage({ clock, log })
  const { watch, downFor = null } = options
  return openSqliteStorage({ file: storageFile(config.dataDir), clock, log, watch, downFor })
}

export function storageFile (dataDir: string): string {
  return join(dataDir, 'neko.db')
}

async function openTemporaryStorage (options: { clock: Clock, log: StorageLog }): Promise<Storage> {
  const directory = mkdtempSync(join(tmpdir(), 'neko-store-'))
  const storage = await openSqliteStorage({ file: storageFile(directory), ...options })
  const close = async (): Promise<void> => {
    await storage.close()
    rmSync(directory, { recursive: true, force: true })
  }
  return { ...storage, close }
}
