/**
 * A map of at most `max` entries: a new key beyond them pushes out the one that was set longest ago. Setting a key
 * again makes it the newest; reading does not, unless the reader says so (`use`). For what may be forgotten (caches,
 * tables of clients), never for what must be remembered (revocations).
 *
 * The oldest key is found by one iterator that lives as long as the map. `keys().next()` at each eviction would walk
 * over every hole that earlier evictions left at the front.
 */
export class BoundedMap<K, V> extends Map<K, V> {
  readonly max: number
  #oldest: MapIterator<K> | null = null

  /** @param max entries, 1 or more */
  constructor (max: number) {
    super()
    this.max = max
  }

  override set (key: K, value: V): this {
    if (!this.delete(key) && this.size >= this.max) this.#evict()
    return super.set(key, value)
  }

  /** The value, whose entry is now the newest: eviction by use instead of by age. */
  use (key: K): V | undefined {
    const value = this.get(key)
    if (value === undefined) return undefined
    this.delete(key)
    super.set(key, value)
    return value
  }

  #evict (): void {
    for (let turn = 0; turn < 2; turn++) {
      this.#oldest ??= this.keys()
      const { value, done } = this.#oldest.next()
      if (done !== true) {
        this.delete(value)
        return
      }
      // The iterator has come to the end of what there was; the next one begins at the front.
      this.#oldest = null
    }
  }
}
