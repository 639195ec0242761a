/** What a store of 20 ms per document takes in the 5 s of a background call. */
const FIRST = 250
/** One insert of the store. */
export const PORTION_MAX = 1_000
const PORTION_MIN = 10
const CAUTION_MAX = 64

/**
 * Documents of one call of background work: half as many after a call that failed, since a slow store may do less in
 * its time, and twice as many after calls that were answered. Each failure doubles how many those must be, so that what
 * the store cannot take is tried ever more rarely.
 */
export class Portion {
  #size = FIRST
  #caution = 1
  #answered = 0

  get size (): number {
    return this.#size
  }

  /** Rejects as `call` does. */
  async through<T> (call: () => Promise<T>): Promise<T> {
    try {
      const value = await call()
      if (++this.#answered >= this.#caution) this.#resize(this.#size * 2)
      return value
    } catch (error) {
      this.#caution = Math.min(CAUTION_MAX, this.#caution * 2)
      this.#resize(this.#size / 2)
      throw error
    }
  }

  #resize (size: number): void {
    this.#answered = 0
    this.#size = Math.min(PORTION_MAX, Math.max(PORTION_MIN, Math.floor(size)))
  }
}
