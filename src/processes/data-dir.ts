import { accessSync, chmodSync, constants, existsSync, mkdirSync, readdirSync, statSync } from 'node:fs'
import type { Stats } from 'node:fs'
import { dirname, join } from 'node:path'
import { ConfigError } from '../config/config.ts'

/**
 * The data directory before anything is opened in it: made where it is missing, and closed to others, since the store,
 * the log and generated keys lie there.
 */
const OTHERS = 0o077
const STICKY = 0o1000
/** What only a directory of ours holds. */
const OWN_FILES = ['neko.db', 'neko.sock', 'audit', 'jwt.secret']

interface DataDirLog { info (fields: object, message: string): void, warn (fields: object, message: string): void }

/** @throws ConfigError naming DATA_DIR */
export function requireDataDir (dataDir: string, log: DataDirLog): void {
  try {
    makeDirectory(dataDir)
    accessSync(dataDir, constants.R_OK | constants.W_OK | constants.X_OK)
    const found = statSync(dataDir)
    if (!found.isDirectory()) throw new ConfigError('DATA_DIR', 'is no directory')
    if ((found.mode & OTHERS) !== 0) closeToOthers(dataDir, found, log)
  } catch (error) {
    throw error instanceof ConfigError ? error : new ConfigError('DATA_DIR', 'cannot be written')
  }
}

/**
 * Narrowed to 0700 where it is ours: owned by this user, and empty or holding our files. Anything else may be a
 * directory that others need (`/tmp`, a home, a volume of the orchestrator's group), and gets a warning.
 */
function closeToOthers (dataDir: string, { mode, uid }: Stats, log: DataDirLog): void {
  const shown = (mode & 0o7777).toString(8).padStart(4, '0')
  if (uid === process.getuid?.() && (mode & STICKY) === 0 && isOurs(dataDir)) {
    try {
      chmodSync(dataDir, 0o700)
      return log.info({ mode: shown }, 'DATA_DIR was open to other users of this machine: it is 0700 now')
    } catch { /* a file system without modes, or a mount that is not ours to change */ }
  }
  log.warn({ mode: shown }, 'DATA_DIR is open to other users, who may read its keys and receipts: chmod 700')
}

function isOurs (dataDir: string): boolean {
  return readdirSync(dataDir).length === 0 || OWN_FILES.some((name) => existsSync(join(dataDir, name)))
}

/** Step by step: mkdirSync's own `recursive` never returns on file systems that answer ENOENT to mkdir (/proc). */
function makeDirectory (path: string): void {
  if (existsSync(path)) return
  makeDirectory(dirname(path))
  mkdirSync(path, { mode: 0o700 })
}
