/** Tables and JSON of `bench/cached.ts`: what was measured, beside the bar it should keep. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { MEDIAN_MS_BAR, type Latency } from './cached-latency.ts'
import type { Bound, Memory } from './cached-memory.ts'
import { SAVED_BAR, type Mix } from './cached-mix.ts'
import { PACED_SHARE } from './loader.ts'
import type { machineFacts } from './machine.ts'

export interface Results { latencies: Latency[], mixes: Mix[], memory: Memory | null }
interface Facts { machine: ReturnType<typeof machineFacts>, options: object }

const MIB = 1_048_576
const TABLES_SHOWN = 3
const HELD = [
  ['heapUsed', 'heap'], ['arrayBuffers', 'buffers'], ['rss', 'process'], ['rssBefore', 'process, uncollected']
] as const

export function showLatencies (list: readonly Latency[], { connections }: { connections: number }): void {
  const share = `${PACED_SHARE * 100} % of the peak`
  console.log(`\ncached reads, ${connections} connections at ${share}, everything on, Redis joined`)
  console.log('from      bytes    peak/s   req/s   p50 ms   p99 ms  server  others  Redis hits  DB reads   bar')
  for (const { way, bodyBytes, peak, perSecond, p50, p99, ...rest } of list) {
    const cells = [
      String(bodyBytes).padStart(8),
      peak.toFixed(0).padStart(10),
      perSecond.toFixed(0).padStart(8),
      p50.toFixed(3).padStart(9),
      p99.toFixed(2).padStart(9),
      rest.serverBusy.toFixed(2).padStart(8),
      rest.foreignBusy.toFixed(2).padStart(8),
      rest.redisHits.toFixed(2).padStart(12),
      rest.reads.toFixed(3).padStart(10),
      `   median < ${MEDIAN_MS_BAR} ms: ${kept(p50 < MEDIAN_MS_BAR)}`
    ]
    console.log(way.padEnd(7) + cells.join(''))
  }
}

export function showMixes (list: readonly Mix[]): void {
  console.log('\n80 % cached reads, 15 % uncached reads, 5 % mutations: database reads per 1,000 requests')
  console.log('mutations of  connections  cache on  cache off  documents   saved  hits of cached   bar')
  for (const { mutation, connections, on, off, saved } of list) {
    const { requests = 0, cached = {} } = on.byKind['cached'] ?? {}
    const cells = [
      String(connections).padStart(11),
      on.reads.toFixed(0).padStart(10),
      off.reads.toFixed(0).padStart(11),
      on.documents.toFixed(0).padStart(11),
      percent(saved).padStart(8),
      percent((cached['HIT'] ?? 0) / requests).padStart(16),
      `   at least ${percent(SAVED_BAR)}: ${kept(saved >= SAVED_BAR)}`
    ]
    console.log(mutation.padEnd(14) + cells.join(''))
  }
  for (const { mutation, connections, on, off } of list) {
    for (const [name, side] of [['on', on], ['off', off]] as const) {
      const alone = Object.entries(side.alone).map(([kind, reads]) => `${kind} ${reads.toFixed(1)}`)
      const tables = Object.entries(side.readsByTable).slice(0, TABLES_SHOWN)
        .map(([table, reads]) => `${table} ${reads.toFixed(1)}`)
      console.log(
        `${mutation}, ${connections}, ${name}: ${side.requests} requests, ${side.perSecond.toFixed(0)}/s; ` +
        `reads of one alone: ${alone.join(', ')}; by table: ${tables.join(', ')}`
      )
    }
  }
}

export function showMemory ({ clients, answers, fresh, full, cache, bounds }: Memory): void {
  const held = `${answers} kept answers of ${mib(cache.bytes)} MiB`
  console.log(`\nmemory after ${clients} clients and with ${held}; MiB after a collection`)
  console.log('                             fresh      full     grown')
  for (const [key, name] of HELD) {
    const cells = [fresh[key], full[key], full[key] - fresh[key]].map((bytes) => mib(bytes).padStart(10))
    console.log(name.padEnd(24) + cells.join(''))
  }
  console.log('may hold at most, by the sources')
  for (const { part, place, bytes, source } of bounds) {
    console.log(`  ${part.padEnd(36)}${mib(bytes).padStart(8)}  ${place.padEnd(8)} ${source}`)
  }
  const heap = sumOf(bounds, 'heap')
  const buffers = sumOf(bounds, 'buffers')
  const grown = full.heapUsed - fresh.heapUsed
  const grownRss = full.rss - fresh.rss
  const all = heap + buffers + sumOf(bounds, 'beside')
  console.log(`  heap: ${mib(heap)} together, grown by ${mib(grown)}: ${kept(grown <= heap)}`)
  console.log(`  buffers: ${mib(buffers)} together, reserved ${mib(full.arrayBuffers)}`)
  console.log(`  process: ${mib(all)} together, grown by ${mib(grownRss)}: ${kept(grownRss <= all)}`)
}

/** Whether there was any answer that should not be. */
export function showUnexpected ({ latencies, mixes, memory }: Results): boolean {
  const all = [...latencies, ...mixes, ...(memory === null ? [] : [memory])].map(({ unexpected }) => unexpected)
  const wrong = all.filter((unexpected) => Object.keys(unexpected).length > 0)
  for (const unexpected of wrong) console.log(`answers that should not be: ${JSON.stringify(unexpected)}`)
  return wrong.length > 0
}

export function writeJson (file: string, results: Facts & Results): void {
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, JSON.stringify(results, null, 2) + '\n')
}

function sumOf (bounds: readonly Bound[], wanted: Bound['place']): number {
  return bounds.reduce((sum, { place, bytes }) => sum + (place === wanted ? bytes : 0), 0)
}

function kept (isKept: boolean): string {
  return isKept ? 'kept' : 'MISSED'
}

function percent (share: number): string {
  return `${(100 * share).toFixed(1)} %`
}

function mib (bytes: number): string {
  return (bytes / MIB).toFixed(1)
}
