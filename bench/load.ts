/**
 * Load profiles against a running server, or one that it starts: bounded in time and connections, with a gate on p97.5 and
 * on errors that sets the exit code (1: a bar was missed, 64: misuse). Sends what users send: 80 % cached reads, 20 % uncached.
 *
 *   node bench/load.ts load|spike|stress|soak [--url http://127.0.0.1:4000] [--seconds n] [--p975 ms]
 *
 * One address makes all the load: give the server RATE_LIMIT_STANDARD=9999999/60/0, or the limiter answers most of it (429s are
 * counted apart and fail the gate).
 */
import autocannon from 'autocannon'
import { startServer } from '../test/server.ts'
import { machine } from './machine.ts'

interface Phase { name: string, connections: number, seconds: number, /** Requests a second; as fast as answered when left out. */ rate?: number }
interface Profile { phases: Phase[], /** Milliseconds. */ p975: number, about: string }

const SECONDS_MAX = 24 * 3600
const PROFILES: Record<string, Profile> = {
  load: { about: 'an ordinary busy hour', p975: 50, phases: [{ name: 'steady', connections: 32, seconds: 20, rate: 1_000 }] },
  spike: { about: 'ten times as much at once, and back', p975: 250, phases: [{ name: 'before', connections: 10, seconds: 5, rate: 200 }, { name: 'spike', connections: 100, seconds: 10, rate: 2_000 }, { name: 'after', connections: 10, seconds: 5, rate: 200 }] },
  stress: { about: 'as much as it takes', p975: 500, phases: [8, 32, 128, 512].map((connections) => ({ name: `${connections} connections`, connections, seconds: 8 })) },
  soak: { about: 'for long', p975: 100, phases: [{ name: 'steady', connections: 16, seconds: 600, rate: 300 }] }
}
const CACHED = JSON.stringify({ query: '{ threatCounts { category count } }' })
const UNCACHED = JSON.stringify({ query: '{ threatActors(first: 5) { nodes { id name } } }' })
const HEADERS = { 'content-type': 'application/json', accept: 'application/json', 'accept-language': 'en', 'user-agent': 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36' }

const [name = '', ...rest] = process.argv.slice(2)
const profile = PROFILES[name]
if (profile === undefined) {
  console.error(`usage: node bench/load.ts ${Object.keys(PROFILES).join('|')} [--url url] [--seconds n] [--p975 ms]`)
  process.exitCode = 64
} else await run(profile, Object.fromEntries(rest.join(' ').split('--').filter(Boolean).map((part) => part.trim().split(' '))) as Record<string, string | undefined>)

async function run ({ about, phases, p975 }: Profile, options: Record<string, string | undefined>): Promise<void> {
  const teardowns: Array<() => unknown> = []
  const url = options['url'] ?? (await startServer({ teardown: (handler) => { teardowns.unshift(handler) } }, { env: { LOG_LEVEL: 'warn', RATE_LIMIT_STANDARD: '9999999/60/0', CHALLENGE_THRESHOLD: '100', BLOCK_THRESHOLD: '100' } })).url
  const bar = Number(options['p975'] ?? p975)
  console.log(`${name}: ${about}; ${machine()}; gate: p97.5 <= ${bar} ms, no error, nothing but 2xx`)
  let missed = false
  for (const phase of phases) {
    const seconds = Math.min(SECONDS_MAX, Number(options['seconds'] ?? phase.seconds))
    const result = await autocannon({
      url: url + '/graphql',
      method: 'POST',
      headers: HEADERS,
      connections: phase.connections,
      duration: seconds,
      ...(phase.rate === undefined ? {} : { overallRate: phase.rate }),
      requests: [...Array(4).fill({ body: CACHED }), { body: UNCACHED }]
    })
    const { latency, errors, timeouts, non2xx, requests } = result
    const isOver = latency.p97_5 > bar || errors + timeouts + non2xx > 0 || requests.total === 0
    missed ||= isOver
    console.log(`${phase.name.padEnd(18)} ${Math.round(requests.average)} req/s, p50 ${latency.p50} ms, p97.5 ${latency.p97_5} ms, p99 ${latency.p99} ms, max ${latency.max} ms, errors ${errors}, timeouts ${timeouts}, not 2xx ${non2xx} ${isOver ? 'MISSED' : 'ok'}`)
  }
  for (const teardown of teardowns) await teardown()
  process.exitCode = missed ? 1 : 0
}
