/**
 * A table of fixed size over one typed array: records of `stride` 32-bit words, found by a 64-bit hash. Sets of eight
 * neighbours; a newcomer to a full set takes the place of the record that is longest unused, and records with signs
 * (bad outcomes) count as younger, so that a flood of new addresses does not wash attackers out first.
 * A Map of objects costs 189 bytes and more per client and grows without end; this never grows.
 */
export interface HistoryTable {
  /** The records; word 0 is the time of last use (uint32 ms), word 1 the signs. Other words are the owner's. */
  readonly words: Int32Array
  /** The same memory. */
  readonly floats: Float32Array
  /** The offset of the record in `words`, made and zeroed when absent (`wasMade()` tells). Sets its time. */
  take (high: number, low: number, nowMs: number): number
  /** The offset, or -1. */
  find (high: number, low: number): number
  wasMade (): boolean
  remove (high: number, low: number): void
  /** The hash of the record at an offset. */
  highOf (offset: number): number
  lowOf (offset: number): number
  readonly capacity: number
}

const WAYS = 8
const SIGNS_MAX = 15

/**
 * `capacity` is a power of two, at least 8. Memory: capacity * (stride * 4 + 8) bytes, taken from the system
 * as it is touched.
 */
export function createHistoryTable (capacity: number, stride: number): HistoryTable {
  const memory = new ArrayBuffer(capacity * stride * 4)
  const words = new Int32Array(memory)
  const tags = new Uint32Array(capacity * 2)
  const setMask = capacity / WAYS - 1
  let made = false

  function slotOf (high: number, low: number): number {
    const first = (low & setMask) * WAYS
    for (let slot = first; slot < first + WAYS; slot++) {
      if (tags[slot * 2] === high && tags[slot * 2 + 1] === low) return slot
    }
    return -1
  }

  function victimOf (low: number, nowMs: number): number {
    const first = (low & setMask) * WAYS
    let victim = first
    let oldest = -1
    for (let slot = first; slot < first + WAYS; slot++) {
      if (tags[slot * 2] === 0) return slot
      const at = slot * stride
      const ageMs = (nowMs - (words[at] as number)) >>> 0
      const weighted = (ageMs + 1) / (1 + Math.min(SIGNS_MAX, words[at + 1] as number))
      if (weighted > oldest) { oldest = weighted; victim = slot }
    }
    return victim
  }

  return {
    words,
    floats: new Float32Array(memory),
    capacity,
    take (high, low, nowMs) {
      const tag = high === 0 ? 1 : high
      let slot = slotOf(tag, low)
      made = slot === -1
      if (made) {
        slot = victimOf(low, nowMs)
        tags[slot * 2] = tag
        tags[slot * 2 + 1] = low
        words.fill(0, slot * stride, (slot + 1) * stride)
      }
      words[slot * stride] = nowMs | 0
      return slot * stride
    },
    find (high, low) {
      const slot = slotOf(high === 0 ? 1 : high, low)
      return slot === -1 ? -1 : slot * stride
    },
    wasMade: () => made,
    remove (high, low) {
      const slot = slotOf(high === 0 ? 1 : high, low)
      if (slot === -1) return
      tags[slot * 2] = 0
      tags[slot * 2 + 1] = 0
      words.fill(0, slot * stride, (slot + 1) * stride)
    },
    highOf: (offset) => tags[offset / stride * 2] as number,
    lowOf: (offset) => tags[offset / stride * 2 + 1] as number
  }
}
