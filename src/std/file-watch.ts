import { fstatSync, statSync } from 'node:fs'
import type { BigIntStats } from 'node:fs'

/**
 * Files that a process relies on, compared with what stands at their paths. A file that was unlinked, or whose
 * directory was moved away or replaced, is written and synced as before, and nobody will ever find what it holds: so
 * whoever acknowledges by such a file looks first. Two looks a second find a loss also while nothing is written.
 */
const LOOK_MS = 500

/** Which file stands at a path, links followed: device and inode. Null when none can be seen there. */
export function fileAt (path: string): string | null {
  try {
    const found = statSync(path, { bigint: true, throwIfNoEntry: false })
    return found === undefined ? null : identityOf(found)
  } catch {
    // A component of the path that is no directory, or one that is closed to us: no file of ours stands there.
    return null
  }
}

/** The same of an open file. As long as it is open its inode is given to no other. */
export function fileOf (descriptor: number): string {
  return identityOf(fstatSync(descriptor, { bigint: true }))
}

function identityOf ({ dev, ino }: BigIntStats): string {
  return `${dev}:${ino}`
}

export class FileWatch {
  /** Which file stands at a path now. */
  readonly identityAt: (path: string) => string | null
  readonly #kept = new Map<string, string>()
  readonly #listeners: Array<(lost: string | null) => void> = []
  #timer: NodeJS.Timeout | null = null
  #gone = new Set<string>()

  /** `identityAt` is another than the file system's in tests. */
  constructor (identityAt: (path: string) => string | null = fileAt) {
    this.identityAt = identityAt
  }

  /** The first path that led elsewhere at the last look, or null. */
  get lost (): string | null {
    return this.#gone.values().next().value ?? null
  }

  /** Whether this path led elsewhere at the last look. */
  isLost (path: string): boolean {
    return this.#gone.has(path)
  }

  /** From now on this file must stand at the path. */
  keep (path: string, identity: string | null): void {
    if (identity !== null) this.#kept.set(path, identity)
  }

  /** It need not any more. */
  release (path: string): void {
    this.#kept.delete(path)
  }

  /** Whether this file must stand at the path. */
  keeps (path: string): boolean {
    return this.#kept.has(path)
  }

  /** Compares now, a few microseconds for each file: the first path that leads elsewhere, or null. */
  look (): string | null {
    const before = this.lost
    this.#gone.clear()
    for (const [path, identity] of this.#kept) if (this.identityAt(path) !== identity) this.#gone.add(path)
    const { lost } = this
    // While a directory goes its files go one after the other: that is one loss.
    if ((before === null) !== (lost === null)) for (const listener of this.#listeners) listener(lost)
    return lost
  }

  /** Called with the path when a file is lost, and with null when all are back. */
  onChange (listener: (lost: string | null) => void): void {
    this.#listeners.push(listener)
  }

  /** Looks by itself, until closed. */
  start (): void {
    this.#timer ??= setInterval(() => { this.look() }, LOOK_MS).unref()
  }

  close (): void {
    if (this.#timer !== null) clearInterval(this.#timer)
  }
}
