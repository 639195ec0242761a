import type { MaskedAddress } from './masked-address.ts'
import type { Decision } from './shapes.ts'

/**
 * One address or range with the decisions about it, `first` being the one that counts. Chained by hash: every array
 * between would be one more miss of the cache.
 */
interface RangeEntry {
  readonly code: number
  readonly w0: number
  readonly w1: number
  readonly w2: number
  readonly w3: number
  first: Decision
  decisions: Decision[]
  next: RangeEntry | null
}

/** With 100,000 entries one byte in twenty is not zero. */
const FILTER_BYTES = 1 << 21
const FILTER_MASK = FILTER_BYTES - 1
/** A byte that was full once stays: it costs a look-up, never an answer. */
const FULL = 255

/**
 * Addresses and ranges by their exact words: a hash table behind a counting filter, so that a prefix nobody decided
 * about costs one byte read from 2 MB and no look-up.
 */
export class RangeTable {
  readonly #entries = new Map<number, RangeEntry>()
  readonly #filter = new Uint8Array(FILTER_BYTES)

  /** The entry of exactly these words and this length. */
  find (address: MaskedAddress, code: number): RangeEntry | undefined {
    const hash = address.hash(code)
    return this.#filter[hash & FILTER_MASK] === 0 ? undefined : this.#entryAt(address, code, hash)
  }

  insert (address: MaskedAddress, code: number, decision: Decision): void {
    const hash = address.hash(code)
    const [w0, w1, w2, w3] = address.words as unknown as [number, number, number, number]
    const next = this.#entries.get(hash) ?? null
    this.#entries.set(hash, { code, w0, w1, w2, w3, first: decision, decisions: [decision], next })
    const place = hash & FILTER_MASK
    if (this.#filter[place]! < FULL) this.#filter[place]!++
  }

  /** `address` holds the words of the entry. */
  remove (address: MaskedAddress, entry: RangeEntry): void {
    const hash = address.hash(entry.code)
    const head = this.#entries.get(hash)!
    if (head !== entry) {
      let other = head
      while (other.next !== entry) other = other.next!
      other.next = entry.next
    } else if (entry.next === null) this.#entries.delete(hash)
    else this.#entries.set(hash, entry.next)
    const place = hash & FILTER_MASK
    if (this.#filter[place]! < FULL) this.#filter[place]!--
  }

  #entryAt ({ words }: MaskedAddress, code: number, hash: number): RangeEntry | undefined {
    let entry = this.#entries.get(hash) ?? null
    while (
      entry !== null &&
      !(entry.code === code && entry.w0 === words[0] && entry.w1 === words[1] && entry.w2 === words[2] &&
        entry.w3 === words[3])
    ) entry = entry.next
    return entry ?? undefined
  }
}
