import { readFileSync } from 'node:fs'
import autocannon from 'autocannon'
import { startServer } from '../test/server.ts'

/**
 * What one request costs: CPU microseconds of the whole server process, threads included, by kind of request and mode,
 * in interleaved rounds of one run (requests per second move by a factor of two on shared machines; this does not).
 *
 * `node bench/cost.ts [--rounds 3] [--seconds 4] [--modes ring,inline]`
 */
const options = Object.fromEntries(process.argv.slice(2).join(' ').split('--').filter(Boolean).map((part) => part.trim().split(' '))) as Record<string, string>
const rounds = Number(options.rounds ?? 3)
const seconds = Number(options.seconds ?? 4)
const modes = (options.modes ?? 'ring,inline').split(',')

const browser = { 'user-agent': 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36', accept: 'application/json', 'accept-language': 'en', 'accept-encoding': 'identity' }
const words = 'the quick brown fox jumps over the lazy dog and writes a note about it '
const KINDS: Record<string, Partial<autocannon.Options>> = {
  'health (ungated)': { method: 'GET', headers: browser },
  'GET unknown route': { method: 'GET', headers: browser },
  'GraphQL cached read': { method: 'POST', headers: { ...browser, 'content-type': 'application/json' }, body: JSON.stringify({ query: '{ threatCounts { category count } }' }) },
  'GraphQL uncached read': { method: 'POST', headers: { ...browser, 'content-type': 'application/json' }, body: JSON.stringify({ query: '{ threatActors(first: 20) { nodes { id name aliases country } } }' }) },
  'GraphQL POST of 2 KB': { method: 'POST', headers: { ...browser, 'content-type': 'application/json' }, body: JSON.stringify({ query: 'query Search($text: String) { threatActors(search: $text, first: 1) { totalCount } }', variables: { text: words.repeat(2).slice(0, 120), note: words.repeat(25).slice(0, 1700) } }) }
}
const PATHS: Record<string, string> = { 'health (ungated)': '/health/live', 'GET unknown route': '/articles/42?page=2&sort=date' }

const teardowns: Array<() => unknown> = []
const t = { teardown: (handler: () => unknown) => teardowns.unshift(handler) }
const servers = new Map<string, Awaited<ReturnType<typeof startServer>>>()
for (const mode of modes) {
  servers.set(mode, await startServer(t, { env: { SCORING_MODE: mode, LOG_LEVEL: 'warn', RATE_LIMIT_STANDARD: '9999999/60/0', CHALLENGE_THRESHOLD: '100', BLOCK_THRESHOLD: '100' } }))
}

const results = new Map<string, Array<{ cpu: number, rps: number, p99: number, bad: number }>>()
for (let round = 0; round < rounds; round++) {
  for (const kind of Object.keys(KINDS)) {
    for (const [mode, server] of servers) {
      const before = cpuMicros(server.pid)
      const run = await autocannon({ url: server.url + (PATHS[kind] ?? '/graphql'), connections: 32, duration: seconds, ...KINDS[kind] })
      const cpu = (cpuMicros(server.pid) - before) / run.requests.total
      const key = `${kind}|${mode}`
      results.set(key, [...results.get(key) ?? [], { cpu, rps: run.requests.average, p99: run.latency.p99, bad: run.errors + run.timeouts }])
    }
  }
}

console.log(`Node ${process.version}, ${rounds} rounds of ${seconds} s, 32 connections; CPU of the whole process per request`)
console.log('kind                      mode     CPU us  on one core/s   seen/s   p99 ms  errors')
for (const [key, list] of results) {
  const [kind, mode] = key.split('|') as [string, string]
  const cpu = median(list.map((one) => one.cpu))
  console.log(`${kind.padEnd(25)} ${mode.padEnd(7)} ${cpu.toFixed(1).padStart(7)} ${Math.round(1e6 / cpu).toString().padStart(14)} ${Math.round(median(list.map((one) => one.rps))).toString().padStart(8)} ${median(list.map((one) => one.p99)).toFixed(1).padStart(8)} ${list.reduce((sum, one) => sum + one.bad, 0).toString().padStart(7)}`)
}
for (const teardown of teardowns) await teardown()

/** User and system time of a process, threads included, in microseconds (Linux: clock ticks of 10 ms). */
function cpuMicros (pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ')
  return (Number(fields[11]) + Number(fields[12])) * 10_000
}

function median (values: number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]!
}
