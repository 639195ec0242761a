/**
 * What a flood of the worst payloads does to others: 32 connections send 64 KiB each as fast as they are answered, beside
 * people with cached queries on connections of their own. Prints the people's p50 and p99 without and with the flood, the
 * event loop's delay and what the flood got through, in `ring` and in `inline` mode. No payload comes twice within the verdict cache.
 *
 *   node bench/flood.ts [--seconds 6] [--modes ring,inline]
 */
import { once } from 'node:events'
import { Agent, request } from 'node:http'
import { connect } from 'node:net'
import { Worker, isMainThread, parentPort, workerData } from 'node:worker_threads'
import { startServer } from '../test/server.ts'
import type { StartedServer } from '../test/server.ts'
import { machine } from './machine.ts'

const ATTACKERS = 32
const PEOPLE = 8
const PACE_MS = 8
const BODY_BYTES = 64 * 1024
/** More than the verdict cache holds. */
const PAYLOADS = 200
const AGENT = 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36'

interface Seen { p50: number, p99: number, failed: number, loopP99: number, floodPerSecond: number }

if (isMainThread) await main()
else await flood(workerData as { port: number })

async function main (): Promise<void> {
  const { seconds = '6', modes = 'ring,inline' } = Object.fromEntries(process.argv.slice(2).join(' ').split('--').filter(Boolean).map((part) => part.trim().split(' '))) as Record<string, string | undefined>
  console.log(`${machine()}; ${PEOPLE} people every ${PACE_MS} ms, ${ATTACKERS} connections of ${BODY_BYTES} bytes, ${seconds} s each`)
  console.log('mode     flood    p50 ms   p99 ms    ratio   loop delay p99 ms   flood/s   people failed')
  const teardowns: Array<() => unknown> = []
  const t = { teardown: (handler: () => unknown) => { teardowns.unshift(handler) } }
  for (const mode of modes.split(',')) {
    const server = await startServer(t, { env: { SCORING_MODE: mode, LOG_LEVEL: 'warn', RATE_LIMIT_STANDARD: '9999999/60/0', CHALLENGE_THRESHOLD: '100', BLOCK_THRESHOLD: '100' } })
    await measure(server, 2, false)
    const quiet = await measure(server, Number(seconds), false)
    show(mode, 'no', quiet, 1)
    const flooded = await measure(server, Number(seconds), true)
    show(mode, 'yes', flooded, flooded.p99 / quiet.p99)
    await server.stop()
  }
  for (const teardown of teardowns) await teardown()
}

function show (mode: string, flooded: string, { p50, p99, failed, loopP99, floodPerSecond }: Seen, ratio: number): void {
  const cells = [p50.toFixed(2).padStart(9), p99.toFixed(2).padStart(9), ratio.toFixed(1).padStart(9), loopP99.toFixed(1).padStart(20), floodPerSecond.toFixed(0).padStart(10), String(failed).padStart(16)]
  console.log(`${mode.padEnd(8)} ${flooded.padEnd(5)}${cells.join('')}`)
}

async function measure (server: StartedServer, seconds: number, flooded: boolean): Promise<Seen> {
  const attackers = flooded ? new Worker(new URL(import.meta.url), { workerData: { port: server.port } }) : null
  if (attackers !== null) await new Promise((resolve) => setTimeout(resolve, 1_000))
  // A scrape begins the figures of the event loop's delay anew.
  await loopDelay(server)
  attackers?.postMessage('count')
  const { latencies, failed } = await people(server, seconds)
  const loopP99 = await loopDelay(server)
  let answered = 0
  if (attackers !== null) {
    attackers.postMessage('end')
    const [count] = await once(attackers, 'message') as [number]
    answered = count
    await attackers.terminate()
  }
  latencies.sort((a, b) => a - b)
  const quantile = (q: number): number => latencies[Math.floor(latencies.length * q)] ?? NaN
  return { p50: quantile(0.5), p99: quantile(0.99), failed, loopP99, floodPerSecond: answered / seconds }
}

/** Each asks every PACE_MS, and again as soon as the answer is there when that took longer. */
async function people (server: StartedServer, seconds: number): Promise<{ latencies: number[], failed: number }> {
  const agent = new Agent({ keepAlive: true, maxSockets: PEOPLE })
  const body = JSON.stringify({ query: '{ threatCounts { category count } }' })
  const headers = { 'user-agent': AGENT, accept: 'application/json', 'accept-language': 'en', 'content-type': 'application/json', 'content-length': body.length }
  const latencies: number[] = []
  let failed = 0
  const endMs = performance.now() + seconds * 1000
  const ask = (): Promise<number> => new Promise((resolve, reject) => {
    request(`${server.url}/graphql`, { method: 'POST', agent, headers }, (reply) => reply.resume().on('end', () => resolve(reply.statusCode ?? 0))).on('error', reject).end(body)
  })
  await Promise.all(Array.from({ length: PEOPLE }, async () => {
    while (performance.now() < endMs) {
      const askedMs = performance.now()
      const status = await ask().catch(() => 0)
      const tookMs = performance.now() - askedMs
      latencies.push(tookMs)
      if (status !== 200) failed++
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, PACE_MS - tookMs)))
    }
  }))
  agent.destroy()
  return { latencies, failed }
}

/** p99 since the last scrape, ms. */
async function loopDelay (server: StartedServer): Promise<number> {
  const text = await (await fetch(`${server.metricsUrl}/metrics`)).text()
  return 1000 * Number(/^nodejs_eventloop_lag_p99_seconds(?:\{[^}]*\})? (\S+)/m.exec(text)?.[1] ?? NaN)
}

/** The worst that 64 KiB can be for a parser or a pattern, in turns. */
function payload (i: number): string {
  const fill = (unit: string, start = '', end = ''): string => start + unit.repeat(Math.ceil(BODY_BYTES / unit.length)).slice(0, BODY_BYTES - start.length - end.length - 8) + String(i).padStart(8, '0') + end
  const kinds = [
    () => fill('a', '{"a":"', '"}'),
    () => fill('[', '{"a":', ''),
    () => fill("'a'='a' or ", '{"a":"', '"}'),
    () => fill('%2525252527', 'a=', ''),
    () => fill('<script <', '{"a":"', '"}'),
    () => fill('((((a*)*)*)*', '{"a":"', '"}'),
    () => fill('{a{b', '{"query":"', '"}'),
    () => fill('JTI3b3IgMT0x', '{"a":"', '"}')
  ]
  return kinds[i % kinds.length]!()
}

/** The attackers' thread: raw sockets, so that sending costs little. */
async function flood ({ port }: { port: number }): Promise<void> {
  const messages = Array.from({ length: PAYLOADS }, (_, i) => {
    const body = payload(i)
    const type = body.startsWith('{') ? 'application/json' : 'application/x-www-form-urlencoded'
    return Buffer.from(`POST /graphql HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: ${AGENT}\r\nAccept: */*\r\nContent-Type: ${type}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`)
  })
  let next = 0
  let answered = 0
  let ended = false
  parentPort?.on('message', (message) => {
    if (message === 'count') answered = 0
    else {
      ended = true
      parentPort?.postMessage(answered)
    }
  })
  const attack = (): void => {
    if (ended) return
    const socket = connect(port, '127.0.0.1')
    const send = (): void => { socket.write(messages[next++ % PAYLOADS]!) }
    socket.on('connect', send)
    socket.on('data', (chunk) => {
      if (!chunk.includes('HTTP/1.1 ')) return
      answered++
      if (ended) socket.destroy()
      else send()
    })
    socket.on('error', () => {})
    socket.on('close', () => setTimeout(attack, 10))
  }
  for (let i = 0; i < ATTACKERS; i++) attack()
}
