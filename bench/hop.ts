/**
 * What one score costs the main thread, by mode and by how many are in flight: CPU microseconds per request including
 * the making of the observation (history and all), the threads' CPU apart, and the latency that the hop adds.
 * Real requests of the DEV corpus when `../shared/corpora` is there, else made-up ones.
 *
 *   node bench/hop.ts [seconds per row]
 */
import { existsSync, readFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { fileURLToPath } from 'node:url'
import { gunzipSync } from 'node:zlib'
import { createHistory } from '../src/scoring/history.ts'
import { createPolicy } from '../src/scoring/policy.ts'
import { createScoringPool } from '../src/scoring/pool.ts'
import { systemClock } from '../src/std/clock.ts'
import { createReceiptIds } from '../src/std/id.ts'
import type { PoolMode, ScoringPool } from '../src/scoring/pool.ts'
import type { Observation } from '../src/scoring/shapes.ts'

interface Wire { method: string, url: string, headers: string[], body: Buffer | null, address: string }

const SECONDS = Number(process.argv[2] ?? 1.5)
const REQUESTS_MAX = 4_000
const CLIENTS = 500

const requests = readRequests()
const policy = createPolicy({ sensitivity: 2, challengeThreshold: 40, blockThreshold: 75 })
const silent = { warn () {} }

console.log(`node ${process.version}, ${cpus().length} cores, ${requests.length} requests, ${SECONDS} s per row`)
console.log('mode    in flight   main us/req   of it making   threads us/req    req/s     p50 ms     p99 ms   degraded')
const makingUs = measureMaking()
for (const mode of ['inline', 'batch', 'ring'] as const) {
  for (const inFlight of [1, 64]) await measure(mode, inFlight)
}
console.log('the hop alone: a thread that gives one and the same score')
for (const mode of ['batch', 'ring'] as const) {
  for (const inFlight of [1, 64]) await measure(mode, inFlight, new URL('./hop-worker.ts', import.meta.url))
}

async function measure (mode: PoolMode, inFlight: number, workerUrl?: URL): Promise<void> {
  const pool = createScoringPool({ mode, threads: 1, policy, clock: systemClock, log: silent, workerUrl })
  await pool.ready(5_000)
  await play(pool, inFlight, SECONDS / 2)
  const { done, seconds, mainUs, processUs, latencies, degraded } = await play(pool, inFlight, SECONDS)
  await pool.close()
  latencies.sort()
  const cells = [mainUs / done, makingUs, Math.max(0, processUs - mainUs) / done].map((us) => us.toFixed(2).padStart(14))
  const quantile = (q: number): string => (latencies[Math.floor(latencies.length * q)] as number).toFixed(3).padStart(10)
  console.log(`${mode.padEnd(8)}${String(inFlight).padStart(9)}${cells.join('')}${(done / seconds).toFixed(0).padStart(11)} ${quantile(0.5)} ${quantile(0.99)} ${String(degraded).padStart(10)}`)
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
  for (let i = 0; i < 50_000; i++) make()
  const before = process.threadCpuUsage()
  for (let i = 0; i < 100_000; i++) make()
  const used = process.threadCpuUsage(before)
  return (used.user + used.system) / 100_000
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
