/**
 * Findings of payloads seen lately, by their exact content: a repeated payload costs a look-up instead of a scan.
 *
 * The key is the content itself, not a digest: a map compares it in full, so nobody can craft a hostile payload that
 * answers with a benign one's findings. Two generations bound the bytes: what is looked up again survives, the rest
 * goes when the young half is full (as in a two-space garbage collector; O(1), no list to keep).
 */
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

export function createFindingsCache<T> ({ maxBytes, entryBytes }: FindingsCacheBounds): FindingsCache<T> {
  const generationBytes = maxBytes / 2
  let young = new Map<string, T>()
  let old = new Map<string, T>()
  let youngBytes = 0
  let oldBytes = 0

  function keep (content: string, value: T): void {
    const bytes = content.length + entryBytes
    if (youngBytes + bytes > generationBytes) {
      old = young
      oldBytes = youngBytes
      young = new Map()
      youngBytes = 0
    }
    young.set(content, value)
    youngBytes += bytes
  }

  return {
    get (content) {
      const fresh = young.get(content)
      if (fresh !== undefined) return fresh
      const aged = old.get(content)
      if (aged !== undefined) keep(content, aged)
      return aged
    },
    set (content, value) {
      if (content.length > maxBytes / 4 || young.has(content)) return
      keep(content, value)
    },
    bytes: () => youngBytes + oldBytes,
    clear () {
      young = new Map()
      old = new Map()
      youngBytes = oldBytes = 0
    }
  }
}
