/**
 * Tells the other processes what was invalidated, and hears it from them.
 *
 * Owns: the count of this process's news, and which of the others' it has heard. Never does: touch an entry. In and
 * out: references, or all.
 *
 * The siblings of this host acknowledge, so that whoever wrote reads its own write from any of them; other hosts hear
 * it by the same message and are not waited for. The fleet may lose a message (at most once), therefore each of a
 * process's news carries a number: whoever sees a gap has missed something, does not know what, and drops everything.
 * A number that is repeated, to who was silent and a second later to all, finds the gap when no more news come.
 */
import type { Fleet } from '../fleet/port.ts'
import { BoundedMap } from '../std/bounded-map.ts'
import type { Clock, Timer } from '../std/clock.ts'
import type { Json } from '../std/json.ts'
import { REFERENCES_MAX } from './bounds.ts'

export interface Siblings {
  /**
   * Resolves when every process of this host has forgotten it too, after 50 ms at most.
   * @param isOwed the layer behind memory could not be told yet
   */
  tell (references: readonly string[] | null, isOwed: boolean): Promise<void>
  /** The way to other hosts is there again: what they may have missed is said to them. */
  remind (): void
  close (): void
}

interface SiblingsOptions {
  /** Of the cache: those with the same name hear each other. */
  name: string
  fleet: Fleet
  clock: Pick<Clock, 'monotonic' | 'after'>
  forget (references: readonly string[] | null, isOwed: boolean): void
}

/** A list that is longer, in number or in text, becomes `null`: a fleet message holds 64 KiB, a character six bytes. */
const REFERENCE_CHARS_MAX = 10_000

const ACKNOWLEDGE_MS = 50
/** Other hosts hear of a message that was lost within a second and what it takes to travel. */
const REMIND_MS = 900
/** Processes that were ever heard, the latest: one that was forgotten costs a drop. */
const SENDERS_MAX = 1_024

/** `references` is absent in a reminder. */
interface News { from: string, number: number, references?: readonly string[] | null, isOwed?: boolean }

export function createSiblings ({ name, fleet, clock, forget }: SiblingsOptions): Siblings {
  const topic = `cache.${name}`
  const heard = new BoundedMap<string, number>(SENDERS_MAX)
  let number = 0
  let reminder: Timer | null = null

  function hear (message: Json): void {
    const news = parseNews(message)
    // Of another version, or of a stranger: what it meant is not known.
    if (news === null) return forget(null, false)
    const last = heard.get(news.from) ?? 0
    if (news.number > last) heard.set(news.from, news.number)
    if (news.number > last + (news.references === undefined ? 0 : 1)) forget(null, false)
    if (news.references !== undefined) forget(news.references, news.isOwed === true)
  }

  function remind (): void {
    if (number > 0) fleet.publish(topic, { from: fleet.processId, number })
  }

  function remindLater (): void {
    reminder ??= clock.after(REMIND_MS, () => {
      reminder = null
      if (fleet.bridgeUp() === false) remindLater()
      else remind()
    })
  }

  // That the question came to its end says all there is to say: an answer of its own would be carried for nothing.
  fleet.answer(topic, (message) => {
    hear(message)
    return null
  })
  const unsubscribe = fleet.subscribe(topic, hear)

  return {
    async tell (references, isOwed) {
      const news: News = { from: fleet.processId, number: ++number, references, isOwed }
      const startedMs = clock.monotonic()
      await fleet.ask(topic, { ...news } as unknown as Json, { timeoutMs: ACKNOWLEDGE_MS, waitFor: 'host' })
      if (clock.monotonic() - startedMs >= ACKNOWLEDGE_MS) remind()
      remindLater()
    },
    remind,
    close () {
      reminder?.cancel()
      unsubscribe()
    }
  }
}

/** The references as they are told, once each; null where the list is too long to be told. */
export function tellable (references: readonly string[]): readonly string[] | null {
  const once = [...new Set(references)]
  if (once.length > REFERENCES_MAX) return null
  return once.reduce((chars, { length }) => chars + length, 0) > REFERENCE_CHARS_MAX ? null : once
}

function parseNews (message: Json): News | null {
  if (typeof message !== 'object' || message === null || Array.isArray(message)) return null
  const { from, number, references, isOwed } = message
  if (typeof from !== 'string' || !Number.isSafeInteger(number)) return null
  const isList = Array.isArray(references) && references.length <= REFERENCES_MAX &&
    references.every((reference) => typeof reference === 'string')
  if (references !== undefined && references !== null && !isList) return null
  return { from, number: number as number, references: references as News['references'], isOwed: isOwed === true }
}
