/**
 * What was invalidated lately, so that a computation can be told from one that began too early.
 *
 * Owns: a sequence that rises with each invalidation, and the last one of each reference. Never does: touch an entry.
 * In: references; out: whether an answer that began at a sequence, and turned out to hang on these references, still
 * holds.
 *
 * Why so: what an answer hangs on is known when it is computed, and not before; an invalidation that comes meanwhile
 * finds no entry to delete. Bounded: two tables, of which the older is dropped whole when the younger is full. What was
 * in it counts as invalidated when it was closed, so that forgetting costs an answer that is not kept, never a wrong
 * one.
 */

interface InvalidationLog {
  /** Taken before a computation begins; also tells whether anything was invalidated since. */
  readonly now: number
  /** @param references null: all there are */
  note (references: readonly string[] | null): void
  /** Whether none of the references was invalidated after the moment `since`. */
  holds (references: readonly string[], since: number): boolean
}

/** Of each of the two tables: about 1 MiB together. A computation lasts seconds at most. */
const NOTED_MAX = 4_096

export function createInvalidationLog (): InvalidationLog {
  let now = 0
  /** Everything up to here counts as invalidated. */
  let floor = 0
  let young = new Map<string, number>()
  let old = new Map<string, number>()
  let oldClosedAt = 0

  function turnOver (): void {
    floor = oldClosedAt
    old = young
    oldClosedAt = now
    young = new Map()
  }

  return {
    get now () { return now },
    note (references) {
      now++
      if (references === null) {
        floor = now
        return
      }
      for (const reference of references) young.set(reference, now)
      if (young.size >= NOTED_MAX) turnOver()
    },
    holds (references, since) {
      if (since < floor) return false
      return references.every((reference) => (young.get(reference) ?? old.get(reference) ?? 0) <= since)
    }
  }
}
