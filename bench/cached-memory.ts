/**
 * What does a server hold when many clients were there and many answers are kept, above what it held when it was
 * fresh? Beside it stands what the sources say that each part may hold at most, so that a part that outgrows its bound,
 * or one that nobody bounded, shows.
 */
import { pageBehind, play, unexpectedOf } from './cached-requests.ts'
import { startProbed, type CacheStats, type ProbedServer } from './cached-server.ts'
import { CLIENT_STRIDE, PRINT_STRIDE } from '../src/clients/record.ts'
import type { Loader } from './loader.ts'
import { LOADS } from './price-steps.ts'

export interface Memory {
  clients: number
  answers: number
  fresh: Held
  full: Held
  cache: CacheStats
  bounds: Bound[]
  unexpected: Record<string, number>
}

/** Bytes: after a full collection, but for `rssBefore`, in which there is what V8 keeps for garbage to come. */
type Held = NodeJS.MemoryUsage & { rssBefore: number }

/**
 * `heap`: objects of the main thread. `buffers`: memory outside the heap, reserved at the start and touched as it is
 * used. `beside`: what only the process as a whole shows.
 */
export interface Bound { part: string, place: 'heap' | 'buffers' | 'beside', bytes: number, source: string }

const MIB = 1_048_576
const SECONDS_MAX = 90
/** Of the last moment's garbage: a write behind and a line behind are over. */
const QUIET_MS = 1_000

/** As they are written in the sources; the cache says its own. */
const boundsOf = ({ bytesMax }: CacheStats): Bound[] => [
  { part: 'kept answers', place: 'heap', bytes: bytesMax, source: 'src/cache/cache.ts' },
  { part: 'actors that were shown', place: 'heap', bytes: 32 * MIB, source: 'src/intel/shown-actors.ts' },
  { part: 'requests of answers', place: 'heap', bytes: 6 * MIB, source: 'src/transports/graphql/early-answers.ts' },
  { part: 'documents read for their policy', place: 'heap', bytes: 4 * MIB, source: 'src/schema/answer-policy.ts' },
  { part: 'persisted', place: 'heap', bytes: 8 * MIB, source: 'src/transports/graphql/persisted-queries.ts' },
  { part: 'invalidations lately', place: 'heap', bytes: 1 * MIB, source: 'src/cache/invalidation-log.ts' },
  { part: 'results of known requests', place: 'heap', bytes: 8 * MIB, source: 'src/threads/known-requests.ts' },
  {
    part: 'history of clients',
    place: 'buffers',
    bytes: 65_536 * (CLIENT_STRIDE * 4 + 8) + 8_192 * (PRINT_STRIDE * 4 + 8),
    source: 'src/clients/history.ts'
  },
  { part: 'counts of limits', place: 'buffers', bytes: 131_072 * 109, source: 'src/limits/counters.ts' },
  { part: 'recent receipts', place: 'buffers', bytes: 32 * MIB, source: 'src/receipts/recent-receipts.ts' },
  { part: 'objects of the scoring thread', place: 'beside', bytes: 96 * MIB, source: 'src/threads/start-thread.ts' },
  { part: "SQLite's two caches", place: 'beside', bytes: 2 * 16_000 * 1024, source: 'src/storage/sqlite-file.ts' }
]

interface MemoryOptions { directory: string, loader: Loader, connections: number, clients: number, answers: number }

export async function measureMemory (options: MemoryOptions): Promise<Memory> {
  const { directory, loader, connections, clients, answers } = options
  const server = await startProbed(directory)
  const { port, actors } = server
  try {
    const fresh = await heldBy(server)
    const pages = await play({
      port,
      connections,
      requestsMax: answers,
      secondsMax: SECONDS_MAX,
      firstClient: 0,
      request: (i) => ({
        kind: 'page', token: null, body: pageBehind(actors[i % (actors.length - 20)]!, 1 + i % 20, i)
      })
    })
    const { status: _, ...load } = LOADS.counts
    const { requests, statuses: { 200: __, ...others }, lost } = await loader.run({
      ...load, port, connections, firstClient: 0, rate: null, seconds: SECONDS_MAX, requestsMax: clients
    })
    await new Promise((resolve) => setTimeout(resolve, QUIET_MS))
    const cache = await server.cacheStats()
    const full = await heldBy(server)
    return {
      clients: requests + pages.requests,
      answers: cache.entries,
      fresh,
      full,
      cache,
      bounds: boundsOf(cache),
      unexpected: { ...unexpectedOf(pages), ...others, ...(lost > 0 ? { lost } : {}) }
    }
  } finally {
    await server.stop()
  }
}

async function heldBy (server: ProbedServer): Promise<Held> {
  const { memory, rssBytesBefore } = await server.readCollected()
  return { ...memory, rssBefore: rssBytesBefore }
}
