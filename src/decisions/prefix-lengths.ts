import { SIX } from './masked-address.ts'

/** Of first words of IPv6 addresses; each has four words, a bit per length. */
const SIX_BUCKETS = 1 << 14

/**
 * Which prefix lengths occur near an address, so that only those are looked up: noted by its first 16 bits (IPv4) or a
 * hash of its first 32 (IPv6). Lengths of IPv4 up to 16 are not noted: wide-ranges.ts holds their answers.
 */
export class PrefixLengths {
  /** Entries of each length in the whole table. */
  readonly #counts = new Int32Array(SIX + 129)
  readonly #four = new Uint16Array(65_536)
  readonly #six = new Int32Array(4 * SIX_BUCKETS)
  /** Codes of IPv6 lengths that are shorter than a bucket's 32 bits. */
  #sixShort: number[] = []

  /** Lengths 17 to 32 near an IPv4 address, as bits 0 to 15. */
  nearFour (number: number): number {
    return this.#four[number >>> 16]!
  }

  /** Lengths 32 to 128 near an IPv6 address: bits 31 to 127 of four words, of which this is one. */
  nearSix (firstWord: number, word: number): number {
    return this.#six[bucketOf(firstWord) + word]!
  }

  get sixShort (): readonly number[] { return this.#sixShort }

  /** One more entry of this length. */
  add (code: number, firstWord: number): void {
    if (this.#counts[code]!++ === 0 && code >= SIX && code < SIX + 32) this.#sixShort = [...this.#sixShort, code]
    if (code > 16 && code < SIX) this.#four[firstWord >>> 16]! |= 1 << (code - 17)
    else if (code >= SIX + 32) this.#six[bucketOf(firstWord) + wordOf(code)]! |= 1 << bitOf(code)
  }

  /** Notes of a length go with its last entry: until then a stale one costs a byte read, never an answer. */
  remove (code: number): void {
    if (--this.#counts[code]! > 0) return
    if (code >= SIX + 32) {
      for (let i = wordOf(code); i < this.#six.length; i += 4) this.#six[i]! &= ~(1 << bitOf(code))
    } else if (code >= SIX) this.#sixShort = this.#sixShort.filter((other) => other !== code)
    else if (code > 16) for (let i = 0; i < this.#four.length; i++) this.#four[i]! &= ~(1 << (code - 17))
  }
}

/** Where the notes about a first word begin. */
function bucketOf (word: number): number {
  return (Math.imul(word, 0x9e3779b1) >>> 18) * 4
}

function wordOf (code: number): number {
  return (code - SIX - 1) >> 5
}

function bitOf (code: number): number {
  return (code - SIX - 1) & 31
}
