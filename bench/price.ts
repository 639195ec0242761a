/**
 * What does each part of the protection cost per request? Microseconds of CPU, all threads of the server, divided by
 * the requests it answered: from `node:http` over Fastify and bare mercurius to NEKO in several configurations, beside
 * rivals of the same schema and data. Each step is a server process of its own; all servers share one core and the load
 * has another. Requests per second move by a factor of two on shared machines; this does not, and rounds are
 * interleaved, so that a busy moment falls on all steps alike. The first round warms up and is not counted.
 *
 *   npm run bench:price -- [--rounds 5] [--seconds 3] [--steps http,neko] [--connections 64] [--latency yes]
 *     [--rivals no] [--json file] [--quick]
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { isDeepStrictEqual } from 'node:util'
import { machine, machineFacts } from './machine.ts'
import { ask, blockAddress, isPinned, leaveServersCore, spawnOn, startServer, writeFacts, type Places, type Running } from './price-servers.ts'
import { ACTORS, COMPARED_WITH, COUNTS, LOADS, STEPS, type Step } from './price-steps.ts'
import { cpuBetween, readCpu } from './process-cpu.ts'
import type { RawLoad, RawResult } from './raw-load.ts'

interface Round {
  /** Microseconds of CPU per request: of all threads, and of the main one. */
  cpuUs: number
  mainUs: number
  perSecond: number
  /** Shares of their cores that the server and the load took. */
  serverBusy: number
  loadBusy: number
  /** Milliseconds, at as many requests as it can answer. */
  p50: number
  p99: number
  unexpected: number
}

interface Measured { step: Step, server: Running, rounds: Round[] }

const options = Object.fromEntries(process.argv.slice(2).join(' ').split('--').filter(Boolean).map((part) => part.trim().split(' '))) as Record<string, string | undefined>
const isQuick = 'quick' in options
const ROUNDS = Number(options['rounds'] ?? (isQuick ? 2 : 5))
const SECONDS = Number(options['seconds'] ?? (isQuick ? 1 : 3))
const CONNECTIONS = Number(options['connections'] ?? 64)
const RESULTS = options['json'] ?? fileURLToPath(new URL('./results/price.json', import.meta.url))

leaveServersCore()
const directory = mkdtempSync(join(tmpdir(), 'neko-price-'))
process.once('exit', () => { rmSync(directory, { recursive: true, force: true, maxRetries: 5 }) })
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => { process.exit(1) })
const places: Places = { directory, factsFile: join(directory, 'facts.json'), answerFile: join(directory, 'answer.json') }

console.log(`${machine()}; ${ROUNDS} rounds of ${SECONDS} s, ${CONNECTIONS} connections${isPinned ? '' : '; nothing is pinned to a core here'}`)
const steps = chooseSteps()
const expected = await writeFacts(places)
const measured: Measured[] = []
for (const step of steps) measured.push({ step, server: await startStep(step), rounds: [] })
let clients = 0
for (let round = 0; round <= ROUNDS; round++) {
  // Each goes first as often: a machine that gets busier must favour none.
  for (const one of round % 2 === 0 ? measured : measured.toReversed()) {
    const result = await play(one)
    if (round > 0) one.rounds.push(result)
  }
}
show(measured)
write(measured)
for (const { server } of measured) await server.stop()
process.exitCode = measured.some(({ rounds }) => rounds.some(({ unexpected }) => unexpected > 0)) ? 1 : 0

function chooseSteps (): readonly Step[] {
  const names = options['steps']?.split(',')
  const unknown = names?.filter((name) => !STEPS.some((step) => step.name === name)) ?? []
  if (unknown.length > 0) throw new Error(`no such step: ${unknown.join(', ')} (there are ${STEPS.map(({ name }) => name).join(', ')})`)
  return STEPS.filter(({ name }) => names?.includes(name) ?? true)
}

/** @throws when it answers anything but what NEKO answers: such figures would compare nothing. */
async function startStep (step: Step): Promise<Running> {
  const server = await startServer(step.server, places)
  if (step.load === 'blocked') await blockAddress(server.port)
  const questions = step.server.kind === 'baseline' ? [[COUNTS, expected.counts] as const] : [[COUNTS, expected.counts] as const, [ACTORS, expected.actors] as const]
  for (const [query, answer] of questions) {
    const data = await ask(server.port, query)
    if (!isDeepStrictEqual(data, answer)) throw new Error(`${step.name} answers ${query} with ${JSON.stringify(data)} and not with ${JSON.stringify(answer)}`)
  }
  return server
}

async function play ({ step, server }: Measured): Promise<Round> {
  const { status, ...load } = LOADS[step.load]
  const before = readCpu(server.pid)
  const result = await runLoad({ ...load, port: server.port, firstClient: clients, connections: CONNECTIONS, rate: null, seconds: SECONDS })
  const { processUs, mainUs } = cpuBetween(before, readCpu(server.pid))
  clients += result.requests
  return {
    cpuUs: processUs / result.requests,
    mainUs: mainUs / result.requests,
    perSecond: result.requests / result.seconds,
    serverBusy: processUs / 1e6 / result.seconds,
    loadBusy: result.busy,
    p50: result.p50,
    p99: result.p99,
    unexpected: result.requests - (result.statuses[status] ?? 0)
  }
}

async function runLoad (load: RawLoad): Promise<RawResult> {
  const child = spawnOn('load', [fileURLToPath(new URL('./raw-load.ts', import.meta.url)), JSON.stringify(load)])
  let text = ''
  child.stdout?.setEncoding('utf8').on('data', (chunk: string) => { text += chunk })
  const [code] = await once(child, 'close') as [number | null]
  if (code !== 0) throw new Error(`the load ended with ${code}`)
  return JSON.parse(text) as RawResult
}

function show (list: readonly Measured[]): void {
  console.log('step                     CPU us   main us   of mercurius    req/s   server busy   load busy    p50 ms    p99 ms   unexpected')
  for (const { step, rounds } of list) {
    const median = medianOf(rounds)
    const cells = [
      median.cpuUs.toFixed(1).padStart(8), median.mainUs.toFixed(1).padStart(10), shown(ratioOf(step, list)).padStart(15),
      median.perSecond.toFixed(0).padStart(9), median.serverBusy.toFixed(2).padStart(14), median.loadBusy.toFixed(2).padStart(12),
      median.p50.toFixed(2).padStart(10), median.p99.toFixed(2).padStart(10), String(rounds.reduce((sum, { unexpected }) => sum + unexpected, 0)).padStart(13)
    ]
    console.log(step.name.padEnd(23) + cells.join(''))
  }
}

function write (list: readonly Measured[]): void {
  mkdirSync(dirname(RESULTS), { recursive: true })
  writeFileSync(RESULTS, JSON.stringify({
    machine: machineFacts(),
    options: { rounds: ROUNDS, seconds: SECONDS, connections: CONNECTIONS, isPinned },
    steps: list.map(({ step, rounds }) => ({ name: step.name, load: step.load, median: medianOf(rounds), ofMercurius: ratioOf(step, list), rounds }))
  }, null, 2) + '\n')
  console.log(`written to ${RESULTS}`)
}

/** CPU by that of bare mercurius in the same round, the median of the rounds; null when it did not run. */
function ratioOf (step: Step, list: readonly Measured[]): number | null {
  const own = list.find((one) => one.step === step)
  const base = list.find((one) => one.step.name === COMPARED_WITH)
  if (own === undefined || base === undefined) return null
  return median(own.rounds.map(({ cpuUs }, i) => cpuUs / (base.rounds[i] as Round).cpuUs))
}

function shown (ratio: number | null): string {
  return ratio === null ? '-' : ratio.toFixed(2)
}

function medianOf (rounds: readonly Round[]): Round {
  const of = (key: keyof Round): number => median(rounds.map((round) => round[key]))
  return {
    cpuUs: of('cpuUs'), mainUs: of('mainUs'), perSecond: of('perSecond'), serverBusy: of('serverBusy'), loadBusy: of('loadBusy'), p50: of('p50'), p99: of('p99'), unexpected: of('unexpected')
  }
}

function median (values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] as number
}
