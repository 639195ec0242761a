import t from 'tap'
import type { Test } from 'tap'
import { Agent, request } from 'undici'
import type { Dispatcher } from 'undici'
import { showFigure } from '../bar.ts'
import { BROWSER } from '../e2e/client.ts'
import { until } from '../processes/load.ts'
import { scaled } from '../scale.ts'
import { startServer } from '../server.ts'
import type { StartedServer } from '../server.ts'

/** Two processes of one server, from outside: N at once and never more, whichever process a connection lands on. */
const COLD = scaled(1_000, 3_000)

interface Reply { status: number, headers: Record<string, string | string[] | undefined>, ms: number }

/** Ends a test that would hang. */
const HANGS_MS = 20_000
const env = { WORKERS: '2', TRUST_PROXY: '127.0.0.1/32', LOG_LEVEL: 'info', CHALLENGE_THRESHOLD: '100', BLOCK_THRESHOLD: '100' }

let passed = 0
/** Of those that passed: lines about refused ones are bounded. */
function linesOf (server: StartedServer): number {
  return server.output().split('"status":200,').length - 1
}

function silences (server: StartedServer): number {
  return server.logs().filter(({ msg }) => String(msg).startsWith('primary not responding')).length
}

async function ask (server: StartedServer, dispatcher: Dispatcher, client: string): Promise<Reply> {
  const startMs = performance.now()
  const { statusCode, headers, body } = await request(`${server.url}/graphql?query=%7B__typename%7D`, { dispatcher, headers: { ...BROWSER, 'x-forwarded-for': client } })
  await body.dump()
  return { status: statusCode, headers, ms: performance.now() - startMs }
}

async function askMany (count: number, atOnce: number, call: (i: number) => Promise<Reply>): Promise<Reply[]> {
  const replies: Reply[] = []
  let next = 0
  await Promise.all(Array.from({ length: atOnce }, async () => {
    while (next < count) replies.push(await call(next++))
  }))
  return replies
}

async function check (t: Test, server: StartedServer, replies: Reply[], { name, isOrdered }: { name: string, isOrdered: boolean }): Promise<void> {
  // Whatever a process said of the primary stands in front of these lines.
  const admitted = replies.filter(({ status }) => status === 200)
  passed += admitted.length
  await until('the line of each request that passed', () => linesOf(server) >= passed, HANGS_MS)
  if (!isExact(t, server, { replies, workers: 2, name })) return
  const remaining = admitted.map(({ headers }) => Number(headers['x-ratelimit-remaining']))
  t.same(isOrdered ? remaining : remaining.sort((a, b) => b - a), Array.from({ length: 100 }, (_, i) => 99 - i), 'each was told another number')
  const wrong = replies.filter(({ status, headers }) => headers['x-ratelimit-limit'] !== '100' || !/^[1-9]\d*$/.test(String(headers['x-ratelimit-reset'])) ||
    (status === 429 && (headers['x-ratelimit-remaining'] !== '0' || headers['retry-after'] !== headers['x-ratelimit-reset'] || Number(headers['retry-after']) < 55 || Number(headers['retry-after']) > 64)))
  t.same(wrong.map(({ status, headers }) => ({ status, headers })), [])
}

/**
 * N exactly, and false where the machine was so busy that the primary did not run for 100 ms: a process that does not hear
 * of it decides by its share of what was left when it last did, which others may have had meanwhile.
 */
function isExact (t: Test, server: StartedServer, { replies, workers, name }: { replies: Reply[], workers: number, name: string }): boolean {
  const admitted = replies.filter(({ status }) => status === 200).length
  t.equal(replies.filter(({ status }) => status === 429).length, replies.length - admitted)
  if (silences(server) === 0) {
    t.equal(admitted, 100, `${name}: exactly 100 of ${replies.length}`)
    return true
  }
  t.comment(`the primary was silent: ${admitted} admitted`)
  t.ok(admitted <= 100 + 100 * (workers - 1) / workers, `${name}: at most the shares of the others more`)
  return false
}

const two = await startServer(t, { env })
const agentFor = (t: Test, connections: number): Agent => {
  const agent = new Agent({ connections, keepAliveTimeout: 60_000 })
  t.teardown(() => agent.destroy())
  return agent
}

t.test('300 requests to two processes: 100 pass, however they come', async (t) => {
  const server = two
  const fresh = await askMany(300, 1, async () => {
    const agent = new Agent({ connections: 1 })
    const reply = await ask(server, agent, '198.51.100.1')
    await agent.close()
    return reply
  })
  await check(t, server, fresh, { name: 'one after the other on new connections', isOrdered: true })
  for (const [name, client, connections] of [['64 at a time on many connections', '198.51.100.2', 64], ['on two connections', '198.51.100.3', 2]] as const) {
    const agent = agentFor(t, connections)
    await check(t, server, await askMany(300, connections, async () => await ask(server, agent, client)), { name, isOrdered: false })
  }
  if (silences(server) === 0) t.match(await (await fetch(server.metricsUrl + '/metrics')).text(), /neko_limit_decisions_total\{tier="standard",result="allowed",store="primary"\} 300\n/)
  t.equal(linesOf(server), passed, 'one line for each')
})

t.test(`four cold processes, 256 at a time on new connections, ${COLD} for 100`, async (t) => {
  const server = await startServer(t, { env: { ...env, WORKERS: '4' } })
  const agent = agentFor(t, 256)
  const replies = await askMany(COLD, 256, async () => await ask(server, agent, '198.51.100.6'))
  isExact(t, server, { replies, workers: 4, name: 'cold' })
})

t.test('a primary that is stalled: answers go on, and nothing is looser', async (t) => {
  const server = two
  const agent = agentFor(t, 16)
  const call = async (): Promise<Reply> => await ask(server, agent, '198.51.100.4')
  const before = await askMany(40, 16, call)
  server.signal('SIGSTOP')
  t.teardown(() => server.signal('SIGCONT'))
  const stalled = await askMany(200, 16, call)
  showFigure(t, 'slowest answer while the primary was stalled', Math.max(...stalled.map(({ ms }) => ms)), 150)
  server.signal('SIGCONT')
  await until('every process counts there again', () => {
    const last = new Map(server.logs().filter(({ msg }) => /^primary (not responding|responding again)/.test(String(msg))).map(({ pid, msg }) => [pid, String(msg)]))
    return last.size === 2 && [...last.values()].every((msg) => msg.startsWith('primary responding again'))
  }, HANGS_MS)
  const after = await askMany(100, 16, call)
  const admitted = [...before, ...stalled, ...after].filter(({ status }) => status === 200).length
  t.ok(admitted <= 100 && admitted >= 70, `${admitted} of 100`)
  t.same(new Set([...stalled, ...after].map(({ status }) => status)), new Set([200, 429]))
  const lines = server.logs().filter(({ msg }) => /^the primary (does not count|counts again)/.test(String(msg)))
  for (const pid of new Set(lines.map(({ pid }) => pid))) {
    const own = lines.filter((line) => line.pid === pid).map(({ level }) => level)
    t.ok(own.length <= 8 && own.every((level, i) => i === 0 || level !== own[i - 1]), 'a line per change of state')
  }
  t.match(await (await fetch(server.metricsUrl + '/metrics')).text(), /neko_limit_decisions_total\{tier="standard",result="refused",store="local"\} \d+\n/)
})

t.test('a process that dies and comes back changes nothing', async (t) => {
  const server = two
  const first = agentFor(t, 16)
  const before = await askMany(60, 8, async () => await ask(server, first, '198.51.100.5'))
  t.ok(before.every(({ status }) => status === 200))
  const pids = [...new Set(server.logs().map(({ pid }) => pid as number))].filter((pid) => pid !== server.pid)
  process.kill(pids[0]!, 'SIGKILL')
  const metrics = async (): Promise<string> => await (await fetch(server.metricsUrl + '/metrics')).text()
  await until('its death', () => server.output().includes('a worker died'), HANGS_MS)
  await until('the new one', async () => (await metrics()).includes('neko_processes{state="ready"} 2'), HANGS_MS)
  const second = agentFor(t, 16)
  const after = await askMany(100, 8, async () => await ask(server, second, '198.51.100.5'))
  t.equal(after.filter(({ status }) => status === 200).length, 40)
})
