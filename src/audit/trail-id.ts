import { createHash } from 'node:crypto'
import { randomText } from '../std/id.ts'
import { isErrno, replaceFile } from '../journal/files.ts'
import type { FileLayer } from '../journal/files.ts'
import { listProcesses } from '../journal/segments.ts'

/** Names the directory in the store's checkpoints. */
export const TRAIL_ID_FILE = 'trail.id'

/** The id; null where there is none yet, or it is damaged or cannot be read. */
export async function readTrailId (files: FileLayer, directory: string): Promise<string | null> {
  try {
    const text = (await files.read(`${directory}/${TRAIL_ID_FILE}`)).toString().trim()
    return /^[0-9a-z]{16}$/.test(text) ? text : null
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== undefined) return null
    throw error
  }
}

/**
 * Names a directory that holds nothing yet. Where there are logs, or a file that is damaged, the store is asked first:
 * `restoreTrailId` (trail-registry.ts).
 */
export async function nameNewTrail (files: FileLayer, directory: string): Promise<void> {
  if ((await files.list(directory)).includes(TRAIL_ID_FILE)) return
  if ((await listProcesses(files, directory)).length > 0) return
  await writeTrailId(files, directory, randomText(16))
}

/** An id that all who make one for these logs at the same time agree on. */
export function trailIdOf (processIds: readonly string[]): string {
  const oldest = processIds[0]
  return oldest === undefined ? randomText(16) : createHash('sha256').update(oldest).digest('hex').slice(0, 16)
}

/** @throws the disk's error */
export async function writeTrailId (files: FileLayer, directory: string, trailId: string): Promise<void> {
  await replaceFile(files, directory, TRAIL_ID_FILE, Buffer.from(trailId)).catch((error: unknown) => {
    // A sibling is writing it at this moment.
    if (!isErrno(error, 'EEXIST', 'ENOENT')) throw error
  })
}
