/**
 * How fast is a cached read with everything on (a line of each request, receipts, limits, scoring) and with a Redis
 * that joins processes? At a share of the server's own peak, in two ways:
 *
 * `memory`: the same small answer each time, as most cached reads are. Memory stands in front of Redis and gives it.
 * `redis`: answers that only Redis still holds, since memory has let go of them: pages of some 7 KiB, asked for in
 * turn, of which there are more than memory's bound takes. Each costs two exchanges with Redis, the way of its bytes
 * and their check. That it was so is shown: Redis counts what it found, and the driver no read of the database.
 */
import { Redis } from 'ioredis'
import { startRedis } from '../test/services/redis.ts'
import { readsIn, startProbed, type ProbedServer } from './cached-server.ts'
import { PACED_SHARE, type Loader } from './loader.ts'
import { ask } from './price-servers.ts'
import { COUNTS, LOADS, post } from './price-steps.ts'
import { cpuBetween, machineBusyUs, readCpu } from './process-cpu.ts'
import { COUNTER, type RawLoad, type RawResult } from './raw-load.ts'

type Way = 'memory' | 'redis'

export interface Latency {
  way: Way
  /** Of one answer's body. */
  bodyBytes: number
  /** Requests a second: the most, and at which it was paced. Medians of the rounds, as all that follows. */
  peak: number
  perSecond: number
  /** Milliseconds, paced. */
  p50: number
  p99: number
  /** Of a core, while it was paced: what the server took, and whatever else runs here. */
  serverBusy: number
  foreignBusy: number
  /** Per request, while it was paced. */
  redisHits: number
  reads: number
  rounds: Round[]
  unexpected: Record<string, number>
}

type Round = Pick<Latency, 'peak' | 'perSecond' | 'p50' | 'p99' | 'serverBusy' | 'foreignBusy' | 'redisHits' | 'reads'>

export const MEDIAN_MS_BAR = 2

const WARM_SECONDS = 3
/** 88 MB, where memory holds 64 MiB: a page is gone from there before it is asked for again. */
const PAGES = 12_000
/** Of one run: the next begins behind them. */
const PAGES_AT_ONCE = 3_000
const PAGE_ACTORS = 2
/** Of those that were imported: others are described in a line. */
const PAGES_QUERY = `query {
  threatActors(search: "Measured Group", first: ${PAGE_ACTORS}) { nodes { id name description } }
}`
const FILL_SECONDS_MAX = 60

interface LatencyOptions { directory: string, loader: Loader, seconds: number, rounds: number, connections: number }

/** One server, and how it is asked. */
interface Asked {
  server: ProbedServer
  redis: Redis
  redisPid: number
  unexpected: Record<string, number>
  run (load: Pick<RawLoad, 'rate' | 'seconds'>): Promise<RawResult>
}

export async function measureLatencies (options: LatencyOptions): Promise<Latency[]> {
  const teardowns: Array<() => unknown> = []
  const t = { teardown: (handler: () => unknown) => { teardowns.unshift(handler) } }
  try {
    const { url } = await startRedis(t)
    const redis = new Redis(url)
    t.teardown(() => { redis.disconnect() })
    const server = await startProbed(options.directory, { REDIS_URL: url })
    t.teardown(() => server.stop())
    const memory = await measureWay('memory', options, { server, redis })
    return [memory, await measureWay('redis', options, { server, redis })]
  } finally {
    for (const teardown of teardowns) await teardown()
  }
}

async function measureWay (
  way: Way,
  { loader, seconds, rounds, connections }: LatencyOptions,
  { server, redis }: Pick<Asked, 'server' | 'redis'>
): Promise<Latency> {
  const { status: _, ...load } = way === 'memory' ? LOADS.counts : pages()
  const unexpected: Record<string, number> = {}
  let next = 0

  async function runPart (part: Pick<RawLoad, 'rate' | 'seconds' | 'requestsMax'>): Promise<RawResult> {
    const result = await loader.run({ ...load, ...part, port: server.port, connections, firstClient: next })
    const { 200: _, ...others } = result.statuses
    for (const [what, times] of Object.entries({ ...others, lost: result.lost })) {
      if (times > 0) unexpected[what] = (unexpected[what] ?? 0) + times
    }
    next += result.requests
    return result
  }

  /** Pages are asked for in turn, so that memory, which lets go of the oldest, never holds the next. */
  function run (part: Pick<RawLoad, 'rate' | 'seconds'>): Promise<RawResult> {
    if (way === 'redis' && next + PAGES_AT_ONCE > PAGES) next = 0
    return runPart({ ...part, requestsMax: way === 'redis' ? PAGES_AT_ONCE : null })
  }

  if (way === 'redis') await runPart({ rate: null, seconds: FILL_SECONDS_MAX, requestsMax: PAGES })
  const asked: Asked = { server, redis, redisPid: await pidOf(redis), unexpected, run }
  await run({ rate: null, seconds: WARM_SECONDS })
  const played: Round[] = []
  for (let round = 0; round < rounds; round++) played.push(await playRound(asked, seconds))
  return { way, bodyBytes: await bodyBytes(server, way), ...mediansOf(played), rounds: played, unexpected }
}

async function playRound (asked: Asked, seconds: number): Promise<Round> {
  const peak = await asked.run({ rate: null, seconds })
  const before = await readAll(asked)
  const paced = await asked.run({ rate: PACED_SHARE * peak.requests / peak.seconds, seconds })
  const after = await readAll(asked)
  const us = (after.ms - before.ms) * 1000
  const serverUs = cpuBetween(before.server, after.server).processUs
  const ownUs = serverUs + paced.busy * paced.seconds * 1e6 + cpuBetween(before.redis, after.redis).processUs
  return {
    peak: peak.requests / peak.seconds,
    perSecond: paced.requests / paced.seconds,
    p50: paced.p50,
    p99: paced.p99,
    serverBusy: serverUs / us,
    foreignBusy: Math.max(0, after.machineUs - before.machineUs - ownUs) / us,
    redisHits: (after.redisHits - before.redisHits) / paced.requests,
    reads: (after.reads - before.reads) / paced.requests
  }
}

/** The probe first: what it takes of the server's time is none of the load's. */
async function readAll ({ server, redis, redisPid }: Asked) {
  const reads = readsIn(await server.read())
  const redisHits = Number(/^keyspace_hits:(\d+)/m.exec(await redis.info('stats'))?.[1])
  const { user, system } = process.cpuUsage()
  return {
    reads,
    redisHits,
    ms: performance.now(),
    server: readCpu(server.pid),
    redis: readCpu(redisPid),
    // What this process takes, to read what the server logs, is nobody else's.
    machineUs: machineBusyUs() - user - system
  }
}

async function pidOf (redis: Redis): Promise<number> {
  return Number(/^process_id:(\d+)/m.exec(await redis.info('server'))?.[1])
}

function pages () {
  // A variable that the document does not declare changes nothing but the name of the answer.
  return post(PAGES_QUERY, { variables: { page: COUNTER } })
}

async function bodyBytes ({ port }: ProbedServer, way: Way): Promise<number> {
  const data = await ask(port, way === 'memory' ? COUNTS : PAGES_QUERY)
  return Buffer.byteLength(JSON.stringify({ data }))
}

function mediansOf (rounds: Round[]): Round {
  const keys = Object.keys(rounds[0]!) as Array<keyof Round>
  const middle = (key: keyof Round): number =>
    rounds.map((round) => round[key]).sort((a, b) => a - b)[rounds.length >> 1] as number
  return Object.fromEntries(keys.map((key) => [key, middle(key)])) as unknown as Round
}
