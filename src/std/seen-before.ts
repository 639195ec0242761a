import { hashText } from './hash.ts'

/**
 * Whether something came before, by its hash: for caches that take in what comes again, and not what comes once. A
 * flood of things that never come again would push everything else out of them, and cost more than it saves.
 *
 * A table of hashes, each at the place that it names: what shares a place is forgotten for the other. So it may say no
 * of something that came before, and yes of something that did not (one in 200,000 random texts; of texts that differ
 * in a number one in 700): what follows from a yes must be harmless.
 */
interface SeenBefore {
  /** True when this text was the last one of its place. From now on it is. */
  note (text: string): boolean
}

const SEED = 0x2545f491
/** What texts have further back does not tell them apart, but for their length. */
const CHARACTERS_MAX = 8_192

/** @param places a power of two; each takes four bytes */
export function createSeenBefore (places: number): SeenBefore {
  const table = new Uint32Array(places)
  return {
    note (text) {
      // 0 stands for nothing.
      const kept = hashText(text, SEED, CHARACTERS_MAX) || 1
      const place = kept & (places - 1)
      if (table[place] === kept) return true
      table[place] = kept
      return false
    }
  }
}
