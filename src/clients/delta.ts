/**
 * Messages by which a process tells its siblings of its clients: counts since the last time and the sketches, as
 * arrays of numbers. At most CLIENTS_MAX clients and PRINTS_MAX fingerprints go into one delta (under 60 KiB of JSON);
 * clients with bad outcomes have a list of their own, so that a flood of ordinary ones does not crowd them out. A
 * client that finds no place stays pending until its next request.
 */
import * as record from './record.ts'
import type { HistoryTable } from './table.ts'
import type { Json } from '../std/json.ts'

const URGENT_MAX = 96
const ORDINARY_MAX = 96
const PRINTS_MAX = 48
/** From SHAPES' first word to the last of TARGETS, this hour's halves only, and the small sketches. */
const SKETCH_WORDS = [
  record.AGENTS,
  record.ADDRESSES,
  record.CREDENTIALS,
  record.HEADER_SETS,
  record.ROUTES,
  record.SHAPES,
  record.SHAPES + 1,
  record.TARGETS,
  record.TARGETS + 1,
  record.TARGETS + 2,
  record.TARGETS + 3
]
const PRINT_SKETCH_WORDS = [0, 1, 2, 3].flatMap((i) => [record.PRINT_ADDRESSES + i, record.PRINT_FAILING + i])
const CLIENT_LENGTH = 2 + record.COUNTER_COUNT + SKETCH_WORDS.length
const PRINT_LENGTH = 2 + record.COUNTER_COUNT + PRINT_SKETCH_WORDS.length
/** No sibling saw more of one client between two deltas. */
const COUNT_MAX = 1_000_000
const SIGN_COUNTERS = [
  record.NOT_FOUND,
  record.CLIENT_ERRORS,
  record.FAILED_LOGINS,
  record.BAD_TOKENS,
  record.PROBES,
  record.CHALLENGED,
  record.REFUSED,
  record.EXHAUSTED,
  record.DENIED
]

interface Deltas {
  /** This client has something to tell. */
  touch (at: number, urgent: boolean): void
  touchPrint (at: number): void
  /** Adds one to a pending count. */
  add (at: number, counter: number): void
  drain (): Json | null
  absorb (delta: Json, nowMs: number, start: (words: Int32Array, at: number, nowMs: number) => void): void
}

export function createDeltas (clients: HistoryTable, prints: HistoryTable): Deltas {
  const urgent: number[] = []
  const ordinary: number[] = []
  const printList: number[] = []
  const { words } = clients

  function touch (at: number, isUrgent: boolean): void {
    const state = words[at + record.DIRTY] as number
    if (state === 2 || (state === 1 && !isUrgent)) return
    const list = isUrgent ? urgent : ordinary
    if (list.length >= (isUrgent ? URGENT_MAX : ORDINARY_MAX)) return
    list.push(at)
    words[at + record.DIRTY] = isUrgent ? 2 : 1
  }

  function touchPrint (at: number): void {
    if (prints.words[at + record.PRINT_DIRTY] !== 0 || printList.length >= PRINTS_MAX) return
    printList.push(at)
    prints.words[at + record.PRINT_DIRTY] = 1
  }

  function drain (): Json | null {
    if (urgent.length === 0 && ordinary.length === 0 && printList.length === 0) return null
    const told: Json[] = []
    for (const at of urgent) tell(clients, at, record.DIRTY, record.PENDING, SKETCH_WORDS, told)
    // A client in both lists is told once: its mark is gone by now.
    for (const at of ordinary) tell(clients, at, record.DIRTY, record.PENDING, SKETCH_WORDS, told)
    const toldPrints: Json[] = []
    for (const at of printList) {
      tell(prints, at, record.PRINT_DIRTY, record.PRINT_PENDING, PRINT_SKETCH_WORDS, toldPrints)
    }
    urgent.length = 0
    ordinary.length = 0
    printList.length = 0
    return { clients: told, prints: toldPrints }
  }

  return {
    touch,
    touchPrint,
    add (at, counter) { words[at + record.PENDING + counter] = (words[at + record.PENDING + counter] as number) + 1 },
    drain,
    absorb (delta, nowMs, start) {
      if (delta === null || typeof delta !== 'object' || Array.isArray(delta)) return
      for (const entry of entriesOf(delta['clients'], URGENT_MAX + ORDINARY_MAX, CLIENT_LENGTH)) {
        absorbClient(clients, entry, nowMs, start)
      }
      for (const entry of entriesOf(delta['prints'], PRINTS_MAX, PRINT_LENGTH)) absorbPrint(prints, entry, nowMs)
    }
  }
}

/**
 * Hash, pending counts, sketches; the pending counts start again. An offset whose record was replaced
 * meanwhile tells of the newcomer, which is as well.
 */
function tell (table: HistoryTable, at: number, dirty: number, pending: number, sketches: number[], out: Json[]): void {
  const { words } = table
  if (words[at + dirty] === 0) return
  words[at + dirty] = 0
  const entry: number[] = [table.highOf(at), table.lowOf(at)]
  for (let i = 0; i < record.COUNTER_COUNT; i++) {
    entry.push(words[at + pending + i] as number)
    words[at + pending + i] = 0
  }
  for (const word of sketches) entry.push(words[at + word] as number)
  out.push(entry)
}

function entriesOf (list: Json | undefined, max: number, length: number): number[][] {
  if (!Array.isArray(list)) return []
  return list.slice(0, max).filter((entry): entry is number[] =>
    Array.isArray(entry) && entry.length === length && entry.every(Number.isInteger)
  )
}

function countAt (entry: number[], counter: number): number {
  return Math.min(COUNT_MAX, Math.max(0, entry[2 + counter] as number))
}

function absorbClient (
  table: HistoryTable,
  entry: number[],
  nowMs: number,
  start: (words: Int32Array, at: number, nowMs: number) => void
): void {
  const { words } = table
  const at = table.take(((entry[0] as number) >>> 0), ((entry[1] as number) >>> 0), nowMs)
  if (table.wasMade()) start(words, at, nowMs)
  record.rollClient(words, table.floats, at, nowMs)
  record.countRequest(words, at, countAt(entry, record.REQUESTS))
  // Requests elsewhere belong to the same streak; the rhythm is known only of the requests that came here.
  words[at + record.STREAK_REQUESTS] = (words[at + record.STREAK_REQUESTS] as number) + countAt(entry, record.REQUESTS)
  for (let i = 0; i < record.COUNTER_COUNT; i++) record.countClient(words, at, i, countAt(entry, i))
  for (const counter of SIGN_COUNTERS) words[at + 1] = (words[at + 1] as number) + countAt(entry, counter)
  orSketches(words, at, entry, SKETCH_WORDS)
}

function absorbPrint (table: HistoryTable, entry: number[], nowMs: number): void {
  const { words } = table
  const at = table.take(((entry[0] as number) >>> 0), ((entry[1] as number) >>> 0), nowMs)
  record.rollPrint(words, at, nowMs)
  for (let i = 0; i < record.COUNTER_COUNT; i++) {
    const pair = at + record.PRINT_COUNTERS + 2 * i
    words[pair] = (words[pair] as number) + countAt(entry, i)
  }
  orSketches(words, at, entry, PRINT_SKETCH_WORDS)
}

function orSketches (words: Int32Array, at: number, entry: number[], sketches: number[]): void {
  for (let i = 0; i < sketches.length; i++) {
    const word = at + (sketches[i] as number)
    words[word] = (words[word] as number) | (entry[2 + record.COUNTER_COUNT + i] as number)
  }
}
