/**
 * Where does the time of a request go, and is each part within its budget? The budget stands at the head of the HTTP
 * edge (src/transports/http/plugin.ts), and nowhere else.
 *
 * A NEKO server and a bare Fastify one take the same load in turns. When both have ended another NEKO takes it, and its
 * main thread is sampled by V8's profiler: each sample is counted for the part that it lies in, or else for the part
 * that called it. Its shares are taken of the CPU time of the first, which nobody sampled. What Node, Fastify and the
 * kernel do is compared with bare Fastify, and all else is NEKO's own.
 *
 *   npm run bench:parts -- [--seconds 5] [--rounds 5] [--load counts|payloads|documents|blocked] [--json file]
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { startLoader } from './loader.ts'
import { machine, machineFacts } from './machine.ts'
import { budgetIn, OUTSIDE, sharesOf } from './parts-of-profile.ts'
import { leaveServersCore, startStep, writeFacts, type Places, type Running } from './price-servers.ts'
import { LOADS, type Server } from './price-steps.ts'
import { cpuBetween, readCpu } from './process-cpu.ts'

/** `mainUs`: CPU of the main thread for each request, by round. */
interface Measured { name: string, server: Running, clients: number, mainUs: number[] }

const { values: given } = parseArgs({
  options: {
    seconds: { type: 'string', default: '5' },
    rounds: { type: 'string', default: '5' },
    load: { type: 'string', default: 'counts' },
    json: { type: 'string' }
  }
})
const [seconds, rounds] = [Number(given.seconds), Number(given.rounds)]
if (!(seconds > 0) || !(rounds > 0) || rounds % 1 !== 0) endBy('--seconds is a positive number, --rounds a whole one')
if (!Object.hasOwn(LOADS, given.load)) endBy(`no such load: ${given.load} (there are ${Object.keys(LOADS).join(', ')})`)
const load = given.load as keyof typeof LOADS
const CONNECTIONS = 64
const WARM_SECONDS = 6
/** Microseconds between two samples. */
const INTERVAL = 200

leaveServersCore()
const directory = mkdtempSync(join(tmpdir(), 'neko-parts-'))
process.once('exit', () => { rmSync(directory, { recursive: true, force: true, maxRetries: 5 }) })
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => { process.exit(1) })
const places: Places = {
  directory,
  factsFile: join(directory, 'facts.json'),
  answerFile: join(directory, 'answer.json')
}
const profiles = join(directory, 'profiles')
const sampling = ['--cpu-prof', `--cpu-prof-dir=${profiles}`, `--cpu-prof-interval=${INTERVAL}`]
const neko: Server = { kind: 'neko', env: {} }

console.log(`${machine()}; ${load}, ${rounds} rounds of ${seconds} s, ${CONNECTIONS} connections`)
const loader = startLoader()
const expected = await writeFacts(places)
const [fastifyUs, nekoUs] = await mainUsOf({ fastify: { kind: 'baseline', name: 'fastify' }, neko })
const { pid } = await measure({ sampled: { ...neko, node: sampling } }).then(([sampled]) => sampled!.server)
loader.stop()
const shares = sharesOf(profiles, pid)
const budget = budgetIn(new URL('../src/transports/http/plugin.ts', import.meta.url))
const parts = [...shares].filter(([name]) => name !== OUTSIDE).map(([name, share]) => ({
  name, us: share * nekoUs, budgetUs: budget.get(name) ?? null
})).sort((a, b) => b.us - a.us)
const outsideUs = (shares.get(OUTSIDE) ?? 0) * nekoUs

console.log(`\npart of main                 us   budget\n${OUTSIDE.padEnd(24)}${outsideUs.toFixed(1).padStart(7)}` +
  `   (bare Fastify ${fastifyUs.toFixed(1)})`)
for (const { name, us, budgetUs } of parts) {
  const judged = load !== 'counts' || us <= (budgetUs ?? Infinity) ? '' : '  OVER'
  console.log(`${name.padEnd(24)}${us.toFixed(1).padStart(7)}${(budgetUs?.toFixed(1) ?? '-').padStart(9)}${judged}`)
}
console.log(`${'all'.padEnd(24)}${nekoUs.toFixed(1).padStart(7)}`)
if (given.json !== undefined) {
  const result = { machine: machineFacts(), load, fastifyUs, nekoUs, outsideUs, parts }
  writeFileSync(given.json, JSON.stringify(result, null, 2))
}
const missing = [...budget.keys()].filter((name) => !shares.has(name))
if (missing.length > 0) console.log(`no time was seen in: ${missing.join(', ')}`)
const unknown = parts.filter(({ budgetUs }) => budgetUs === null).map(({ name }) => name)
if (unknown.length > 0) console.log(`no budget stands for: ${unknown.join(', ')}`)
// The budget is that of the cached read.
process.exitCode = load === 'counts' && parts.some(({ us, budgetUs }) => us > (budgetUs ?? 0)) ? 1 : 0

/** In turns; they have ended when it resolves. */
async function measure (servers: Record<string, Server>): Promise<Measured[]> {
  const running: Measured[] = []
  for (const [name, server] of Object.entries(servers)) {
    running.push({ name, server: await startStep({ name, server, load }, places, expected), clients: 0, mainUs: [] })
  }
  for (const one of running) await play(one, WARM_SECONDS)
  for (let round = 0; round < rounds; round++) for (const one of running) one.mainUs.push(await play(one, seconds))
  await Promise.all(running.map(({ server }) => server.stop()))
  return running
}

async function mainUsOf (servers: { fastify: Server, neko: Server }): Promise<[number, number]> {
  const [fastify, neko] = await measure(servers)
  return [median(fastify!.mainUs), median(neko!.mainUs)]
}

/** @returns CPU of the main thread for each request, us */
async function play (one: Measured, seconds: number): Promise<number> {
  const { status, ...asked } = LOADS[load]
  const before = readCpu(one.server.pid)
  const { requests, statuses } = await loader.run({
    ...asked,
    port: one.server.port,
    rate: null,
    seconds,
    requestsMax: null,
    firstClient: one.clients,
    connections: CONNECTIONS
  })
  const expectedOf = one.name === 'fastify' ? 200 : status
  if (statuses[expectedOf] !== requests) throw new Error(`${one.name} answered ${JSON.stringify(statuses)}`)
  one.clients += requests
  return cpuBetween(before, readCpu(one.server.pid)).mainUs / requests
}

function median (values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] as number
}

/** Misuse. */
function endBy (message: string): never {
  console.error(message)
  process.exit(64)
}
