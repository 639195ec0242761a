/**
 * What is the cache worth? Three questions to the real server: how fast is a cached read with everything on and Redis
 * beside it (cached-latency.ts), how many database reads does the cache save under a mixed load (cached-mix.ts), and
 * what do many clients and many kept answers take of memory (cached-memory.ts)? Servers have one core and the load
 * another, as in bench/price.ts. Bars are said and not enforced: the exit code is 1 when an answer was not what it
 * should be, since then no figure counts.
 *
 *   npm run bench:cached -- [--parts latency,mix,memory] [--seconds 3] [--rounds 3] [--connections 64]
 *     [--clients 200000] [--answers 10000] [--json file]
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { measureLatencies } from './cached-latency.ts'
import { measureMemory } from './cached-memory.ts'
import { measureMixes } from './cached-mix.ts'
import * as report from './cached-report.ts'
import { startLoader } from './loader.ts'
import { machine, machineFacts } from './machine.ts'
import { isPinned, leaveServersCore } from './price-servers.ts'

const PARTS = ['latency', 'mix', 'memory']
/** raw-load.ts has as many addresses, and a run ends. */
const CLIENTS_MAX = 1_000_000
const ANSWERS_MAX = 100_000

const { values: given } = parseArgs({
  options: {
    parts: { type: 'string', default: PARTS.join(',') },
    seconds: { type: 'string', default: '3' },
    rounds: { type: 'string', default: '3' },
    connections: { type: 'string', default: '64' },
    clients: { type: 'string', default: '200000' },
    answers: { type: 'string', default: '10000' },
    json: { type: 'string', default: fileURLToPath(new URL('./results/cached.json', import.meta.url)) }
  }
})
const options = {
  seconds: within('seconds', 0.5, 60),
  rounds: within('rounds', 1, 20),
  connections: within('connections', 1, 1_000),
  clients: within('clients', 1, CLIENTS_MAX),
  answers: within('answers', 1, ANSWERS_MAX)
}
const parts = given.parts.split(',')
const unknown = parts.filter((part) => !PARTS.includes(part))
if (unknown.length > 0) endBy(`no such part: ${unknown.join(', ')} (there are ${PARTS.join(', ')})`)

leaveServersCore()
const directory = mkdtempSync(join(tmpdir(), 'neko-cached-'))
process.once('exit', () => { rmSync(directory, { recursive: true, force: true, maxRetries: 5 }) })
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => { process.exit(1) })

console.log(machine() + (isPinned ? '' : '; nothing is pinned to a core here'))
const loader = startLoader()
const results: report.Results = { latencies: [], mixes: [], memory: null }
if (parts.includes('latency')) {
  results.latencies = await measureLatencies({ directory, loader, ...options })
  report.showLatencies(results.latencies, options)
}
if (parts.includes('mix')) {
  results.mixes = await measureMixes({ directory, ...options })
  report.showMixes(results.mixes)
}
if (parts.includes('memory')) {
  results.memory = await measureMemory({ directory, loader, ...options })
  report.showMemory(results.memory)
}
loader.stop()
report.writeJson(given.json, { machine: machineFacts(), options: { ...options, isPinned }, ...results })
process.exitCode = report.showUnexpected(results) ? 1 : 0

function within (name: 'seconds' | 'rounds' | 'connections' | 'clients' | 'answers', min: number, max: number): number {
  const value = Number(given[name])
  if (!(value >= min && value <= max)) endBy(`--${name} must be from ${min} to ${max}`)
  if (name !== 'seconds' && !Number.isInteger(value)) endBy(`--${name} must be a whole number`)
  return value
}

/** Misuse. */
function endBy (message: string): never {
  console.error(message)
  process.exit(64)
}
