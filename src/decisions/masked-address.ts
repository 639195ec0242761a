import { ipv4Number, ipv6Words } from '../std/ip.ts'

/** Added to the length of an IPv6 prefix: one number (`code`) then names family and length. */
export const SIX = 64

/**
 * An address as four words, and the part of it that a prefix leaves: what a look-up turns over for every length. One
 * object serves all look-ups, one at a time, so that none of them allocates. Signed words, because V8 boxes larger
 * numbers. (As two arrays of a module, imported by the table and the index, IPv6 ranges cost 15 % more.)
 */
export class MaskedAddress {
  readonly #whole = new Int32Array(4)
  /** The words under the prefix that was cut to last. */
  readonly words = new Int32Array(4)

  /** Reads a canonical address or range, cut to its own length; its code. */
  read (value: string): number {
    const slash = value.indexOf('/')
    const address = slash === -1 ? value : value.slice(0, slash)
    const isSix = address.includes(':')
    const bits = slash === -1 ? (isSix ? 128 : 32) : Number(value.slice(slash + 1))
    if (isSix) this.readSix(address)
    else this.readFour(address)
    this.cutTo(bits)
    return isSix ? SIX + bits : bits
  }

  /** Canonical IPv4; its number, signed. */
  readFour (address: string): number {
    const number = ipv4Number(address) | 0
    this.#whole[0] = number
    this.#whole[1] = this.#whole[2] = this.#whole[3] = 0
    return number
  }

  /** Canonical IPv6; its first word. */
  readSix (address: string): number {
    ipv6Words(address, this.#whole)
    return this.#whole[0]!
  }

  /** Leaves the first `bits` of the whole: 0 to 32, of IPv6 0 to 128. */
  cutTo (bits: number): void {
    const { words } = this
    const whole = this.#whole
    words[0] = masked(whole[0]!, bits)
    words[1] = masked(whole[1]!, bits - 32)
    words[2] = masked(whole[2]!, bits - 64)
    words[3] = masked(whole[3]!, bits - 96)
  }

  /** Of the words and the code; thirty bits, which V8 need not box. */
  hash (code: number): number {
    const { words } = this
    let hash = Math.imul(words[0]! ^ Math.imul(code, 0x9e3779b9), 0x85ebca6b)
    hash = Math.imul(hash ^ (hash >>> 13) ^ words[1]!, 0xc2b2ae35)
    hash = Math.imul(hash ^ (hash >>> 16) ^ words[2]!, 0x85ebca6b)
    hash = Math.imul(hash ^ (hash >>> 13) ^ words[3]!, 0xc2b2ae35)
    return (hash ^ (hash >>> 16)) & 0x3fffffff
  }
}

/** A word of which only the first `bits` are left; a number outside of 0 to 32 means none or all. */
function masked (word: number, bits: number): number {
  if (bits >= 32) return word
  return bits <= 0 ? 0 : word & (-1 << (32 - bits))
}
