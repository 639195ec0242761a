import {
  closeSync,
  constants,
  fdatasync,
  fdatasyncSync,
  fsyncSync,
  ftruncateSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  write,
  writeSync
} from 'node:fs'
import { open, readdir, readFile, rename, stat, unlink } from 'node:fs/promises'
import { promisify } from 'node:util'
import { fileAt, fileOf } from '../std/file-watch.ts'

const writeAt = promisify(write)
const sync = promisify(fdatasync)

/** A file open for writing at positions that its owner keeps: a failed write is repeated at the same place. */
export interface OpenFile {
  /** Which file it is, whatever becomes of its path. */
  readonly identity: string
  /** Writes all of it, or rejects having written any part. */
  write (bytes: Buffer, position: number): Promise<void>
  /**
   * fdatasync. After a rejection the file must be closed and never synced again: the kernel reports a lost
   * page once.
   */
  sync (): Promise<void>
  writeNow (bytes: Buffer, position: number): void
  syncNow (): void
  truncate (length: number): void
  close (): void
}

/**
 * The file layer: the only way of the journal to the disk, so that a test can inject EIO, ENOSPC, a slow
 * sync, a torn write, or keep only what was synced. Opening is synchronous on purpose: it happens once per
 * segment, and the trail must also open one while a caller is held back.
 */
export interface FileLayer {
  /** With parents, mode 0700; no error when it exists. */
  makeDirectory (path: string): void
  /** Mode 0600. `create` fails with EEXIST when it exists; `existing` with ENOENT when it does not. */
  open (path: string, mode: 'create' | 'existing'): OpenFile
  /** Names, in no order; [] when the directory does not exist. */
  list (path: string): Promise<string[]>
  /** `from`: bytes passed over at its beginning. */
  read (path: string, from?: number): Promise<Buffer>
  /** Of a regular file, else EINVAL. */
  readNow (path: string): Buffer
  size (path: string): Promise<number>
  /** Which file stands there, comparable with `OpenFile.identity`; null when there is none. */
  identityAt (path: string): string | null
  modifiedMs (path: string): Promise<number>
  rename (from: string, to: string): Promise<void>
  remove (path: string): Promise<void>
  /** A second name for the file; EEXIST when the name is taken. */
  linkNow (from: string, to: string): void
  /** No error when there is no such file. */
  removeNow (path: string): void
  /** Makes creations, renames and removals in it durable. */
  syncDirectory (path: string): Promise<void>
  syncDirectoryNow (path: string): void
}

/** The disk itself. */
export const systemFiles: FileLayer = {
  makeDirectory: (path) => { mkdirSync(path, { recursive: true, mode: 0o700 }) },
  open: openFile,
  async list (path) {
    try {
      return await readdir(path)
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return []
      throw error
    }
  },
  read: (path, from = 0) => from === 0 ? readFile(path) : readTail(path, from),
  readNow (path) {
    // A pipe would keep the whole process waiting.
    if (!statSync(path).isFile()) throw Object.assign(new Error(`${path} is no regular file`), { code: 'EINVAL' })
    return readFileSync(path)
  },
  size: async (path) => (await stat(path)).size,
  identityAt: fileAt,
  modifiedMs: async (path) => (await stat(path)).mtimeMs,
  rename: (from, to) => rename(from, to),
  remove: (path) => unlink(path),
  linkNow: (from, to) => { linkSync(from, to) },
  removeNow: (path) => { rmSync(path, { force: true }) },
  async syncDirectory (path) {
    const directory = await open(path, 'r')
    try {
      await directory.sync()
    } finally {
      await directory.close()
    }
  },
  syncDirectoryNow (path) {
    const fd = openSync(path, 'r')
    try {
      fsyncSync(fd)
    } finally {
      closeSync(fd)
    }
  }
}

/**
 * Whole replacement of a small file that no reader ever sees half written: new file, sync, rename, sync of
 * the directory.
 */
export async function replaceFile (files: FileLayer, directory: string, name: string, bytes: Buffer): Promise<void> {
  const temporary = `${directory}/${name}.new`
  await files.remove(temporary).catch(() => { /* left by a crash, or not there at all */ })
  const file = files.open(temporary, 'create')
  try {
    await file.write(bytes, 0)
    await file.sync()
  } finally {
    file.close()
  }
  await files.rename(temporary, `${directory}/${name}`)
  await files.syncDirectory(directory)
}

export function isErrno (error: unknown, ...codes: string[]): boolean {
  return error instanceof Error && codes.includes((error as NodeJS.ErrnoException).code ?? '')
}

async function readTail (path: string, from: number): Promise<Buffer> {
  const file = await open(path, 'r')
  try {
    const bytes = Buffer.alloc(Math.max(0, (await file.stat()).size - from))
    const { bytesRead } = await file.read(bytes, 0, bytes.length, from)
    return bytes.subarray(0, bytesRead)
  } finally {
    await file.close()
  }
}

function openFile (path: string, mode: 'create' | 'existing'): OpenFile {
  const flags = mode === 'create' ? constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL : constants.O_WRONLY
  const fd = openSync(path, flags, 0o600)
  return {
    identity: fileOf(fd),
    async write (bytes, position) {
      // A short write is no error: the disk may fill up within it, and then the next one says ENOSPC.
      for (let done = 0; done < bytes.length;) {
        done += (await writeAt(fd, bytes, done, bytes.length - done, position + done)).bytesWritten
      }
    },
    sync: () => sync(fd),
    writeNow (bytes, position) {
      for (let done = 0; done < bytes.length;) done += writeSync(fd, bytes, done, bytes.length - done, position + done)
    },
    syncNow: () => { fdatasyncSync(fd) },
    truncate: (length) => { ftruncateSync(fd, length) },
    close: () => { closeSync(fd) }
  }
}
