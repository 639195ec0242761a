/**
 * Findings of payloads seen lately, by their exact content: a repeated payload costs a look-up instead of a scan.
 *
 * An entry holds the content itself, which is compared in full: nobody can craft a hostile payload that answers with a
 * benign one's findings. It lies under the content's hash, since V8 takes every text that is a map's key into its table
 * of texts (1 us for one that is new); of two contents with one hash the later one stays. Two generations bound the
 * bytes: what is looked up again survives, the rest goes when the young half is full (as in a two-space garbage
 * collector; O(1), no list to keep).
 */
import { hashText } from '../std/hash.ts'

interface FindingsCache<T> {
  get (content: string): T | undefined
  /** Contents over a quarter of the bound are not kept. */
  set (content: string, value: T): void
  /** Bytes held now, keys and an estimate for values. */
  bytes (): number
  clear (): void
}

interface FindingsCacheBounds {
  /** Of both generations together. */
  maxBytes: number
  /** Bytes of one entry beside its key: map slot, findings, arrays. */
  entryBytes: number
}

interface Entry<T> { readonly content: string, readonly value: T }

const SEED = 0x51ed270b
const HASHED_MAX = 65_536

export function createFindingsCache<T> ({ maxBytes, entryBytes }: FindingsCacheBounds): FindingsCache<T> {
  const generationBytes = maxBytes / 2
  let young = new Map<number, Entry<T>>()
  let old = new Map<number, Entry<T>>()
  let youngBytes = 0
  let oldBytes = 0

  function keep (hash: number, entry: Entry<T>): void {
    const bytes = entry.content.length + entryBytes
    if (youngBytes + bytes > generationBytes) {
      old = young
      oldBytes = youngBytes
      young = new Map()
      youngBytes = 0
    }
    young.set(hash, entry)
    youngBytes += bytes
  }

  return {
    get (content) {
      const hash = hashText(content, SEED, HASHED_MAX)
      const fresh = young.get(hash)
      if (fresh !== undefined && fresh.content === content) return fresh.value
      const aged = old.get(hash)
      if (aged === undefined || aged.content !== content) return undefined
      keep(hash, aged)
      return aged.value
    },
    set (content, value) {
      const hash = hashText(content, SEED, HASHED_MAX)
      if (content.length > maxBytes / 4 || young.get(hash)?.content === content) return
      keep(hash, { content, value })
    },
    bytes: () => youngBytes + oldBytes,
    clear () {
      young = new Map()
      old = new Map()
      youngBytes = oldBytes = 0
    }
  }
}
