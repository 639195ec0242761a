import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import t from 'tap'
import { Pool } from 'undici'
import { showFigure } from '../../bar.ts'
import { scaled } from '../../scale.ts'
import { makeDataDir, startServer, type StartedServer, type Teardown } from '../../server.ts'

/**
 * Clients that send or read as slowly as they can (slowhttptest, as Debian ships it), while others are served.
 * Each attacker is gone long before Node would see to it, nobody else notices.
 */
const CONNECTIONS = scaled(100, 200)
const CLOSED_WITHIN_SECONDS = 10
/** However busy the machine: Node by itself would take 30 to 60 s. The tool goes on for longer. */
const CLOSED_AT_ALL_SECONDS = 25
const TEST_SECONDS = 30
/** It calls a server away that has not answered it by then. */
const PROBE_SECONDS = 20

/** Connections that are no attackers': those of the other clients, and slowhttptest's own probe. */
const BYSTANDERS = 5

interface Attack { title: string, args: string[], path: string }

const ATTACKS: Attack[] = [
  { title: 'slow headers', args: ['-H', '-i', '2', '-x', '24'], path: '/graphql' },
  { title: 'slow body', args: ['-B', '-i', '2', '-s', '8192', '-x', '10', '-t', 'POST', '-f', 'application/json'], path: '/graphql' },
  // 400 kB: what fits into the kernel's buffers costs us nothing, and is not seen from here.
  { title: 'slow read', args: ['-X', '-n', '1', '-w', '512', '-y', '1024', '-z', '32'], path: '/graphiql/graphiql.css' }
]

/** Established connections of the server, by the kernel's own table. */
function openSockets (port: number): number {
  const local = `0100007F:${port.toString(16).toUpperCase().padStart(4, '0')}`
  return readFileSync('/proc/net/tcp', 'utf8').split('\n').filter((line) => {
    const [, from, , state] = line.trim().split(/\s+/)
    return from === local && state === '01'
  }).length
}

async function attack (t: Teardown, server: StartedServer, { args, path }: Attack): Promise<{ output: string, closedMs: number, most: number } | null> {
  const directory = makeDataDir(t)
  const child = spawn('slowhttptest', [...args, '-c', String(CONNECTIONS), '-r', String(CONNECTIONS), '-l', String(TEST_SECONDS), '-p', String(PROBE_SECONDS), '-u', server.url + path], { cwd: directory, stdio: ['ignore', 'pipe', 'pipe'] })
  t.teardown(() => child.kill('SIGKILL'))
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text: string) => { output += text })
  const ended = new Promise<boolean>((resolve) => { child.once('close', () => resolve(true)).once('error', () => resolve(false)) })
  const own = openSockets(server.port)
  const started = performance.now()
  let most = 0
  let fullMs = 0
  let closedMs = Infinity
  const watch = setInterval(() => {
    const attackers = openSockets(server.port) - own
    if (attackers > CONNECTIONS / 2 && fullMs === 0) fullMs = performance.now()
    most = Math.max(most, attackers)
    if (most > CONNECTIONS / 2 && attackers <= BYSTANDERS && closedMs === Infinity) closedMs = performance.now() - fullMs
    if (closedMs < Infinity && /service available: +\S/.test(clean(output))) child.kill('SIGINT')
  }, 100)
  const ran = await ended
  clearInterval(watch)
  // It ends as soon as all its connections are closed, and is ended where it does not see it.
  if (closedMs === Infinity && performance.now() - started < TEST_SECONDS * 1000) closedMs = performance.now() - fullMs
  return ran ? { output, closedMs, most } : null
}

const clean = (text: string): string => text.replace(new RegExp(`${String.fromCharCode(27)}\\[[\\d;]*[A-Za-z]`, 'g'), '')
const percentile = (values: number[], share: number): number => values.toSorted((a, b) => a - b)[Math.floor(values.length * share)] ?? 0

const server = await startServer(t, { env: { ENFORCEMENT: 'shadow', RATE_LIMIT_STANDARD: '1000000/60/0', LOG_LEVEL: 'warn' } })

for (const one of ATTACKS) {
  t.test(`${one.title}: the attackers are cut off, nobody else notices`, async (t) => {
    const pool = new Pool(server.url, { connections: 4 })
    t.teardown(async () => await pool.destroy())
    const wanted = { on: true }
    const failures: string[] = []
    const times: number[] = []
    const ask = async (): Promise<void> => {
      const started = performance.now()
      const { statusCode, body } = await pool.request({ path: '/graphql', method: 'POST', headers: { 'content-type': 'application/json', 'user-agent': 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0' }, body: '{"query":"{ health { status } }"}' })
      const text = await body.text()
      times.push(performance.now() - started)
      if (statusCode !== 200) failures.push(`${statusCode} ${text.slice(0, 200)}`)
    }
    const load = async (): Promise<void> => {
      while (wanted.on) {
        await ask().catch((error: Error) => { failures.push(error.message) })
        await new Promise((resolve) => setTimeout(resolve, 50))
      }
    }
    for (let i = 0; i < 30; i++) await ask()
    const calm = percentile(times, 0.99)
    times.length = 0
    const loads = Promise.all([load(), load()])
    const result = await attack(t, server, one)
    wanted.on = false
    await loads
    if (result === null) {
      t.comment('slowhttptest is absent')
      return
    }
    const output = clean(result.output)
    t.same(failures.slice(0, 3), [])
    t.ok(result.most > CONNECTIONS / 2, `the attack took place: ${result.most} sockets`)
    t.ok(result.closedMs <= CLOSED_AT_ALL_SECONDS * 1000, `closed after ${(result.closedMs / 1000).toFixed(1)} s`)
    showFigure(t, 'closed after', result.closedMs / 1000, CLOSED_WITHIN_SECONDS, 's')
    t.notMatch(output, /service available: +NO/)
    t.match(output, /service available: +YES/)
    t.comment(`${result.most} sockets gone after ${(result.closedMs / 1000).toFixed(1)} s; ${times.length} others served, p99 ${percentile(times, 0.99).toFixed(1)} ms (calm ${calm.toFixed(1)} ms)`)
  })
}
