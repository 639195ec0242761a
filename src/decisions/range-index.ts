import { ipv4Number, parseCidr } from '../std/ip.ts'
import type { Decision } from './shapes.ts'

/**
 * Decisions about ranges, found by address without a BigInt or a new string: a table per prefix length, whose key is the
 * masked address, and in front of the tables a note of which lengths occur near this address at all (by its first 16
 * bits, IPv6 by its first 32). 100,000 ranges of 25 lengths cost one or two look-ups, not 25 (bench/decisions.ts).
 */
export interface RangeIndex {
  add (decision: Decision): void
  delete (decision: Decision): void
  /** Calls back with each list of decisions whose range holds the canonical address. */
  visit (address: string, visitor: (decisions: readonly Decision[]) => void): void
  /** Decisions about exactly this range. */
  about (cidr: string): readonly Decision[]
  readonly size: number
}

interface SixEntry { w0: number, w1: number, w2: number, w3: number, decisions: Decision[] }
/** Prefix lengths in use under one /32, with how many ranges have each. */
interface Lengths { bits: number[], counts: number[] }

const NONE: readonly Decision[] = []
/** The address that is looked at, as four words: one at a time, so one place is enough. Signed: V8 boxes what is larger. */
const words = new Int32Array(4)

export function createRangeIndex (): RangeIndex {
  const four = Array.from({ length: 33 }, () => new Map<number, Decision[]>())
  // Of an address's first 16 bits: the longer prefixes that occur there, and all that wider ranges say.
  const fourNear = new Uint16Array(65_536)
  const fourWide: Array<Decision[] | undefined> = []
  const six = new Map<number, Map<number, SixEntry[]>>()
  const sixNear = new Map<number, Lengths>()
  const sixShort: Lengths = { bits: [], counts: [] }
  let size = 0

  function addFour (first: number, bits: number, decision: Decision): void {
    const table = four[bits] as Map<number, Decision[]>
    const list = table.get(first)
    if (list === undefined) table.set(first, [decision])
    else list.push(decision)
    if (bits > 16) fourNear[first >>> 16]! |= 1 << (bits - 17)
    else for (let i = first >>> 16, end = endOf(first, bits); i < end; i++) fourWide[i] = [...fourWide[i] ?? NONE, decision]
  }

  /** Notes of lengths go only with the last range of that length: a stale one costs a look-up, never an answer. */
  function deleteFour (first: number, bits: number, id: string): number {
    const table = four[bits] as Map<number, Decision[]>
    const list = table.get(first) ?? []
    const rest = list.filter((other) => other.id !== id)
    if (rest.length === 0) table.delete(first)
    else table.set(first, rest)
    if (bits > 16) {
      if (table.size === 0) for (let i = 0; i < fourNear.length; i++) fourNear[i]! &= ~(1 << (bits - 17))
    } else for (let i = first >>> 16, end = endOf(first, bits); i < end; i++) fourWide[i] = without(fourWide[i], id)
    return list.length - rest.length
  }

  function entryOf (bits: number): SixEntry | undefined {
    const w0 = masked(0, bits)
    const w1 = masked(1, bits)
    const w2 = masked(2, bits)
    const w3 = masked(3, bits)
    const entries = six.get(bits)?.get(hashOf(w0, w1, w2, w3))
    if (entries === undefined) return undefined
    for (const entry of entries) if (entry.w0 === w0 && entry.w1 === w1 && entry.w2 === w2 && entry.w3 === w3) return entry
    return undefined
  }

  function addSix (bits: number, decision: Decision): void {
    const known = entryOf(bits)
    count(bits, 1)
    if (known !== undefined) { known.decisions.push(decision); return }
    const entry: SixEntry = { w0: masked(0, bits), w1: masked(1, bits), w2: masked(2, bits), w3: masked(3, bits), decisions: [decision] }
    let table = six.get(bits)
    if (table === undefined) six.set(bits, table = new Map())
    const hash = hashOf(entry.w0, entry.w1, entry.w2, entry.w3)
    const entries = table.get(hash)
    if (entries === undefined) table.set(hash, [entry])
    else entries.push(entry)
  }

  function deleteSix (bits: number, id: string): number {
    const entry = entryOf(bits)
    if (entry === undefined) return 0
    const before = entry.decisions.length
    entry.decisions = entry.decisions.filter((other) => other.id !== id)
    if (before === entry.decisions.length) return 0
    count(bits, -1)
    if (entry.decisions.length > 0) return 1
    const table = six.get(bits) as Map<number, SixEntry[]>
    const hash = hashOf(entry.w0, entry.w1, entry.w2, entry.w3)
    const rest = (table.get(hash) ?? []).filter((other) => other !== entry)
    if (rest.length === 0) table.delete(hash)
    else table.set(hash, rest)
    return 1
  }

  function count (bits: number, by: 1 | -1): void {
    if (bits < 32) { countIn(sixShort, bits, by); return }
    const near = words[0] as number
    let lengths = sixNear.get(near)
    if (lengths === undefined) sixNear.set(near, lengths = { bits: [], counts: [] })
    countIn(lengths, bits, by)
    if (lengths.bits.length === 0) sixNear.delete(near)
  }

  function visitSix (lengths: Lengths | undefined, visitor: (decisions: readonly Decision[]) => void): void {
    if (lengths === undefined) return
    for (const bits of lengths.bits) {
      const entry = entryOf(bits)
      if (entry !== undefined) visitor(entry.decisions)
    }
  }

  return {
    get size () { return size },
    add (decision) {
      const cidr = parseCidr(decision.value)
      if (cidr === null) return
      if (cidr.family === 4) addFour(Number(cidr.first) | 0, cidr.bits, decision)
      else {
        toWords(cidr.first)
        addSix(cidr.bits, decision)
      }
      size++
    },
    delete (decision) {
      const cidr = parseCidr(decision.value)
      if (cidr === null) return
      if (cidr.family === 4) size -= deleteFour(Number(cidr.first) | 0, cidr.bits, decision.id)
      else {
        toWords(cidr.first)
        size -= deleteSix(cidr.bits, decision.id)
      }
    },
    about (text) {
      const cidr = parseCidr(text)
      if (cidr === null) return NONE
      if (cidr.family === 4) return four[cidr.bits]?.get(Number(cidr.first) | 0) ?? NONE
      toWords(cidr.first)
      return entryOf(cidr.bits)?.decisions ?? NONE
    },
    visit (address, visitor) {
      if (address.includes(':')) {
        if (sixNear.size === 0 && sixShort.bits.length === 0) return
        readWords(address)
        visitSix(sixNear.get(words[0] as number), visitor)
        visitSix(sixShort, visitor)
        return
      }
      const value = ipv4Number(address)
      const wide = fourWide[value >>> 16]
      if (wide !== undefined) visitor(wide)
      for (let near = fourNear[value >>> 16] as number; near !== 0; near &= near - 1) {
        const bits = 48 - Math.clz32(near & -near)
        const found = four[bits]!.get(value & (-1 << (32 - bits)))
        if (found !== undefined) visitor(found)
      }
    }
  }
}

/** The first 16 bits just beyond a range of at most 16. */
function endOf (first: number, bits: number): number {
  return (first >>> 16) + 2 ** (16 - bits)
}

function without (list: Decision[] | undefined, id: string): Decision[] | undefined {
  const rest = list?.filter((other) => other.id !== id)
  return rest === undefined || rest.length === 0 ? undefined : rest
}

function countIn ({ bits, counts }: Lengths, length: number, by: 1 | -1): void {
  const at = bits.indexOf(length)
  if (at < 0) {
    bits.push(length)
    counts.push(1)
  } else if ((counts[at]! += by) === 0) {
    bits.splice(at, 1)
    counts.splice(at, 1)
  }
}

/** Word `index` of the address with only the first `bits` of the whole left. */
function masked (index: number, bits: number): number {
  const left = bits - index * 32
  if (left >= 32) return words[index] as number
  return left <= 0 ? 0 : (words[index] as number) & (-1 << (32 - left))
}

function hashOf (w0: number, w1: number, w2: number, w3: number): number {
  let hash = Math.imul(w0 ^ 0x9e3779b9, 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13) ^ w1, 0xc2b2ae35)
  hash = Math.imul(hash ^ (hash >>> 16) ^ w2, 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13) ^ w3, 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) & 0x3fffffff
}

function toWords (value: bigint): void {
  for (let i = 3; i >= 0; i--) {
    words[i] = Number(value & 0xffffffffn) | 0
    value >>= 32n
  }
}

/** A canonical IPv6 address: eight groups, none left out. */
function readWords (address: string): void {
  let group = 0
  let index = 0
  for (let i = 0; i < address.length; i++) {
    const code = address.charCodeAt(i)
    if (code === 58) {
      putGroup(index++, group)
      group = 0
    } else group = group * 16 + (code <= 57 ? code - 48 : code - 87)
  }
  putGroup(index, group)
}

function putGroup (index: number, group: number): void {
  if ((index & 1) === 0) words[index >> 1] = group << 16
  else words[index >> 1]! |= group
}
