import { BoundedMap } from '../std/bounded-map.ts'
import type { Clock, Timer } from '../std/clock.ts'
import { randomText } from '../std/id.ts'
import type { Json } from '../std/json.ts'
import type { Fleet } from './port.ts'

/**
 * Memory that siblings share: what one process holds and another lacks, handed over in portions.
 *
 * A process that starts, or that sees that it differs, asks; a sibling answers each question with the next portion of
 * what it holds, so that neither a message nor a turn of its event loop grows with the whole. Messages about changes go
 * on meanwhile: whoever takes over must take the two in any order. `news` is what the store may lack, `all` everything,
 * for a process that could not read the store.
 */
export interface Sharing {
  /** `news` of every sibling. */
  askAll (): Promise<Taken[]>
  /** Of one sibling. */
  askOne (processId: string, what: Shared): Promise<Taken>
}

export type Shared = 'news' | 'all'

/** What one sibling gave. `isWhole` false: it stopped answering. `mark`: its state when it gave the last portion. */
export interface Taken { processId: string, isWhole: boolean, size: number, mark: string }

interface SharingParts {
  fleet: Pick<Fleet, 'processId' | 'ask' | 'answer'>
  clock: Pick<Clock, 'monotonic' | 'after'>
  topic: string
  /** How much this process holds, and a text that is the same where the same is held. */
  state (): { size: number, mark: string }
  items (what: Shared): Iterable<Json>
  takeIn (items: Json[]): void
}

interface Question { share: string, what: Shared, isFirst: boolean }
interface Portion { from: string, size: number, mark: string, items: Json[], isLast: boolean }

const ASK_MS = 1_000
/** For all that one sibling holds: whoever starts waits for it, and reads the store without it. */
const TAKING_MS = 30_000
/** Below the fleet's 64 KiB, with room for the last item. */
const PORTION_BYTES = 40 * 1024
/** 200,000 decisions of the longest reason are 10,000 portions. */
const PORTIONS_MAX = 10_000
/** Handed over at once; an older one is given up. */
const SHARES_MAX = 32
/** Without a question: an iterator that nobody asks keeps every table that its map has outgrown. */
const SHARE_MS = 60_000

export function createSharing ({ fleet, clock, topic, state, items, takeIn }: SharingParts): Sharing {
  const shares = new BoundedMap<string, { iterator: Iterator<Json>, expiry: Timer }>(SHARES_MAX)

  const expiryOf = (share: string): Timer => clock.after(SHARE_MS, () => shares.delete(share))

  fleet.answer(topic, (message) => {
    const { share, what, isFirst } = message as unknown as Question
    if (isFirst) {
      shares.set(share, { iterator: items(what)[Symbol.iterator](), expiry: expiryOf(share) })
    }
    const known = shares.get(share)
    if (known === undefined) return null
    const portion = nextPortion(known.iterator)
    known.expiry.cancel()
    if (portion.isLast) shares.delete(share)
    else known.expiry = expiryOf(share)
    return { from: fleet.processId, ...state(), ...portion }
  })

  async function goOn (first: Portion, question: Question): Promise<Taken> {
    const untilMs = clock.monotonic() + TAKING_MS
    let portion = first
    for (let count = 1; ; count++) {
      const { from: processId, size, mark, isLast } = portion
      try {
        takeIn(portion.items)
      } catch {
        // Of another version, or of a stranger with access to Redis.
        return { processId, isWhole: false, size, mark }
      }
      if (isLast) return { processId, isWhole: true, size, mark }
      const isOver = count >= PORTIONS_MAX || clock.monotonic() > untilMs
      const next = isOver ? [] : await ask({ ...question, isFirst: false }, processId)
      if (next[0] === undefined) return { processId, isWhole: false, size, mark }
      portion = next[0]
    }
  }

  async function ask (question: Question, processId?: string): Promise<Portion[]> {
    const to = processId === undefined ? {} : { processId }
    return await fleet.ask(topic, { ...question }, { timeoutMs: ASK_MS, ...to }) as unknown as Portion[]
  }

  return {
    async askAll () {
      const question: Question = { share: randomText(12), what: 'news', isFirst: true }
      const portions = await ask(question)
      return await Promise.all(portions.map((portion) => goOn(portion, question)))
    },
    async askOne (processId, what) {
      const question: Question = { share: randomText(12), what, isFirst: true }
      const [portion] = await ask(question, processId)
      return portion === undefined ? { processId, isWhole: false, size: 0, mark: '' } : await goOn(portion, question)
    }
  }
}

function nextPortion (iterator: Iterator<Json>): Pick<Portion, 'items' | 'isLast'> {
  const items: Json[] = []
  for (let bytes = 0; bytes < PORTION_BYTES;) {
    const next = iterator.next()
    if (next.done === true) return { items, isLast: true }
    items.push(next.value)
    bytes += Buffer.byteLength(JSON.stringify(next.value))
  }
  return { items, isLast: false }
}
