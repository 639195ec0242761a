import { ConfigError } from '../config/config.ts'
import { randomText } from '../std/id.ts'
import { isErrno } from './files.ts'
import type { FileLayer } from './files.ts'

/**
 * A key of this machine in a file of its own under DATA_DIR, made where nobody gave one. It is on the disk, whole and
 * by its name, before anything is signed with it: a name that reached the disk before its bytes is an empty file, or
 * one of NULs, after a power cut.
 */
export interface SecretFile {
  directory: string
  name: string
  /** The variable that would stand in its place. */
  variable: string
  /** A shorter file was cut. */
  charactersMin: number
  /** What ends when the file is removed, in words. */
  loss: string
  /** A new key, printable. */
  make: () => string
}

/**
 * The key, made when it is not there. Processes that start together end with one: the first that links its file.
 *
 * A damaged file is never replaced. Whoever starts a server may still have the key in a backup; a new one in its place
 * would end every session, or leave what the old one sealed unverifiable, without a word.
 *
 * @throws ConfigError naming the file and what can be done, never its content; DATA_DIR when it cannot hold one
 */
export function ensureSecret (files: FileLayer, own: SecretFile): string {
  const found = readSecret(files, own)
  if (found !== null) return found
  try {
    placeSecret(files, own)
  } catch (error) {
    throw new ConfigError('DATA_DIR', `cannot hold ${own.name} (${(error as NodeJS.ErrnoException).code ?? 'failed'})`)
  }
  return requireSecret(files, own)
}

/**
 * The key that the start of the server made or found. One that is gone by now is not made again: the other processes
 * go on with the old one.
 * @throws ConfigError as ensureSecret
 */
export function requireSecret (files: FileLayer, own: SecretFile): string {
  const found = readSecret(files, own)
  if (found === null) throw damaged(own, 'is gone', 'start the server again')
  return found
}

function readSecret (files: FileLayer, own: SecretFile): string | null {
  let bytes: Buffer
  try {
    bytes = files.readNow(`${own.directory}/${own.name}`)
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return null
    throw damaged(own, `cannot be read (${(error as NodeJS.ErrnoException).code ?? 'failed'})`)
  }
  const text = bytes.toString('latin1').trim()
  if (bytes.length === 0) throw damaged(own, 'is empty')
  // Of NULs too, which is how a file system shows bytes that it never wrote: everybody would know that key.
  if (!/^[\t\n\r\x20-\x7e]*$/.test(text)) throw damaged(own, 'is no text')
  if (text.length < own.charactersMin) throw damaged(own, 'was cut short')
  return text
}

function damaged (
  { directory, name, variable, loss }: SecretFile,
  problem: string,
  way = 'remove it'
): ConfigError {
  return new ConfigError(
    variable,
    `${directory}/${name} ${problem}: restore it from a backup, or ${way} for a new key (${loss})`
  )
}

function placeSecret (files: FileLayer, { directory, name, make }: SecretFile): void {
  files.makeDirectory(directory)
  const draft = `${directory}/${name}.${randomText(8)}`
  const file = files.open(draft, 'create')
  try {
    try {
      file.writeNow(Buffer.from(`${make()}\n`), 0)
      file.syncNow()
    } finally {
      file.close()
    }
    files.linkNow(draft, `${directory}/${name}`)
  } catch (error) {
    // Another process was faster, and its key is the one.
    if (!isErrno(error, 'EEXIST')) throw error
  } finally {
    files.removeNow(draft)
  }
  files.syncDirectoryNow(directory)
}
