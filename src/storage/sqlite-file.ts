import { accessSync, chmodSync, closeSync, constants, existsSync, mkdirSync, openSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { pathToFileURL } from 'node:url'
import { NEKO_ERR_STORE_CORRUPT, NEKO_ERR_STORE_DUPLICATE, NEKO_ERR_STORE_UNAVAILABLE, isNekoError } from '../errors.ts'

/**
 * One SQLite file: how it is opened, and what its failures mean. Used by the thread that writes and by those who read.
 *
 * synchronous is NORMAL on purpose: with WAL a crash of the process loses nothing, a power cut may lose the last
 * commits. Changes that must survive that (acknowledged mutations) are synced by the write-ahead log and replayed.
 */
/** Busy waits end within a second, the way there and back included. */
export const BUSY_TIMEOUT_MS = 900
/** A full check reads the whole file: a second per half gigabyte. Larger ones: `neko audit verify`, and backups. */
const CHECK_BYTES_MAX = 256 * 1024 * 1024

/** `lost`: another file, or none, stands at the path. */
export type FailureReason = 'locked' | 'full' | 'readonly' | 'lost' | 'corrupt' | 'other'

/** The database, its write-ahead log and that one's index: one without the others is none. */
export const COMPANIONS = ['', '-wal', '-shm']

/** SQLITE_READONLY_DBMOVED: SQLite's own word for a file that was moved or removed since it was opened. */
export const MOVED = 1032
/** SQLITE_IOERR_SHMSIZE: no room for the index of the write-ahead log. */
const NO_ROOM_FOR_INDEX = 4874

/** Makes the folder (0700) and the empty file (0600) before SQLite would, with the umask's luck. */
export function prepareFile (file: string): void {
  const directory = dirname(file)
  if (!existsSync(directory)) mkdirSync(directory, { recursive: true, mode: 0o700 })
  // Never opened by us where it is there: closing it would let go of the locks that SQLite has on it in this process.
  if (!existsSync(file)) closeSync(openSync(file, 'a', 0o600))
  if ((statSync(file).mode & 0o077) !== 0) chmodSync(file, 0o600)
}

const PRAGMAS = [
  'journal_mode = WAL',
  'synchronous = NORMAL',
  'journal_size_limit = 67108864',
  'cache_size = -16000',
  // What is removed or replaced is overwritten: the text of a receipt does not outlive it in a free page.
  'secure_delete = ON',
  'trusted_schema = OFF'
]

/**
 * Opens for reading and writing, never making the file; waits at most `timeoutMs` for a lock.
 *
 * @throws the error of SQLite
 */
export function openFile (file: string, options: { timeoutMs: number }): DatabaseSync {
  const db = new DatabaseSync(addressOf(file, 'mode=rw'), {
    timeout: options.timeoutMs,
    enableForeignKeyConstraints: false,
    allowExtension: false
  })
  try {
    for (const pragma of PRAGMAS) db.exec(`PRAGMA ${pragma}`)
    return db
  } catch (error) {
    db.close()
    throw error
  }
}

/**
 * Opens what lies in the file and looks at nothing beside it: only while nobody writes.
 *
 * @throws the error of SQLite
 */
export function openFrozenFile (file: string): DatabaseSync {
  return new DatabaseSync(addressOf(file, 'mode=ro&immutable=1'), { readOnly: true, allowExtension: false })
}

function addressOf (file: string, query: string): URL {
  const address = pathToFileURL(file)
  address.search = query
  return address
}

/** Whether the file system of the file takes changes. */
export function isWritable (file: string): boolean {
  try {
    accessSync(file, constants.W_OK)
    return true
  } catch {
    return false
  }
}

/** @throws NEKO_ERR_STORE_CORRUPT when the structure of the file does not hold. */
export function checkFile (db: DatabaseSync, file: string): void {
  const full = statSync(file).size <= CHECK_BYTES_MAX
  const rows = db.prepare(full ? 'PRAGMA quick_check(1)' : 'SELECT count(*) AS quick_check FROM sqlite_schema').all()
  const answer = rows[0]?.quick_check
  if (full && answer !== 'ok') {
    throw new NEKO_ERR_STORE_CORRUPT(file, String(answer).replaceAll('\n', ' ').slice(0, 200))
  }
}

/** The meaning of a failure to readiness: the primary result code of SQLite, sorted. */
export function reasonOf (error: unknown): FailureReason {
  if (isNekoError(error)) return error.code === 'NEKO_ERR_STORE_CORRUPT' ? 'corrupt' : 'other'
  const { code: named } = error as { code?: unknown }
  if (named === 'ENOSPC' || named === 'EDQUOT') return 'full'
  if (named === 'EROFS' || named === 'EACCES') return 'readonly'
  const errcode = errcodeOf(error)
  const code = errcode & 0xff
  if (code === 5 || code === 6) return 'locked'
  if (code === 13 || errcode === NO_ROOM_FOR_INDEX) return 'full'
  if (code === 8) return errcode === MOVED ? 'lost' : 'readonly'
  if (code === 11 || code === 26) return 'corrupt'
  return 'other'
}

/** SQLITE_CONSTRAINT_PRIMARYKEY or SQLITE_CONSTRAINT_UNIQUE. */
export function isDuplicate (error: unknown): boolean {
  const code = errcodeOf(error)
  return code === 1555 || code === 2067
}

/** True for failures of SQLite itself; anything else is a mistake of ours and is rethrown as it is. */
export function isSqliteError (error: unknown): boolean {
  return errcodeOf(error) !== 0
}

/** The file system's own refusal, where we make the file. */
function isDiskError (error: unknown): boolean {
  return error instanceof Error && 'syscall' in error
}

function errcodeOf (error: unknown): number {
  const code = (error as { errcode?: unknown } | null)?.errcode
  return typeof code === 'number' ? code : 0
}

/** The typed error a caller sees; the driver's text stays in `cause`, for the log. */
export function typedError (error: unknown, file: string): Error {
  if (isNekoError(error)) return error
  if (isDiskError(error)) return Object.assign(new NEKO_ERR_STORE_UNAVAILABLE(), { cause: error })
  if (!isSqliteError(error)) return error instanceof Error ? error : new Error(String(error))
  if (isDuplicate(error)) return Object.assign(new NEKO_ERR_STORE_DUPLICATE('a unique value'), { cause: error })
  if (reasonOf(error) === 'corrupt') {
    return Object.assign(new NEKO_ERR_STORE_CORRUPT(file, (error as Error).message), { cause: error })
  }
  return Object.assign(new NEKO_ERR_STORE_UNAVAILABLE(), { cause: error })
}
