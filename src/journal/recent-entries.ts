import type { Entry } from './trail.ts'

/** Synced events kept in memory for the store; those that do not fit are read again from the segments. */
const RECENT_MAX = 2_000

/** The newest synced entries that the store does not have yet, in order. Bounded: when they grow too many all go. */
export class RecentEntries {
  #entries: Entry[] = []

  get isEmpty (): boolean { return this.#entries.length === 0 }
  /** Place in the chain of the oldest one held, or null. */
  get firstSeq (): number | null { return this.#entries[0]?.seq ?? null }

  keep (entries: Entry[]): void {
    // A gap in memory is fine: the events behind it are read from the segments first.
    if (this.#entries.length + entries.length > RECENT_MAX) this.#entries = []
    if (entries.length <= RECENT_MAX) this.#entries = this.#entries.concat(entries)
  }

  /** The oldest ones, at most `max`. */
  oldest (max: number): Entry[] {
    return this.#entries.slice(0, max)
  }

  /** Lets go of all through `seq`. */
  forgetThrough (seq: number): void {
    let done = 0
    while (done < this.#entries.length && this.#entries[done]!.seq <= seq) done++
    this.#entries = this.#entries.slice(done)
  }
}
