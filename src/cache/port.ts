/** What a named cache offers to those who compute answers. */
import type { Entry } from './memory.ts'

/** What was computed, and how it may be kept. */
export interface Computed<V> {
  value: V
  /** What the value takes in memory. */
  bytes: number
  /** What it was read from: an invalidation of one of them is its end. At most 256, or it is not kept. */
  references: readonly string[]
  /** A day at most; 0: not kept. */
  freshForMs: number
  /** Beyond that, as an answer to an error: an hour at most. */
  staleForMs: number
  /** False for what is partial, degraded or an error: those who waited for it compute for themselves. */
  keep: boolean
  /** False for an error, which is no miss of the cache. */
  isAnswer: boolean
}

export interface Answer<V> {
  readonly status: 'HIT' | 'MISS' | 'STALE'
  readonly value: V
  /** Since its computation began. */
  readonly ageMs: number
  readonly freshForMs: number
}

export interface CacheStats {
  entries: number
  bytes: number
  bytesMax: number
  hits: number
  misses: number
  stale: number
  evictions: number
  /** Calls of `invalidate` and `clear`, here and in other processes. */
  invalidations: number
}

export interface Cache<V> {
  readonly name: string
  /** A fresh entry, at once. Whoever answers with it calls `countHit`. */
  peek (key: string): Entry<V> | undefined
  countHit (): void
  /**
   * The answer from memory, from the layer behind it, or computed: once for all who ask meanwhile. Counted.
   * @throws what `compute` throws, to all who waited for it
   */
  load (key: string, compute: () => Promise<Computed<V>>): Promise<Answer<V>>
  /** Something was made beside a held value; false: it is not counted, so let it go. */
  grow (key: string, value: V, bytes: number): boolean
  /**
   * After the write that changed them. Never rejects; 150 ms at most when Redis and a sibling are silent.
   * @param references more than 256, or more than 10,000 characters of them, clear the whole cache
   */
  invalidate (references: readonly string[]): Promise<void>
  clear (): Promise<void>
  stats (): CacheStats
  close (): void
}
