/**
 * A map of at most `max` entries: a new key beyond them pushes out the one that was set longest ago. Setting a key
 * again makes it the newest; reading does not, unless the reader says so (`use`). For what may be forgotten (caches,
 * tables of clients), never for what must be remembered (revocations).
 *
 * The oldest key is found by one iterator that lives from eviction to eviction: `keys().next()` at each would walk over
 * every hole that earlier evictions left at the front. An iterator that nobody asks keeps each table that the map has
 * outgrown since alive (164 MB after three million sets of 900 keys), so it is dropped after `max` sets without an
 * eviction; the next eviction begins at the front again.
 */
export class BoundedMap<K, V> extends Map<K, V> {
  readonly max: number
  #oldest: MapIterator<K> | null = null
  #setsSinceEviction = 0

  /** @param max entries, 1 or more */
  constructor (max: number) {
    super()
    this.max = max
  }

  override set (key: K, value: V): this {
    if (!this.delete(key) && this.size >= this.max) this.#evict()
    else this.#countSet()
    return super.set(key, value)
  }

  /** The value, whose entry is now the newest: eviction by use instead of by age. */
  use (key: K): V | undefined {
    const value = this.get(key)
    if (value === undefined) return undefined
    this.set(key, value)
    return value
  }

  /** Map's own would go around `set`, and so around the bound. */
  override getOrInsert (key: K, value: V): V {
    return this.getOrInsertComputed(key, () => value)
  }

  override getOrInsertComputed (key: K, compute: (key: K) => V): V {
    if (this.has(key)) return this.get(key)!
    const value = compute(key)
    this.set(key, value)
    return value
  }

  override clear (): void {
    super.clear()
    this.#oldest = null
  }

  #countSet (): void {
    if (this.#oldest === null || ++this.#setsSinceEviction <= this.max) return
    this.#oldest = null
    this.#setsSinceEviction = 0
  }

  #evict (): void {
    this.#setsSinceEviction = 0
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
