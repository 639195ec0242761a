import { setTimeout as sleep } from 'node:timers/promises'
import { isRunning, ownMark } from '../std/process-mark.ts'
import { isErrno } from './files.ts'
import type { FileLayer } from './files.ts'

/**
 * Locks of logs (who writes which) and of recovery: small files that name an operating system's process by number and
 * start time. A log whose writer still runs must never be closed by another; nothing else tells a dead writer from a
 * busy one.
 */
const LOCK_FILE = 'recovery.lock'
/** Two that find the same stale lock settle it within this. */
const SETTLE_MS = 25

function lockName (processId: string): string {
  return `${processId}.pid`
}

/** Written before a log's first byte. Throws like the disk. */
export function lockLog (files: FileLayer, directory: string, processId: string): void {
  try {
    writeMark(files, `${directory}/${lockName(processId)}`)
  } catch (error) {
    // A second try to begin: the mark is this process's own, as its id is.
    if (!isErrno(error, 'EEXIST')) throw error
  }
}

/** After the last write. Never rejects: a lock that stays is one of a dead process, which recovery sees. */
export async function releaseLog (files: FileLayer, directory: string, processId: string): Promise<void> {
  await files.remove(`${directory}/${lockName(processId)}`).catch(() => { /* never there, or gone already */ })
}

/**
 * Logs whose writer runs in another process of this machine. Those of the calling process are not among them: the
 * caller knows which of its own are open.
 */
export async function lockedLogs (files: FileLayer, directory: string): Promise<Set<string>> {
  const locked = new Set<string>()
  for (const name of await files.list(directory)) {
    if (!name.endsWith('.pid')) continue
    const processId = name.slice(0, -'.pid'.length)
    if (await isLocked(files, directory, processId)) locked.add(processId)
  }
  return locked
}

/** As `lockedLogs`, of one. Asked behind a listing it errs for none: a log's lock is there before the log. */
export async function isLocked (files: FileLayer, directory: string, processId: string): Promise<boolean> {
  const mark = await readMark(files, `${directory}/${lockName(processId)}`)
  return mark !== null && mark !== ownMark() && isRunning(mark)
}

/** Runs `work` while nobody else of this machine does; null when somebody does. */
export async function whileRecovering<T> (
  files: FileLayer,
  directory: string,
  work: () => Promise<T>
): Promise<T | null> {
  files.makeDirectory(directory)
  const path = `${directory}/${LOCK_FILE}`
  const holder = await readMark(files, path)
  if (holder !== null && holder !== '' && isRunning(holder)) return null
  if (holder !== null) await files.remove(path).catch(() => { /* another was faster */ })
  try {
    writeMark(files, path)
  } catch (error) {
    if (isErrno(error, 'EEXIST')) return null
    throw error
  }
  if (holder !== null) await sleep(SETTLE_MS)
  if (await readMark(files, path) !== ownMark()) return null
  try {
    return await work()
  } finally {
    await files.remove(path).catch(() => { /* stale from now on, as its holder ends */ })
  }
}

function writeMark (files: FileLayer, path: string): void {
  const file = files.open(path, 'create')
  try {
    file.writeNow(Buffer.from(ownMark()), 0)
  } finally {
    file.close()
  }
}

async function readMark (files: FileLayer, path: string): Promise<string | null> {
  try {
    return (await files.read(path)).toString()
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return null
    throw error
  }
}
