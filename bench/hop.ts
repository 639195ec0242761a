/**
 * What one score costs the main thread, by mode and by how many are in flight: CPU microseconds per request including
 * the making of the observation (history and all), the threads' CPU apart, and the latency that the hop adds.
 * Real requests of the DEV corpus when `../shared/corpora` is there, else made-up ones.
 * Modes and concurrencies take turns, and each figure is the median of its rounds: on a shared machine the same work costs
 * twice as much from one second to the next, and `of inline` (the ring's main-thread time by inline's of the same round) is what holds still.
 *
 *   node bench/hop.ts [--seconds 0.5] [--rounds 5] [--modes inline,ring] [--in-flight 1,64] [--hop no]
 */
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { gunzipSync } from 'node:zlib'
import { createHistory } from '../src/clients/history.ts'
import { createPolicy } from '../src/detect/policy.ts'
import { createScoringPool } from '../src/threads/pool.ts'
import { systemClock } from '../src/std/clock.ts'
import { createReceiptIds } from '../src/std/id.ts'
import { machine } from './machine.ts'
import type { ScoringPool } from '../src/threads/pool.ts'
import type { PoolMode } from '../src/threads/shapes.ts'
import type { Observation } from '../src/detect/shapes.ts'

interface Wire { method: string, url: string, headers: string[], body: Buffer | null, address: string }

const options = Object.fromEntries(process.argv.slice(2).join(' ').split('--').filter(Boolean).map((part) => part.trim().split(' '))) as Record<string, string | undefined>
const SECONDS = Number(options['seconds'] ?? 0.5)
const ROUNDS = Number(options['rounds'] ?? 5)
const MODES = (options['modes'] ?? 'inline,ring').split(',') as PoolMode[]
const IN_FLIGHT = (options['in-flight'] ?? '1,64').split(',').map(Number)
const REQUESTS_MAX = 4_000
const CLIENTS = 500

const requests = readRequests()
const policy = createPolicy({ sensitivity: 2, challengeThreshold: 40, blockThreshold: 75 })
const silent = { warn () {} }

console.log(`${machine()}; ${requests.length} requests, ${ROUNDS} rounds of ${SECONDS} s`)
console.log('mode    in flight   main us/req   of inline   of it making   threads us/req    req/s     p50 ms     p99 ms   degraded')
await measure(MODES)
if (options['hop'] !== 'no') {
  console.log('the hop alone: a thread that gives one and the same score')
  await measure(MODES.filter((mode) => mode !== 'inline'), new URL('./hop-worker.ts', import.meta.url))
}

/** What one round of a mode and a concurrency came to. */
interface Row { main: number, ofInline: number, making: number, threads: number, perSecond: number, p50: number, p99: number, degraded: number }

async function measure (modes: PoolMode[], workerUrl?: URL): Promise<void> {
  const pools = modes.map((mode) => createScoringPool({ mode, threads: 1, policy, clock: systemClock, log: silent, workerUrl }))
  await Promise.all(pools.map((pool) => pool.ready(5_000)))
  const rows = new Map<string, Row[]>()
  // The first round compiles.
  for (let round = -1; round < ROUNDS; round++) {
    const making = measureMaking()
    for (const inFlight of IN_FLIGHT) {
      let inline = NaN
      for (const pool of pools) {
        const row = rowOf(await play(pool, inFlight, SECONDS), making)
        if (pool.mode === 'inline') inline = row.main
        row.ofInline = row.main / inline
        const key = `${pool.mode.padEnd(8)}${String(inFlight).padStart(9)}`
        if (round >= 0) rows.set(key, [...rows.get(key) ?? [], row])
      }
    }
  }
  await Promise.all(pools.map((pool) => pool.close()))
  for (const [key, list] of rows) show(key, list)
}

function rowOf ({ done, seconds, mainUs, processUs, latencies, degraded }: Played, making: number): Row {
  latencies.sort()
  const quantile = (q: number): number => latencies[Math.floor(latencies.length * q)] as number
  return { main: mainUs / done, ofInline: NaN, making, threads: Math.max(0, processUs - mainUs) / done, perSecond: done / seconds, p50: quantile(0.5), p99: quantile(0.99), degraded }
}

function show (key: string, rows: Row[]): void {
  const median = (of: (row: Row) => number): number => rows.map(of).sort((a, b) => a - b)[rows.length >> 1] as number
  const cells = [
    median((row) => row.main).toFixed(2).padStart(14), shareOf(median((row) => row.ofInline)).padStart(12), median((row) => row.making).toFixed(2).padStart(15),
    median((row) => row.threads).toFixed(2).padStart(17), median((row) => row.perSecond).toFixed(0).padStart(9), median((row) => row.p50).toFixed(3).padStart(11),
    median((row) => row.p99).toFixed(3).padStart(11), String(rows.reduce((sum, row) => sum + row.degraded, 0)).padStart(11)
  ]
  console.log(key + cells.join(''))
}

/** Without inline in the same run there is nothing to compare with. */
function shareOf (ofInline: number): string {
  return Number.isNaN(ofInline) ? '-' : ofInline.toFixed(3)
}

interface Played { done: number, seconds: number, mainUs: number, processUs: number, latencies: Float64Array, degraded: number }

/** `inFlight` clients, each asking again as soon as it has its answer. */
async function play (pool: ScoringPool, inFlight: number, seconds: number): Promise<Played> {
  const make = createMaker()
  const latencies = new Float64Array(1_000_000)
  let done = 0
  let degraded = 0
  const startedMs = performance.now()
  const endMs = startedMs + seconds * 1000
  const main = process.threadCpuUsage()
  const all = process.cpuUsage()

  async function client (): Promise<void> {
    for (;;) {
      const askedMs = performance.now()
      if (askedMs > endMs) return
      const score = await pool.score(make())
      latencies[done++ % latencies.length] = performance.now() - askedMs
      if (score.degraded) degraded++
      // Inline answers without leaving this turn of the loop; a server would take the next request from its socket.
      if (pool.mode === 'inline' && done % 64 === 0) await new Promise(setImmediate)
    }
  }
  await Promise.all(Array.from({ length: inFlight }, client))

  const mainUsage = process.threadCpuUsage(main)
  const usage = process.cpuUsage(all)
  return {
    done,
    degraded,
    seconds: (performance.now() - startedMs) / 1000,
    mainUs: mainUsage.user + mainUsage.system,
    processUs: usage.user + usage.system,
    latencies: latencies.subarray(0, Math.min(done, latencies.length))
  }
}

/** Microseconds for the observation alone. */
function measureMaking (): number {
  const make = createMaker()
  for (let i = 0; i < 5_000; i++) make()
  const before = process.threadCpuUsage()
  for (let i = 0; i < 30_000; i++) make()
  const used = process.threadCpuUsage(before)
  return (used.user + used.system) / 30_000
}

function createMaker (): () => Observation {
  const history = createHistory({ clock: systemClock })
  const newId = createReceiptIds('benchbenchbe')
  let count = 0
  return () => {
    const wire = requests[count++ % requests.length] as Wire
    const observation: Observation = {
      id: newId(), at: systemClock.now(), client: 'ip:' + wire.address, method: wire.method, url: wire.url, headers: wire.headers, body: wire.body, route: null, history: null
    }
    observation.history = history.observe(observation, { address: wire.address, limit: { limit: 100, remaining: 80 } })
    return observation
  }
}

function readRequests (): Wire[] {
  const file = fileURLToPath(new URL('../../shared/corpora/dev-benign.jsonl.gz', import.meta.url))
  const address = (i: number): string => `198.51.${(i % CLIENTS) >> 8}.${(i % CLIENTS) & 255}`
  if (!existsSync(file)) {
    return Array.from({ length: REQUESTS_MAX }, (_, i) => ({ method: 'GET', url: `/catalog/${i}?page=${i % 7}`, headers: ['Host', 'shop.example', 'User-Agent', 'Mozilla/5.0', 'Accept', '*/*'], body: null, address: address(i) }))
  }
  const lines = gunzipSync(readFileSync(file)).toString().trim().split('\n')
  const step = Math.max(1, Math.floor(lines.length / REQUESTS_MAX))
  return lines.filter((_, i) => i % step === 0).map((line, i) => {
    const { request } = JSON.parse(line) as { request: { method: string, url: string, headers: Record<string, string>, body?: string, body_b64?: string } }
    const body = request.body_b64 === undefined ? (request.body ? Buffer.from(request.body) : null) : Buffer.from(request.body_b64, 'base64')
    return { method: request.method, url: request.url, headers: Object.entries(request.headers).flat(), body, address: address(i) }
  })
}
