/**
 * The named caches of one process, for those who look at or empty them by name.
 *
 * Owns: which there are, their common connection to Redis, and their figures for Prometheus. Never does: read or write
 * an entry. In: a name and what makes bytes of its values; out: the cache.
 */
import type { Fleet } from '../fleet/port.ts'
import type { Clock } from '../std/clock.ts'
import type { Logger } from '../telemetry/logger.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { followedSeries } from '../telemetry/tallies.ts'
import { createCache } from './cache.ts'
import type { Cache, CacheStats } from './port.ts'
import { createRedisLayer, type Codec } from './redis-layer.ts'
import type { RedisLink } from './redis-link.ts'

export interface Caches {
  /** Opened once each, while the process starts. */
  open<V> (options: OpenOptions<V>): Cache<V>
  stats (): Array<CacheStats & { name: string }>
  /** Ends what hangs on one of these references, in all of them and everywhere; null: all. As cache.ts has it. */
  forget (references: readonly string[] | null): Promise<void>
  /**
   * Empties one, or all of them, everywhere.
   * @returns the names of those that were emptied: none when there is none of that name
   */
  clear (name?: string): Promise<string[]>
  close (): void
}

interface OpenOptions<V> {
  /** A word of ours: a label of metrics, a part of keys and topics. */
  name: string
  codec: Codec<V>
  /** Whether an entry past its freshness may answer for an error now. */
  staleAllowed (): boolean
  /** Default 64 MiB. */
  bytesMax?: number
}

interface CachesOptions {
  clock: Clock
  fleet: Fleet
  log: Pick<Logger, 'info' | 'warn'>
  metrics: Pick<Metrics, 'cacheRequestsTotal'>
  /** null: each process caches alone. */
  link: RedisLink | null
  /** Caches that share a Redis but not a database never meet. */
  database: string
}

const RESULTS = ['hits', 'misses', 'stale'] as const
const LABELS = { hits: 'hit', misses: 'miss', stale: 'stale' } as const

export function createCaches ({ clock, fleet, log, metrics, link, database }: CachesOptions): Caches {
  const caches = new Map<string, Cache<unknown>>()

  return {
    open<V> ({ name, codec, ...options }: OpenOptions<V>) {
      if (caches.has(name)) throw new Error(`the cache ${name} is open already`)
      const layer = link === null ? null : createRedisLayer<V>({ link, database, name, codec, clock, log })
      const cache = createCache<V>({ name, clock, fleet, layer, ...options })
      caches.set(name, cache as Cache<unknown>)
      for (const counted of RESULTS) {
        const labels = { cache: name, result: LABELS[counted] }
        followedSeries(metrics.cacheRequestsTotal, labels, () => cache.stats()[counted])
      }
      return cache
    },
    stats: () => [...caches.values()].map((cache) => ({ name: cache.name, ...cache.stats() })),
    async forget (references) {
      const forgetting = [...caches.values()].map((cache) =>
        references === null ? cache.clear() : cache.invalidate(references))
      await Promise.all(forgetting)
    },
    async clear (name) {
      const chosen = [...caches.values()].filter((cache) => name === undefined || cache.name === name)
      await Promise.all(chosen.map((cache) => cache.clear()))
      return chosen.map((cache) => cache.name)
    },
    close () {
      for (const cache of caches.values()) cache.close()
      link?.close()
    }
  }
}
