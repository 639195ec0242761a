/**
 * A map that never holds more than `max` entries: the one used longest ago goes first. For what can be looked up again
 * (verified tokens, users, keys), never for what must be remembered (revocations).
 */
export interface BoundedMap<V> {
  /** Also marks it as used. */
  get (key: string): V | undefined
  set (key: string, value: V): void
  delete (key: string): void
  clear (): void
  readonly size: number
}

/** Holds at least the `max / 2` used last. */
export function createBoundedMap<V> (max: number): BoundedMap<V> {
  // Two generations instead of a list: a get costs one lookup, and when the young one is full the old one is
  // dropped whole.
  const half = Math.max(1, Math.floor(max / 2))
  let young = new Map<string, V>()
  let old = new Map<string, V>()

  function set (key: string, value: V): void {
    if (!young.has(key) && young.size >= half) {
      old = young
      young = new Map()
    }
    young.set(key, value)
    old.delete(key)
  }

  return {
    get (key) {
      const value = young.get(key)
      if (value !== undefined) return value
      const older = old.get(key)
      if (older !== undefined) set(key, older)
      return older
    },
    set,
    delete (key) {
      young.delete(key)
      old.delete(key)
    },
    clear () {
      young.clear()
      old.clear()
    },
    get size () { return young.size + old.size }
  }
}
