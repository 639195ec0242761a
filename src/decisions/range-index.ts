import { ipv4Number, ipv6Words } from '../std/ip.ts'
import type { Decision } from './shapes.ts'

/**
 * Decisions about addresses and ranges, found by address without a BigInt, a new string or a look-up that
 * finds nothing.
 *
 * An address is read into four words once. Which prefix lengths occur near it is noted by its first 16 bits (IPv6: by a
 * hash of its first 32); for each of them one byte of a counting filter says whether the masked address may
 * be there, and only then a Map is asked. 100,000 decisions of 25 lengths cost a few bytes read from 2 MB,
 * not 25 look-ups (bench/decisions.ts; a Map per length took five times as long for IPv4 and twenty times for
 * IPv6).
 */
export interface RangeIndex {
  add (decision: Decision): void
  delete (decision: Decision): void
  /** Calls back for each address or range that holds the canonical address. */
  visit (address: string, visitor: Visitor): void
  /** Decisions about exactly this address or range. */
  about (value: string): readonly Decision[]
  readonly size: number
}

/**
 * One address or range; `code` is its length, with SIX added for IPv6. Chained by hash: every array between
 * would be one more miss of the cache.
 */
interface Entry {
  code: number
  w0: number
  w1: number
  w2: number
  w3: number
  first: Decision
  decisions: Decision[]
  next: Entry | null
}
/**
 * The decision that counts of an address or range unless it has expired, and all of them; true when no more
 * need be found.
 */
export type Visitor = (first: Decision, decisions: readonly Decision[]) => boolean

const NONE: readonly Decision[] = []
const SIX = 64
/** With 100,000 entries one byte in twenty is not zero. */
const FILTER_BYTES = 1 << 21
/** A byte that was full once stays: it costs a look-up, never an answer. */
const FULL = 255
/** Of first words of IPv6 addresses; each has four words, a bit per length. */
const SIX_BUCKETS = 1 << 14
// The address that is looked at, and what is left of it under a prefix: one at a time, so one place is enough. Signed,
// because V8 boxes what is larger.
const words = new Int32Array(4)
const cut = new Int32Array(4)

/** Lists are kept in the order of `before`, so that whoever wants the one that counts reads one decision. */
export function createRangeIndex ({ before }: { before (one: Decision, other: Decision): boolean }): RangeIndex {
  const entries = new Map<number, Entry>()
  const filter = new Uint8Array(FILTER_BYTES)
  const counts = new Int32Array(SIX + 129)
  // Of an address's first 16 bits: the longer prefixes that occur there, and all that wider ranges say.
  const fourNear = new Uint16Array(65_536)
  const fourWide: Array<Decision[] | undefined> = []
  const sixNear = new Int32Array(4 * SIX_BUCKETS)
  /** Lengths of IPv6 that are shorter than a bucket's. */
  let sixShort: number[] = []
  let size = 0

  /** The entry of what stands in `cut`. */
  function find (code: number): Entry | undefined {
    const hash = hashOf(code)
    return filter[hash & (FILTER_BYTES - 1)] === 0 ? undefined : entryAt(code, hash)
  }

  function entryAt (code: number, hash: number): Entry | undefined {
    let entry = entries.get(hash) ?? null
    while (
      entry !== null &&
      !(entry.code === code && entry.w0 === cut[0] && entry.w1 === cut[1] && entry.w2 === cut[2] &&
        entry.w3 === cut[3])
    ) entry = entry.next
    return entry ?? undefined
  }

  function add (decision: Decision): void {
    const code = read(decision.value)
    size++
    const known = find(code)
    if (known === undefined) insert(code, decision)
    else {
      known.decisions = withOne(known.decisions, decision)
      known.first = known.decisions[0]!
    }
    if (code <= 16) {
      for (let i = cut[0]! >>> 16, end = endOf(code); i < end; i++) {
        fourWide[i] = withOne(fourWide[i] ?? [], decision)
      }
    }
  }

  function withOne (list: Decision[], decision: Decision): Decision[] {
    const at = list.findIndex((other) => before(decision, other))
    return at === -1 ? [...list, decision] : list.toSpliced(at, 0, decision)
  }

  function insert (code: number, decision: Decision): void {
    const hash = hashOf(code)
    entries.set(hash, {
      code,
      w0: cut[0]!,
      w1: cut[1]!,
      w2: cut[2]!,
      w3: cut[3]!,
      first: decision,
      decisions: [decision],
      next: entries.get(hash) ?? null
    })
    const place = hash & (FILTER_BYTES - 1)
    if (filter[place]! < FULL) filter[place]!++
    if (counts[code]!++ === 0 && code >= SIX && code < SIX + 32) sixShort = [...sixShort, code]
    if (code > 16 && code < SIX) fourNear[cut[0]! >>> 16]! |= 1 << (code - 17)
    else if (code >= SIX + 32) sixNear[bucketOf(cut[0]!) + noteWord(code)]! |= 1 << noteBit(code)
  }

  function remove (decision: Decision): void {
    const code = read(decision.value)
    const entry = find(code)
    const at = entry?.decisions.findIndex(({ id }) => id === decision.id) ?? -1
    if (entry === undefined || at === -1) return
    size--
    entry.decisions = entry.decisions.filter(({ id }) => id !== decision.id)
    if (code <= 16) {
      for (let i = cut[0]! >>> 16, end = endOf(code); i < end; i++) {
        fourWide[i] = without(fourWide[i], decision.id)
      }
    }
    if (entry.decisions.length === 0) drop(entry, hashOf(code))
    else entry.first = entry.decisions[0]!
  }

  /** Notes of a length go with its last entry: until then a stale one costs a byte read, never an answer. */
  function drop (entry: Entry, hash: number): void {
    const head = entries.get(hash)!
    if (head !== entry) {
      let other = head
      while (other.next !== entry) other = other.next!
      other.next = entry.next
    } else if (entry.next === null) entries.delete(hash)
    else entries.set(hash, entry.next)
    const place = hash & (FILTER_BYTES - 1)
    if (filter[place]! < FULL) filter[place]!--
    const { code } = entry
    if (--counts[code]! > 0) return
    if (code >= SIX + 32) for (let i = noteWord(code); i < sixNear.length; i += 4) sixNear[i]! &= ~(1 << noteBit(code))
    else if (code >= SIX) sixShort = sixShort.filter((other) => other !== code)
    else if (code > 16) for (let i = 0; i < fourNear.length; i++) fourNear[i]! &= ~(1 << (code - 17))
  }

  function visitFour (address: string, visitor: Visitor): void {
    const value = ipv4Number(address) | 0
    const wide = fourWide[value >>> 16]
    if (wide !== undefined && visitor(wide[0]!, wide)) return
    cut[1] = cut[2] = cut[3] = 0
    for (let near = fourNear[value >>> 16] as number; near !== 0; near &= near - 1) {
      const bits = 48 - Math.clz32(near & -near)
      cut[0] = value & (-1 << (32 - bits))
      const entry = find(bits)
      if (entry !== undefined && visitor(entry.first, entry.decisions)) return
    }
  }

  function visitSix (address: string, visitor: Visitor): void {
    ipv6Words(address, words)
    const bucket = bucketOf(words[0]!)
    for (let word = 0; word < 4; word++) {
      for (let near = sixNear[bucket + word] as number; near !== 0; near &= near - 1) {
        const code = SIX + word * 32 + 32 - Math.clz32(near & -near)
        cutTo(code - SIX)
        const entry = find(code)
        if (entry !== undefined && visitor(entry.first, entry.decisions)) return
      }
    }
    for (const code of sixShort) {
      cutTo(code - SIX)
      const entry = find(code)
      if (entry !== undefined && visitor(entry.first, entry.decisions)) return
    }
  }

  return {
    get size () { return size },
    add,
    delete: remove,
    about: (value) => find(read(value))?.decisions ?? NONE,
    visit (address, visitor) {
      // A colon stands third to fifth in IPv6, a dot second to fourth in IPv4.
      if (
        address.charCodeAt(1) === COLON || address.charCodeAt(2) === COLON ||
        address.charCodeAt(3) === COLON || address.charCodeAt(4) === COLON
      ) visitSix(address, visitor)
      else visitFour(address, visitor)
    }
  }
}

const COLON = 58

/** Reads a canonical address or range into `cut`; its code. */
function read (value: string): number {
  const slash = value.indexOf('/')
  const address = slash === -1 ? value : value.slice(0, slash)
  const isSix = address.includes(':')
  const bits = slash === -1 ? (isSix ? 128 : 32) : Number(value.slice(slash + 1))
  if (isSix) ipv6Words(address, words)
  else {
    words[0] = ipv4Number(address) | 0
    words[1] = words[2] = words[3] = 0
  }
  cutTo(bits)
  return isSix ? SIX + bits : bits
}

function cutTo (bits: number): void {
  cut[0] = masked(0, bits)
  cut[1] = masked(1, bits)
  cut[2] = masked(2, bits)
  cut[3] = masked(3, bits)
}

/** Word `index` of the address with only the first `bits` of the whole left. */
function masked (index: number, bits: number): number {
  const left = bits - index * 32
  if (left >= 32) return words[index] as number
  return left <= 0 ? 0 : (words[index] as number) & (-1 << (32 - left))
}

/** Of what stands in `cut`; thirty bits, which V8 need not box. */
function hashOf (code: number): number {
  let hash = Math.imul(cut[0]! ^ Math.imul(code, 0x9e3779b9), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13) ^ cut[1]!, 0xc2b2ae35)
  hash = Math.imul(hash ^ (hash >>> 16) ^ cut[2]!, 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13) ^ cut[3]!, 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) & 0x3fffffff
}

/** Where the notes about a first word begin. */
function bucketOf (word: number): number {
  return (Math.imul(word, 0x9e3779b1) >>> 18) * 4
}

/** Lengths 32 to 128 of IPv6 are bits 31 to 127 of a bucket. */
function noteWord (code: number): number {
  return (code - SIX - 1) >> 5
}

function noteBit (code: number): number {
  return (code - SIX - 1) & 31
}

/** The first 16 bits just beyond the IPv4 range of at most 16 in `cut`. */
function endOf (bits: number): number {
  return (cut[0]! >>> 16) + 2 ** (16 - bits)
}

function without (list: Decision[] | undefined, id: string): Decision[] | undefined {
  const rest = list?.filter((other) => other.id !== id)
  return rest === undefined || rest.length === 0 ? undefined : rest
}
