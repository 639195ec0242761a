/**
 * The entries that one process holds: whole answers by key, bounded in bytes, the least recently used go first.
 *
 * Owns: which entries are held, in which order they would go, which references each hangs on. Never does: look at a
 * value, know the time, or say what is fresh. In: entries with their size; out: the entry of a key, at once.
 *
 * Why so: a bound by count says nothing where one answer is 200 bytes and the next 2 MiB. The order of use is a list
 * through the entries themselves: a look-up moves four pointers, where deleting and setting again in a Map costs a
 * hash and, now and then, a rebuilt table. The references are an index, so that an invalidation costs what it hits.
 */

import { REFERENCES_MAX } from './bounds.ts'

export interface Entry<V> {
  readonly key: string
  readonly value: V
  /** What the value takes, by the word of whoever gave it, with what grew beside it. */
  readonly bytes: number
  readonly references: readonly string[]
  /** Monotonic, ms: when what it says began to be computed. */
  readonly storedAtMs: number
  readonly freshForMs: number
  /** Beyond `freshForMs`: as an answer to an error only. */
  readonly staleForMs: number
}

interface Memory<V> {
  readonly size: number
  /** Of all entries, with what holding them costs. */
  readonly bytes: number
  /** Entries that went because of the bound. */
  readonly evictions: number
  /** The entry, which is now the most recently used. */
  get (key: string): Entry<V> | undefined
  /** Takes the place of the key's former entry. False: too large or with too many references; the former one went. */
  set (entry: Entry<V>): boolean
  /**
   * Something of `bytes` was made beside the value and will live as long. False: it is not counted (the value is no
   * longer held, or would be too large with it), so the caller lets it go.
   */
  grow (key: string, value: V, bytes: number): boolean
  /** Deletes every entry that hangs on one of them. */
  invalidate (references: readonly string[]): void
  clear (): void
}

/** No entry may push out more than this part of the others. */
const ENTRY_PART = 16
/** Measured: the entry, its place in the map, its own list of references, 275 (Node 26, 64-bit). */
const ENTRY_BYTES = 280
/** Measured: a reference that no other entry has, 335 with its text; one that many share takes 30. */
const REFERENCE_BYTES = 310

interface Held<V> extends Entry<V> {
  bytes: number
  weight: number
  newer: Held<V> | null
  older: Held<V> | null
}

/** @param bytesMax of all entries together, with what holding them costs; 1 MiB or more makes sense */
export function createMemory<V> ({ bytesMax }: { bytesMax: number }): Memory<V> {
  const byKey = new Map<string, Held<V>>()
  const byReference = new Map<string, Set<Held<V>>>()
  const weightMax = bytesMax / ENTRY_PART
  let newest: Held<V> | null = null
  let oldest: Held<V> | null = null
  let bytes = 0
  let evictions = 0

  function link (held: Held<V>): void {
    held.older = newest
    held.newer = null
    if (newest === null) oldest = held
    else newest.newer = held
    newest = held
  }

  function unlink (held: Held<V>): void {
    if (held.newer === null) newest = held.older
    else held.newer.older = held.older
    if (held.older === null) oldest = held.newer
    else held.older.newer = held.newer
  }

  function remove (held: Held<V>): void {
    byKey.delete(held.key)
    unlink(held)
    bytes -= held.weight
    for (const reference of held.references) {
      const hanging = byReference.get(reference)
      if (hanging?.delete(held) === true && hanging.size === 0) byReference.delete(reference)
    }
  }

  function index (held: Held<V>): void {
    for (const reference of held.references) {
      const hanging = byReference.get(reference)
      if (hanging === undefined) byReference.set(reference, new Set([held]))
      else hanging.add(held)
    }
  }

  function makeRoom (): void {
    while (bytes > bytesMax && oldest !== null) {
      remove(oldest)
      evictions++
    }
  }

  return {
    get size () { return byKey.size },
    get bytes () { return bytes },
    get evictions () { return evictions },
    get (key) {
      const held = byKey.get(key)
      if (held !== undefined && held !== newest) {
        unlink(held)
        link(held)
      }
      return held
    },
    set (entry) {
      const former = byKey.get(entry.key)
      if (former !== undefined) remove(former)
      const held = holdable(entry)
      if (!(held.weight <= weightMax) || held.references.length > REFERENCES_MAX) return false
      byKey.set(held.key, held)
      link(held)
      index(held)
      bytes += held.weight
      makeRoom()
      return true
    },
    grow (key, value, more) {
      const held = byKey.get(key)
      if (held === undefined || !Object.is(held.value, value) || !(held.weight + more <= weightMax)) return false
      held.bytes += more
      held.weight += more
      bytes += more
      makeRoom()
      // The room may have been made by letting this very entry go.
      return byKey.get(key) === held
    },
    invalidate (references) {
      for (const reference of references) for (const held of byReference.get(reference) ?? []) remove(held)
    },
    clear () {
      byKey.clear()
      byReference.clear()
      newest = oldest = null
      bytes = 0
    }
  }
}

/** An entry of our own, each reference once, with what it weighs: NaN where the caller's size is none. */
function holdable<V> (entry: Entry<V>): Held<V> {
  const references = [...new Set(entry.references)]
  let weight = ENTRY_BYTES + entry.key.length + (entry.bytes >= 0 ? entry.bytes : NaN)
  for (const reference of references) weight += REFERENCE_BYTES + reference.length
  return {
    key: entry.key,
    value: entry.value,
    bytes: entry.bytes,
    references,
    storedAtMs: entry.storedAtMs,
    freshForMs: entry.freshForMs,
    staleForMs: entry.staleForMs,
    weight,
    newer: null,
    older: null
  }
}
