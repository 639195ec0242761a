/**
 * The answers that one process holds, and which of them still hold true.
 *
 * Owns: freshness, and what an invalidation does to what is held or on its way. Never does: compute, wait, or tell
 * others. In: answers with the moment at which their computation began; out: those that may be given.
 */
import type { Clock } from '../std/clock.ts'
import { createInvalidationLog } from './invalidation-log.ts'
import { createMemory, type Entry } from './memory.ts'

export interface Answers<V> {
  /** The moment now, for what begins to be computed. */
  readonly now: number
  readonly size: number
  readonly bytes: number
  readonly evictions: number
  readonly invalidations: number
  fresh (key: string): Entry<V> | undefined
  /** Past its freshness perhaps, and fit to answer for an error: whatever was invalidated is not held. */
  fallback (key: string): Entry<V> | undefined
  /** False, and nothing is done: something that it hangs on was invalidated after `since`. */
  keep (entry: Entry<V>, since: number): boolean
  /** Like `keep`, where the process may hold a younger one already. */
  adopt (entry: Entry<V>, since: number): boolean
  grow (key: string, value: V, bytes: number): boolean
  /** @param references null: all there are */
  forget (references: readonly string[] | null): void
  /** Whether writes of other hosts are heard: while they are not, an answer is fresh for a second at most. */
  setHeard (isHeard: boolean): void
}

const UNHEARD_FRESH_MS = 1_000

export function createAnswers<V> (
  { clock, bytesMax }: { clock: Pick<Clock, 'monotonic'>, bytesMax: number }
): Answers<V> {
  const memory = createMemory<V>({ bytesMax })
  const log = createInvalidationLog()
  let freshForMsMax = Infinity
  let invalidations = 0

  function keep (entry: Entry<V>, since: number): boolean {
    const holds = log.holds(entry.references, since)
    if (holds) memory.set(entry)
    return holds
  }

  return {
    get now () { return log.now },
    get size () { return memory.size },
    get bytes () { return memory.bytes },
    get evictions () { return memory.evictions },
    get invalidations () { return invalidations },
    fresh (key) {
      const entry = memory.get(key)
      if (entry === undefined) return undefined
      const ageMs = clock.monotonic() - entry.storedAtMs
      return ageMs < entry.freshForMs && ageMs < freshForMsMax ? entry : undefined
    },
    fallback (key) {
      const entry = memory.get(key)
      if (entry === undefined) return undefined
      return clock.monotonic() - entry.storedAtMs < entry.freshForMs + entry.staleForMs ? entry : undefined
    },
    keep,
    adopt (entry, since) {
      const held = memory.get(entry.key)
      if (held === undefined || held.storedAtMs < entry.storedAtMs) return keep(entry, since)
      return log.holds(entry.references, since)
    },
    grow: memory.grow,
    forget (references) {
      invalidations++
      log.note(references)
      if (references === null) memory.clear()
      else memory.invalidate(references)
    },
    setHeard (isHeard) { freshForMsMax = isHeard ? Infinity : UNHEARD_FRESH_MS }
  }
}
