import { createHash } from 'node:crypto'
import {
  lstatSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync
} from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { ConfigError } from '../config/config.ts'
import { isRunning, ownMark } from '../std/process-mark.ts'
import type { Logger } from '../telemetry/logger.ts'

/**
 * The lock of a data directory that does not lie in it: the control socket goes when somebody deletes the directory,
 * and a second server would begin a new store beside the one that still runs. Named by the user and the path.
 *
 * On Linux an abstract socket, which ends with its process; elsewhere a file among the temporary ones. Either name may
 * be taken by another user: whoever holds it must prove to be ours, or is passed over with a warning. So is one of this
 * user's to which the path is another directory, in a mount namespace of its own. Containers that share a volume and
 * no network do not see each other here: they have the control socket.
 */
export interface OwnerLock { release (): void }

interface LockOptions { dataDir: string, log: Pick<Logger, 'warn'>, platform?: NodeJS.Platform }

/** What is wrong with a DATA_DIR on which another server runs, and what to do. */
export const OWNED = 'is owned by another server that runs: stop that one (neko stop), or give this one a DATA_DIR, ' +
  'PORT and METRICS_PORT of its own'

const NONE: OwnerLock = { release () {} }
/** A holder that ends just now leaves the name free. */
const TRIES = 3

/**
 * Of where DATA_DIR leads, and of the path itself: a link that is set to another directory leads elsewhere.
 * @throws ConfigError naming DATA_DIR when another server of this user runs on it.
 */
export async function lockOwner (options: LockOptions): Promise<OwnerLock> {
  const locks: OwnerLock[] = []
  const release = (): void => { for (const lock of locks) lock.release() }
  try {
    for (const path of new Set([realpathSync(options.dataDir), resolve(options.dataDir)])) {
      locks.push(await lockPath(path, options))
    }
  } catch (error) {
    release()
    throw error
  }
  return { release }
}

async function lockPath (path: string, { log, platform = process.platform }: LockOptions): Promise<OwnerLock> {
  const uid = process.getuid?.() ?? 0
  const digest = createHash('sha256').update(path).digest('hex').slice(0, 32)
  const name = `neko-defense-api-${uid}-${digest}`
  for (let tries = 0; tries < TRIES; tries++) {
    const lock = platform === 'linux' ? await bindName(name) : writeLockFile(name)
    if (lock !== 'taken') return lock
    const holder = platform === 'linux' ? holderOfName(name, path, uid) : holderOfFile(name, uid)
    if (holder === 'ours') throw new ConfigError('DATA_DIR', OWNED)
    if (holder === 'unknown') break
  }
  log.warn({ lock: name }, 'others hold the lock of DATA_DIR, or for another directory: its socket alone is the lock')
  return NONE
}

/** An abstract name is no file: it is there as long as its socket. A system that knows none does without. */
function bindName (name: string): Promise<OwnerLock | 'taken'> {
  return new Promise((resolve) => {
    const server = createServer((socket) => { socket.destroy() })
    server.once('error', ({ code }: NodeJS.ErrnoException) => { resolve(code === 'EADDRINUSE' ? 'taken' : NONE) })
    server.listen(`\0${name}`, () => {
      server.unref()
      resolve({ release: () => { server.close() } })
    })
  })
}

type Holder = 'ours' | 'unknown' | 'gone'

/** The kernel's list of sockets says which one has the name; only a process that has it open holds it. */
function holderOfName (name: string, path: string, uid: number): Holder {
  const found = readProc()
  if (found === null) return 'unknown'
  const sockets = new Set<string>()
  for (const line of found.sockets.split('\n')) {
    const [, , , , , , inode, socket] = line.trim().split(/\s+/)
    if (socket === `@${name}`) sockets.add(`socket:[${inode}]`)
  }
  if (sockets.size === 0) return 'gone'
  return found.pids.some((pid) => isOf(pid, uid) && hasOpen(pid, sockets) && seesSame(pid, path)) ? 'ours' : 'unknown'
}

/** Null on a system that hides them, as some sandboxes do. */
function readProc (): { sockets: string, pids: string[] } | null {
  try {
    const pids = readdirSync('/proc').filter((entry) => /^\d+$/.test(entry))
    return { sockets: readFileSync('/proc/net/unix', 'latin1'), pids }
  } catch {
    return null
  }
}

/**
 * Looked up anew through its root: a directory that was deleted and made again is the same to both, and a holder with
 * a mount namespace of its own may share it all the same. Who hides its root is taken for one that does.
 */
function seesSame (pid: string, path: string): boolean {
  try {
    const own = statSync(path)
    const seen = statSync(`/proc/${pid}/root${path}`, { throwIfNoEntry: false })
    return seen?.dev === own.dev && seen.ino === own.ino
  } catch {
    return true
  }
}

function isOf (pid: string, uid: number): boolean {
  return statSync(`/proc/${pid}`, { throwIfNoEntry: false })?.uid === uid
}

function hasOpen (pid: string, links: ReadonlySet<string>): boolean {
  const directory = `/proc/${pid}/fd`
  try {
    return readdirSync(directory).some((descriptor) => links.has(linkAt(`${directory}/${descriptor}`)))
  } catch {
    // It ended while it was looked at.
    return false
  }
}

/** Empty for one that was closed since it was listed, as a busy server does all the time. */
function linkAt (path: string): string {
  try {
    return readlinkSync(path)
  } catch {
    return ''
  }
}

function lockFile (name: string): string {
  return join(tmpdir(), `${name}.lock`)
}

function writeLockFile (name: string): OwnerLock | 'taken' {
  try {
    writeFileSync(lockFile(name), ownMark(), { flag: 'wx', mode: 0o600 })
    return { release: () => { rmSync(lockFile(name), { force: true }) } }
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EEXIST' ? 'taken' : NONE
  }
}

/** One that a dead process left is removed. */
function holderOfFile (name: string, uid: number): Holder {
  const path = lockFile(name)
  const found = lstatSync(path, { throwIfNoEntry: false })
  if (found === undefined) return 'gone'
  if (found.uid !== uid || !found.isFile()) return 'unknown'
  if (isRunning(readFileSync(path, 'utf8'))) return 'ours'
  rmSync(path, { force: true })
  return 'gone'
}
