import { MaskedAddress, SIX } from './masked-address.ts'
import { PrefixLengths } from './prefix-lengths.ts'
import { RangeTable } from './range-table.ts'
import type { Decision } from './shapes.ts'
import { WIDE_BITS_MAX, WideRanges } from './wide-ranges.ts'

/**
 * The decision that counts of an address or range unless it has expired, and all of them; true when no more
 * need be found.
 */
type Visitor = (first: Decision, decisions: readonly Decision[]) => boolean

const NONE: readonly Decision[] = []
const COLON = 58

/**
 * Decisions about addresses and ranges, found by address without a BigInt, a new string or a look-up that
 * finds nothing.
 *
 * An address is read into four words once (masked-address.ts). Which prefix lengths occur near it is noted
 * (prefix-lengths.ts); for each of them one byte of a counting filter says whether the masked address may be there, and
 * only then a Map is asked (range-table.ts). 100,000 decisions of 25 lengths cost a few bytes read from 2 MB, not 25
 * look-ups (bench/decisions.ts; a Map per length took five times as long for IPv4 and twenty times for IPv6).
 *
 * Lists are kept in the order of `before`, so that a reader who wants the decision that counts reads one.
 */
export class RangeIndex {
  readonly #before: (one: Decision, other: Decision) => boolean
  readonly #address = new MaskedAddress()
  readonly #table = new RangeTable()
  readonly #lengths = new PrefixLengths()
  readonly #wide = new WideRanges()
  #size = 0

  constructor (before: (one: Decision, other: Decision) => boolean) {
    this.#before = before
  }

  get size (): number { return this.#size }

  add (decision: Decision): void {
    const code = this.#address.read(decision.value)
    const first = this.#address.words[0]!
    this.#size++
    const known = this.#table.find(this.#address, code)
    if (known === undefined) {
      this.#table.insert(this.#address, code, decision)
      this.#lengths.add(code, first)
    } else {
      known.decisions = this.#withOne(known.decisions, decision)
      known.first = known.decisions[0]!
    }
    if (code <= WIDE_BITS_MAX) this.#wide.add({ first, bits: code }, (list) => this.#withOne(list, decision))
  }

  delete ({ id, value }: Decision): void {
    const code = this.#address.read(value)
    const entry = this.#table.find(this.#address, code)
    if (entry === undefined || !entry.decisions.some((other) => other.id === id)) return
    this.#size--
    entry.decisions = entry.decisions.filter((other) => other.id !== id)
    if (code <= WIDE_BITS_MAX) this.#wide.remove({ first: this.#address.words[0]!, bits: code }, id)
    if (entry.decisions.length === 0) {
      this.#table.remove(this.#address, entry)
      this.#lengths.remove(code)
    } else entry.first = entry.decisions[0]!
  }

  /** Decisions about exactly this address or range. */
  about (value: string): readonly Decision[] {
    return this.#table.find(this.#address, this.#address.read(value))?.decisions ?? NONE
  }

  /** Calls back for each address or range that holds the canonical address. */
  visit (address: string, visitor: Visitor): void {
    // A colon stands third to fifth in IPv6, a dot second to fourth in IPv4.
    if (
      address.charCodeAt(1) === COLON || address.charCodeAt(2) === COLON ||
      address.charCodeAt(3) === COLON || address.charCodeAt(4) === COLON
    ) {
      this.#visitSix(address, visitor)
    } else this.#visitFour(address, visitor)
  }

  #visitFour (address: string, visitor: Visitor): void {
    const number = this.#address.readFour(address)
    const wide = this.#wide.at(number)
    if (wide !== undefined && visitor(wide[0]!, wide)) return
    for (let near = this.#lengths.nearFour(number); near !== 0; near &= near - 1) {
      if (this.#visitUnder(48 - Math.clz32(near & -near), visitor)) return
    }
  }

  #visitSix (address: string, visitor: Visitor): void {
    const firstWord = this.#address.readSix(address)
    for (let word = 0; word < 4; word++) {
      for (let near = this.#lengths.nearSix(firstWord, word); near !== 0; near &= near - 1) {
        if (this.#visitUnder(SIX + word * 32 + 32 - Math.clz32(near & -near), visitor)) return
      }
    }
    for (const code of this.#lengths.sixShort) if (this.#visitUnder(code, visitor)) return
  }

  #visitUnder (code: number, visitor: Visitor): boolean {
    this.#address.cutTo(code >= SIX ? code - SIX : code)
    const entry = this.#table.find(this.#address, code)
    return entry !== undefined && visitor(entry.first, entry.decisions)
  }

  #withOne (list: readonly Decision[], decision: Decision): Decision[] {
    const at = list.findIndex((other) => this.#before(decision, other))
    return at === -1 ? [...list, decision] : list.toSpliced(at, 0, decision)
  }
}
