import { randomText } from '../std/id.ts'
import { isErrno, replaceFile } from '../journal/files.ts'
import type { FileLayer } from '../journal/files.ts'

/** Names the directory in the store's checkpoints. */
export const TRAIL_ID_FILE = 'trail.id'

/** The id, or null where there is none yet or it is damaged. @throws the disk's error */
export async function readTrailId (files: FileLayer, directory: string): Promise<string | null> {
  try {
    const text = (await files.read(`${directory}/${TRAIL_ID_FILE}`)).toString().trim()
    return /^[0-9a-z]{16}$/.test(text) ? text : null
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return null
    throw error
  }
}

/**
 * The directory's id, made by the process that comes first. Processes that start together may both write: the last
 * one stays, and a checkpoint is written again within a minute.
 */
export async function ensureTrailId (files: FileLayer, directory: string): Promise<string> {
  const found = await readTrailId(files, directory)
  if (found !== null) return found
  await replaceFile(files, directory, TRAIL_ID_FILE, Buffer.from(randomText(16))).catch((error: unknown) => {
    // A sibling is writing it at this moment.
    if (!isErrno(error, 'EEXIST', 'ENOENT')) throw error
  })
  return await readTrailId(files, directory) ?? ''
}
