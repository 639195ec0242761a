import type { FileLayer, OpenFile } from '../../src/journal/files.ts'
import { failure } from './disk.ts'

/** What one file would be found as after a power cut, and what it is now. */
interface Node { identity: string, content: Buffer, synced: Buffer }
interface Directory { entries: Map<string, Node>, synced: Map<string, Node> }

/** A disk in memory that knows what a power cut would leave. */
export interface MemoryDisk {
  files: FileLayer
  /** Path to content, now. */
  now (): Map<string, Buffer>
  /**
   * What may be found after a power cut at this moment: names as of the last sync of their directory, bytes as of the last
   * sync of their file, and of what was written since `keep` (0 to 1) of the bytes: a torn write. `names: 'now'`: the
   * disk had committed its directories by itself, which it may do at any time, also before the bytes.
   */
  afterPowerCut (keep: number, names?: 'synced' | 'now'): Map<string, Buffer>
  /** Called before every operation that changes the disk; a throw stops it there. */
  onStep: (() => void) | null
}

let nodes = 0
const newIdentity = (): string => `node ${nodes++}`

/** The recording file system of `power.ts`, and the fast one of the random edits. `from`: what is on the disk at first, all of it synced. */
export function memoryDisk (from = new Map<string, Buffer>()): MemoryDisk {
  const directory: Directory = { entries: new Map(), synced: new Map() }
  for (const [path, content] of from) {
    const node = { identity: newIdentity(), content, synced: content }
    directory.entries.set(path, node)
    directory.synced.set(path, node)
  }
  const step = (): void => { disk.onStep?.() }
  const node = (path: string): Node => {
    const found = directory.entries.get(path)
    if (found === undefined) throw failure('ENOENT')
    return found
  }
  const syncDirectoryNow = (): void => {
    step()
    directory.synced = new Map(directory.entries)
  }
  const disk: MemoryDisk = {
    onStep: null,
    now: () => new Map([...directory.entries].map(([path, { content }]) => [path, content])),
    afterPowerCut: (keep, names = 'synced') => new Map([...names === 'now' ? directory.entries : directory.synced].map(([path, { content, synced }]) => [path, torn(content, synced, keep)])),
    files: {
      makeDirectory () {},
      open (path, mode) {
        if (mode === 'create') {
          if (directory.entries.has(path)) throw failure('EEXIST')
          step()
          directory.entries.set(path, { identity: newIdentity(), content: Buffer.alloc(0), synced: Buffer.alloc(0) })
        }
        return openNode(node(path), step)
      },
      list: async (path) => [...directory.entries.keys()].filter((name) => name.startsWith(`${path}/`)).map((name) => name.slice(path.length + 1)),
      read: async (path, from = 0) => node(path).content.subarray(from),
      readNow: (path) => node(path).content,
      size: async (path) => node(path).content.length,
      identityAt: (path) => directory.entries.get(path)?.identity ?? null,
      modifiedMs: async () => 0,
      async rename (from, to) {
        step()
        directory.entries.set(to, node(from))
        directory.entries.delete(from)
      },
      async remove (path) {
        node(path)
        step()
        directory.entries.delete(path)
      },
      linkNow (from, to) {
        if (directory.entries.has(to)) throw failure('EEXIST')
        step()
        directory.entries.set(to, node(from))
      },
      removeNow (path) {
        if (!directory.entries.has(path)) return
        step()
        directory.entries.delete(path)
      },
      syncDirectory: async () => { syncDirectoryNow() },
      syncDirectoryNow
    }
  }
  return disk
}

function openNode (node: Node, step: () => void): OpenFile {
  const writeNow = (bytes: Buffer, position: number): void => {
    step()
    const content = Buffer.alloc(Math.max(node.content.length, position + bytes.length))
    node.content.copy(content)
    bytes.copy(content, position)
    node.content = content
  }
  const syncNow = (): void => {
    step()
    node.synced = node.content
  }
  return {
    identity: node.identity,
    writeNow,
    syncNow,
    write: async (bytes, position) => { writeNow(bytes, position) },
    sync: async () => { syncNow() },
    truncate (length) {
      step()
      node.content = Buffer.from(node.content.subarray(0, length))
    },
    close () {}
  }
}

/** Of bytes that were appended and not synced any number may have reached the disk; of bytes cut off, none or all. */
function torn (content: Buffer, synced: Buffer, keep: number): Buffer {
  if (content.length <= synced.length) return keep < 0.5 ? synced : content
  return content.subarray(0, synced.length + Math.floor((content.length - synced.length) * keep))
}
