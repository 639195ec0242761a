import type { Decision } from './shapes.ts'

/** The longest prefix that is wide. */
export const WIDE_BITS_MAX = 16

/** Decisions about IPv4 ranges of 16 bits or fewer, by each first 16 bits that they hold: one read answers for all. */
export class WideRanges {
  readonly #lists: Array<Decision[] | undefined> = []

  at (number: number): Decision[] | undefined {
    return this.#lists[number >>> 16]
  }

  /** `place` puts the decision into a list in its order. */
  add (
    { first, bits }: { first: number, bits: number },
    place: (list: readonly Decision[]) => Decision[]
  ): void {
    for (let i = first >>> 16, end = endOf(first, bits); i < end; i++) this.#lists[i] = place(this.#lists[i] ?? [])
  }

  remove ({ first, bits }: { first: number, bits: number }, id: string): void {
    for (let i = first >>> 16, end = endOf(first, bits); i < end; i++) {
      const rest = this.#lists[i]?.filter((other) => other.id !== id)
      this.#lists[i] = rest === undefined || rest.length === 0 ? undefined : rest
    }
  }
}

/** The first 16 bits just beyond the range. */
function endOf (first: number, bits: number): number {
  return (first >>> 16) + 2 ** (16 - bits)
}
