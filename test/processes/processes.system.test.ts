import t from 'tap'
import { request } from 'undici'
import { askServer } from '../../src/processes/control-client.ts'
import type { Json } from '../../src/std/json.ts'
import { spawnServer, startServer } from '../server.ts'
import type { StartedServer } from '../server.ts'
import { startLoad, until } from './load.ts'
import { readyOf, statusOf } from './status-of.ts'
import { slack, withinBar } from '../bar.ts'

const main = new URL('small-main.ts', import.meta.url)
const CONNECTIONS = 32

async function get<T> (url: string): Promise<T> {
  const { body } = await request(url)
  return await body.json() as T
}

async function countOf (server: StartedServer, series: RegExp): Promise<number> {
  const { body } = await request(`${server.metricsUrl}/metrics`)
  return [...(await body.text()).matchAll(series)].reduce((sum, match) => sum + Number(match[1]), 0)
}

t.test('one worker killed costs only what it had in flight, and is replaced within 2 s', async (t) => {
  const server = await startServer(t, { main, env: { WORKERS: '2' } })
  const load = startLoad(server.url, { connections: CONNECTIONS })
  await until('the load runs', () => load.seen.ok > 500)
  const [victim] = (await statusOf(server)).processes
  const held = load.seen.pids.filter((pid) => pid === victim!.pid).length
  t.ok(Math.abs(held - CONNECTIONS / 2) <= 2, `${held} of ${CONNECTIONS} connections on one of two workers`)
  const killMs = performance.now()
  process.kill(victim!.pid, 'SIGKILL')
  await until('a replacement is ready', async () => (await readyOf(server)).filter(({ pid }) => pid !== victim!.pid).length === 2, slack(2000))
  const { failures, ok } = await load.stop()
  t.ok(failures.length <= CONNECTIONS / 2 + 2, `${failures.length} failures of ${ok}`)
  t.ok(failures.every(({ atMs }) => atMs - killMs <= slack(100)), 'the last failure comes with the kill')
  t.ok(server.logs().some(({ msg, signal }) => msg === 'a worker died' && signal === 'SIGKILL'))
  t.equal(await server.stop(), 0)
})

t.test('an error nobody caught ends its worker, with the stack in the log', async (t) => {
  const server = await startServer(t, { main, env: { WORKERS: '2' } })
  for (const [path, text] of [['/throw', 'thrown on purpose'], ['/reject', 'rejected on purpose']] as const) {
    await t.rejects(request(server.url + path))
    const line = await until('the cause is logged', () => server.logs().find(({ err }) => (err as { message?: string } | undefined)?.message === text))
    t.equal(line.level, 'fatal')
    t.match((line.err as { stack: string }).stack, /small-main/)
    await until('both are ready again', async () => (await readyOf(server)).length === 2)
  }
  await until('both deaths are logged', () => server.logs().filter(({ msg, code }) => msg === 'a worker died' && code !== 0).length === 2)
})

t.test('reloads under load lose no request, saturated and with pauses', async (t) => {
  const server = await startServer(t, { main, env: { WORKERS: '2' } })
  const busy = startLoad(server.url, { connections: 16 })
  const pausing = startLoad(server.url, { connections: 16, thinkMs: () => Math.random() * 200 })
  await until('the load runs', () => busy.seen.ok > 500)
  let counted = 0
  for (let round = 1; round <= 2; round++) {
    const before = (await statusOf(server)).processes.map(({ pid }) => pid)
    const startMs = performance.now()
    server.signal('SIGHUP')
    await until('all are replaced', () => server.logs().filter(({ msg }) => msg === 'reloaded').length === round, 20_000)
    withinBar(t, 'in time', performance.now() - startMs, 20_000)
    t.notOk((await statusOf(server)).processes.some(({ pid }) => before.includes(pid)))
    const now = await countOf(server, /^neko_http_requests_total\{[^}]*\} (\d+)$/gm)
    t.ok(now >= counted, 'counters do not fall')
    counted = now
  }
  const results = [await busy.stop(), await pausing.stop()]
  for (const { ok, failures } of results) t.same(failures, [], `0 failed of ${ok}`)
  const sent = results[0]!.ok + results[1]!.ok
  t.equal(await countOf(server, /^neko_http_requests_total\{[^}]*\} (\d+)$/gm), sent, 'what was counted is what was sent')
  t.ok(await countOf(server, /^neko_process_restarts_total\{reason="reload"\} (\d+)$/gm) >= 4)
})

t.test('a drain finishes what is under way, and a second signal does not cut it', async (t) => {
  for (const WORKERS of ['1', '2']) {
    const server = await startServer(t, { main, env: { WORKERS } })
    const slow = Array.from({ length: 50 }, async () => (await request(server.url + '/slow')).statusCode)
    await new Promise((resolve) => setTimeout(resolve, 300))
    server.signal('SIGTERM')
    setTimeout(() => { server.signal('SIGTERM') }, 100)
    setTimeout(() => { server.signal('SIGINT') }, 200)
    await new Promise((resolve) => setTimeout(resolve, 900))
    await t.rejects(request(server.url), `nothing new is accepted (WORKERS=${WORKERS})`)
    t.same(new Set(await Promise.all(slow)), new Set([200]))
    t.equal((await server.ended).code, 0)
  }
})

t.test('workers that get the signal of the whole group obey only their primary', async (t) => {
  const server = await startServer(t, { main, env: { WORKERS: '2' } })
  for (const { pid } of (await statusOf(server)).processes) for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.kill(pid, signal)
  await new Promise((resolve) => setTimeout(resolve, 300))
  t.equal((await readyOf(server)).length, 2)
})

t.test('the fleet over IPC: told, asked, counted, and the status of all', async (t) => {
  const server = await startServer(t, { main, env: { WORKERS: '3' } })
  t.equal(await get(server.url + '/count'), 3)
  t.equal((await get<number[]>(server.url + '/ask')).length, 2)
  const startMs = performance.now()
  t.same(await get(server.url + '/ask-silent'), [])
  withinBar(t, 'null ends a question at once', performance.now() - startMs, 900)
  await get(server.url + '/publish')
  const heard = await Promise.all(Array.from({ length: 12 }, () => get<unknown[]>(server.url + '/heard')))
  t.ok(heard.some((list) => list.length === 1))
  t.match(await get(server.url + '/status'), { state: 'serving', workers: 3, url: server.url, fleetProcesses: 3 })
  const replies: Json[] = []
  const echo = await askServer({ dataDir: server.dataDir, verb: 'echo', args: { a: 1 } }, (message) => replies.push(message))
  t.match(echo, { ok: true, result: { args: { a: 1 }, slot: 0 } })
  t.same(replies, ['half'])
  t.match(await askServer({ dataDir: server.dataDir, verb: 'nonsense', args: null }, () => {}), { ok: false, error: { code: 'NEKO_ERR_NOT_FOUND' } })
  t.match(await askServer({ dataDir: server.dataDir, verb: 'stop', args: null }, () => {}), { ok: true })
  t.equal((await server.ended).code, 0)
  t.equal(await askServer({ dataDir: server.dataDir, verb: 'status', args: null }, () => {}), null, 'nobody answers any more')
})

t.test('a fleet that cannot start ends with a reason', async (t) => {
  const server = spawnServer(t, { main, env: { WORKERS: '2', PORT: '1', HOST: '203.0.113.1' } })
  t.equal((await server.ended).code, 78)
  t.match(server.logs().at(-1), { level: 'fatal', variable: 'HOST' })
})
