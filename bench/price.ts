/**
 * What does each part of the protection cost per request? Microseconds of CPU, all threads of the server, by the
 * requests it answered: from `node:http` over Fastify and bare mercurius to NEKO in several configurations, beside
 * rivals of the same schema and data. Each step (price-steps.ts) is a server process of its own; all servers have one
 * core and the load has another. Requests per second move by a factor of two on shared machines; this does not, and
 * rounds are interleaved, so that a busy moment falls on all steps alike. A longer first round warms up and does not
 * count.
 *
 *   npm run bench:price -- [--rounds 5] [--seconds 3] [--connections 64] [--steps mercurius,neko] [--rivals no]
 *     [--latency yes] [--threads yes] [--json file] [--quick]
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { PACED_SHARE, startLoader } from './loader.ts'
import { machine, machineFacts } from './machine.ts'
import * as report from './price-report.ts'
import {
  isPinned, leaveServersCore, prepareRivals, startStep, writeFacts, type Places, type Running
} from './price-servers.ts'
import { LOADS, QUICK_STEPS, STEPS, type Step } from './price-steps.ts'
import { cpuBetween, machineBusyUs, readCpu, type CpuReading, type CpuUse } from './process-cpu.ts'
import type { RawLoad, RawResult } from './raw-load.ts'

/** `clients`: those that its server has seen. */
interface Measured extends report.Measured { server: Running, clients: number }
/** What was asked, and what all processes took meanwhile. */
interface Played { result: RawResult, use: CpuUse, waitingUs: number, foreignUs: number }

const { values: given } = parseArgs({
  options: {
    rounds: { type: 'string' },
    seconds: { type: 'string' },
    connections: { type: 'string', default: '64' },
    steps: { type: 'string' },
    rivals: { type: 'string', default: 'yes' },
    latency: { type: 'string', default: 'no' },
    threads: { type: 'string', default: 'no' },
    json: { type: 'string', default: fileURLToPath(new URL('./results/price.json', import.meta.url)) },
    quick: { type: 'boolean', default: false }
  }
})
const options = {
  rounds: Number(given.rounds ?? (given.quick ? 3 : 5)),
  seconds: Number(given.seconds ?? (given.quick ? 1 : 3)),
  /** Of the first round: what is compiled late would be counted. */
  warmSeconds: given.quick ? 3 : 6,
  connections: Number(given.connections)
}
const wrong = Object.entries(options).filter(([, value]) => !(value > 0)).map(([name]) => name)
if (wrong.length > 0) endBy(`not a positive number: ${wrong.join(', ')}`)

leaveServersCore()
const directory = mkdtempSync(join(tmpdir(), 'neko-price-'))
const places: Places = {
  directory,
  factsFile: join(directory, 'facts.json'),
  answerFile: join(directory, 'answer.json')
}
process.once('exit', () => { rmSync(directory, { recursive: true, force: true, maxRetries: 5 }) })
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => { process.exit(1) })

const facts = { machine: machineFacts(), options: { ...options, isPinned } }
console.log(
  `${machine()}; ${options.rounds} rounds of ${options.seconds} s, ${options.connections} connections` +
  (isPinned ? '' : '; nothing is pinned to a core here')
)
const steps = chooseSteps()
prepareRivals(steps)
const loader = startLoader()
const expected = await writeFacts(places)
const measured: Measured[] = []
for (const step of steps) {
  measured.push({ step, server: await startStep(step, places, expected), rounds: [], clients: 0 })
}
for (const one of measured) await play(one, { rate: null, seconds: options.warmSeconds })
for (let round = 0; round < options.rounds; round++) {
  // Each goes first as often: a machine that gets busier must favour none.
  for (const one of round % 2 === 0 ? measured : measured.toReversed()) one.rounds.push(await playRound(one))
}
loader.stop()
await Promise.all(measured.map(({ server }) => server.stop()))

report.showSteps(measured)
report.showParts(measured)
if (given.latency === 'yes') report.showPaced(measured, PACED_SHARE)
if (given.threads === 'yes') report.showThreads(measured)
report.showDoubts(measured)
report.writeJson(given.json, measured, facts)
process.exitCode = report.isExpected(measured) ? 0 : 1

/** Misuse. */
function endBy (message: string): never {
  console.error(message)
  process.exit(64)
}

function chooseSteps (): Step[] {
  const all = STEPS.map(({ name }) => name)
  const names = given.steps?.split(',') ?? (given.quick ? QUICK_STEPS : undefined)
  const unknown = names?.filter((name) => !all.includes(name)) ?? []
  if (unknown.length > 0) endBy(`no such step: ${unknown.join(', ')} (there are ${all.join(', ')})`)
  const isLeftOut = ({ server }: Step): boolean => given.rivals === 'no' && server.kind === 'rival' && server.own
  return STEPS.filter((step) => (names?.includes(step.name) ?? true) && !isLeftOut(step))
}

async function playRound (one: Measured): Promise<report.Round> {
  const { result, use, waitingUs, foreignUs } = await play(one, { rate: null, seconds: options.seconds })
  const { requests, seconds, statuses, lost, reconnects, busy, p50, p99 } = result
  const { [LOADS[one.step.load].status]: _, ...others } = statuses
  const byName = Object.fromEntries(Object.entries(use.byName).map(([name, us]) => [name, us / requests]))
  const perSecond = requests / seconds
  return {
    cpuUs: use.processUs / requests,
    mainUs: use.mainUs / requests,
    byName,
    perSecond,
    serverBusy: use.processUs / 1e6 / seconds,
    loadBusy: busy,
    waitingBusy: waitingUs / 1e6 / seconds,
    foreignBusy: foreignUs / 1e6 / seconds,
    p50,
    p99,
    reconnects,
    unexpected: { ...others, ...(lost > 0 ? { lost } : {}), ...(requests === 0 ? { answers: 0 } : {}) },
    paced: given.latency === 'yes' ? await playPaced(one, perSecond * PACED_SHARE) : null
  }
}

async function playPaced (one: Measured, rate: number): Promise<report.Paced> {
  const { result: { requests, seconds, p50, p99, max }, use, foreignUs } =
    await play(one, { rate, seconds: options.seconds })
  const foreignBusy = foreignUs / 1e6 / seconds
  return { perSecond: requests / seconds, cpuUs: use.processUs / requests, foreignBusy, p50, p99, max }
}

async function play (one: Measured, { rate, seconds }: Pick<RawLoad, 'rate' | 'seconds'>): Promise<Played> {
  const { status: _, ...load } = LOADS[one.step.load]
  const port = one.server.port
  const before = readAll()
  const result = await loader.run({
    ...load, port, rate, seconds, requestsMax: null, firstClient: one.clients, connections: options.connections
  })
  const after = readAll()
  const uses = measured.map(({ server: { pid } }) => cpuBetween(before.servers.get(pid)!, after.servers.get(pid)!))
  const use = uses[measured.indexOf(one)] as CpuUse
  const serversUs = uses.reduce((sum, { processUs }) => sum + processUs, 0)
  const loadUs = result.busy * result.seconds * 1e6
  one.clients += result.requests
  return {
    result,
    use,
    waitingUs: serversUs - use.processUs,
    foreignUs: Math.max(0, after.machineUs - before.machineUs - serversUs - loadUs)
  }
}

/** What this process takes, mostly to read what servers log, is nobody else's. */
function readAll (): { machineUs: number, servers: Map<number, CpuReading> } {
  const { user, system } = process.cpuUsage()
  return {
    machineUs: machineBusyUs() - user - system,
    servers: new Map(measured.map(({ server: { pid } }) => [pid, readCpu(pid)]))
  }
}
