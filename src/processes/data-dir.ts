import {
  accessSync,
  chmodSync,
  constants,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync
} from 'node:fs'
import type { Stats } from 'node:fs'
import { dirname, join } from 'node:path'
import { ConfigError } from '../config/config.ts'

/**
 * The data directory before anything is opened in it: made where it is missing, and closed to others, since the store,
 * the log and generated keys lie there.
 */
const OTHERS = 0o077
const STICKY = 0o1000
/** Less than a new store takes: only a disk that takes nothing is refused. */
const ROOM_BYTES = 16 * 1024
/** What only a directory of ours holds. */
const OWN_FILES = ['neko.db', 'neko.sock', 'audit', 'jwt.secret']

/** Keys that are generated in it. */
const KEY_FILES = ['jwt.secret', join('audit', 'signing.key')]

interface DataDirLog { info (fields: object, message: string): void, warn (fields: object, message: string): void }

/**
 * One that holds a store of ours is served from, also while it cannot be written: `embedded` tells whether that store
 * is the database in it, or the log of changes beside a database elsewhere.
 * @throws ConfigError naming DATA_DIR
 */
export function requireDataDir (dataDir: string, log: DataDirLog, { embedded = true } = {}): void {
  try {
    makeDirectory(dataDir)
    accessSync(dataDir, constants.R_OK | constants.X_OK)
    const found = statSync(dataDir)
    if (!found.isDirectory()) throw new ConfigError('DATA_DIR', 'is no directory')
    if (!holdsStore(dataDir, embedded)) requireRoom(dataDir)
    if ((found.mode & OTHERS) !== 0) closeToOthers(dataDir, found, log)
  } catch (error) {
    throw error instanceof ConfigError ? error : new ConfigError('DATA_DIR', 'cannot be written')
  }
}

/** An empty database is what a start left that found no room for a page. */
function holdsStore (dataDir: string, embedded: boolean): boolean {
  if (embedded) return (statSync(join(dataDir, 'neko.db'), { throwIfNoEntry: false })?.size ?? 0) > 0
  const audit = join(dataDir, 'audit')
  return existsSync(audit) && readdirSync(audit).length > 0
}

/** A disk that is full says so only when something is written. */
function requireRoom (dataDir: string): void {
  const draft = join(dataDir, `.room-${process.pid}`)
  try {
    writeFileSync(draft, Buffer.alloc(ROOM_BYTES), { flag: 'wx', mode: 0o600, flush: true })
  } finally {
    rmSync(draft, { force: true })
  }
}

/**
 * Narrowed to 0700 where it is ours: owned by this user, and empty or holding our files. Anything else may be a
 * directory that others need (`/tmp`, a home, a volume of the orchestrator's group), and gets a warning.
 */
function closeToOthers (dataDir: string, { mode, uid }: Stats, log: DataDirLog): void {
  const shown = (mode & 0o7777).toString(8).padStart(4, '0')
  const isNarrowed = uid === process.getuid?.() && (mode & STICKY) === 0 && isOurs(dataDir) && mayChange(dataDir, 0o700)
  if (isNarrowed) log.info({ mode: shown }, 'DATA_DIR was open to other users of this machine: it is 0700 now')
  else log.warn({ mode: shown }, 'DATA_DIR is open to other users, who may read its keys and receipts: chmod 700')
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

/**
 * Generated keys that others may read are closed to them where they are ours, and said: whoever read one signs as this
 * server does until there is a new one. A start is not refused for it, nor for one that others may write: a backup
 * that was unpacked looks the same, and the directory around it kept them out.
 * Files that NAME_FILE names are left alone: orchestrators mount secrets readable for everybody in the container.
 */
export function closeKeyFiles (dataDir: string, log: Pick<DataDirLog, 'warn'>): void {
  for (const file of KEY_FILES) {
    const path = join(dataDir, file)
    const found = statOf(path)
    if (found === null || !found.isFile() || (found.mode & OTHERS) === 0) continue
    const mode = (found.mode & 0o7777).toString(8).padStart(4, '0')
    if (found.uid === process.getuid?.() && mayChange(path, 0o600)) {
      log.warn({ file, mode }, 'a key was open to other users: it is 0600 now; remove it if they had access')
    } else log.warn({ file, mode }, 'a key is open to other users, who can sign as this server: chmod 600')
  }
}

/** One that cannot be looked at cannot be read either, which is said where it is needed. */
function statOf (path: string): Stats | null {
  try {
    return lstatSync(path)
  } catch {
    return null
  }
}

/** False on a file system without modes, or a mount that is not ours to change. */
function mayChange (path: string, mode: number): boolean {
  try {
    chmodSync(path, mode)
    return true
  } catch {
    return false
  }
}
