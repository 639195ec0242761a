import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { request } from 'undici'
import { askServer } from '../../src/processes/control-client.ts'
import type { Json } from '../../src/std/json.ts'
import { showFigure } from '../bar.ts'
import { scaled } from '../scale.ts'
import { spawnServer, startServer } from '../server.ts'
import type { StartedServer } from '../server.ts'
import { startLoad, until } from './load.ts'
import { readyOf, statusOf } from './status-of.ts'

const main = new URL('small-main.ts', import.meta.url)
const CONNECTIONS = 32
const RELOADS = scaled(1, 3)
/** It only ends what would hang. */
const PATIENCE_MS = 60_000
const REQUESTS = /^neko_http_requests_total\{[^}]*\} (\d+)$/gm

/** Over a connection of its own: one worker after the other answers. */
async function get<T> (url: string): Promise<T> {
  const { body } = await request(url, { reset: true, headersTimeout: PATIENCE_MS })
  return await body.json() as T
}

async function countOf (server: StartedServer, series: RegExp): Promise<number> {
  const { body } = await request(`${server.metricsUrl}/metrics`)
  return [...(await body.text()).matchAll(series)].reduce((sum, match) => sum + Number(match[1]), 0)
}

t.test('two workers', async (t) => {
  const server = await startServer(t, { main, env: { WORKERS: '2' } })
  const deaths = (): Array<Record<string, unknown>> => server.logs().filter(({ msg }) => msg === 'a worker died')

  await t.test('reloaded under load lose no request, saturated and with pauses', async (t) => {
    const busy = startLoad(server.url, { connections: 8, headersTimeoutMs: PATIENCE_MS })
    const pausing = startLoad(server.url, { connections: 16, thinkMs: () => Math.random() * 200, headersTimeoutMs: PATIENCE_MS })
    await until('the load runs', () => busy.seen.ok > 200)
    let counted = 0
    for (let round = 1; round <= RELOADS; round++) {
      const pids = (await statusOf(server)).processes.map(({ pid }) => pid)
      const startMs = performance.now()
      server.signal('SIGHUP')
      await until('all are replaced', () => server.logs().filter(({ msg }) => msg === 'reloaded').length === round, PATIENCE_MS)
      showFigure(t, 'a reload', performance.now() - startMs, 20_000)
      t.notOk((await statusOf(server)).processes.some(({ pid }) => pids.includes(pid)))
      const now = await countOf(server, REQUESTS)
      t.ok(now >= counted, 'counters do not fall')
      counted = now
    }
    const results = [await busy.stop(), await pausing.stop()]
    for (const { ok, failures } of results) t.same(failures, [], `0 failed of ${ok}`)
    const sent = results.reduce((sum, { ok }) => sum + ok, 0)
    // What is counted when a reply has left may be on its way.
    await until('all is counted', async () => await countOf(server, REQUESTS) >= sent)
    t.equal(await countOf(server, REQUESTS), sent, 'what was counted is what was sent')
    t.ok(await countOf(server, /^neko_process_restarts_total\{reason="reload"\} (\d+)$/gm) >= 2 * RELOADS)
  })

  await t.test('that get the signal of the whole group obey only their primary', async (t) => {
    const before = (await readyOf(server)).map(({ pid }) => pid)
    for (const pid of before) for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.kill(pid, signal)
    // A worker that answers a second time had a turn of its loop in which it took the signals.
    const answers = new Map(before.map((pid) => [pid, 0]))
    await until('both answered twice', async () => {
      const { pid } = await get<{ pid: number }>(server.url)
      answers.set(pid, (answers.get(pid) ?? 0) + 1)
      return [...answers.values()].every((count) => count >= 2)
    })
    t.same((await readyOf(server)).map(({ pid }) => pid), before)
    t.same(deaths(), [])
  })

  await t.test('of which one is killed: it costs only what it had in flight, and is replaced', async (t) => {
    const load = startLoad(server.url, { connections: CONNECTIONS, thinkMs: () => 5 })
    await until('every connection was answered', () => load.seen.pids.every((pid) => pid !== null))
    const [victim] = (await statusOf(server)).processes
    const held = load.seen.pids.filter((pid) => pid === victim!.pid).length
    t.ok(Math.abs(held - CONNECTIONS / 2) <= 2, `${held} of ${CONNECTIONS} connections on one of two workers`)
    const startMs = performance.now()
    process.kill(victim!.pid, 'SIGKILL')
    await until('a replacement is ready', async () => (await readyOf(server)).filter(({ pid }) => pid !== victim!.pid).length === 2)
    showFigure(t, 'from kill to replacement', performance.now() - startMs, 2000)
    const { failures, ok } = await load.stop()
    t.ok(failures.length <= CONNECTIONS / 2 + 2, `${failures.length} failures of ${ok}`)
    t.same(deaths().map(({ signal }) => signal), ['SIGKILL'])
  })

  await t.test('of which one meets an error nobody caught: it ends, with the stack in the log', async (t) => {
    for (const [died, [path, text]] of ([['/throw', 'thrown on purpose'], ['/reject', 'rejected on purpose']] as const).entries()) {
      await t.rejects(request(server.url + path))
      const line = await until('the cause is logged', () => server.logs().find(({ err }) => (err as { message?: string } | undefined)?.message === text))
      t.equal(line.level, 'fatal')
      t.match((line.err as { stack: string }).stack, /small-main/)
      // Until its death is known the dead one counts as ready.
      await until('its death is logged', () => deaths().filter(({ code, signal }) => signal !== 'SIGKILL' && code !== 0).length === died + 1)
      await until('both are ready again', async () => (await readyOf(server)).length === 2)
    }
  })

  await t.test('drain: what is under way is finished', (t) => drains(t, server))
})

t.test('one process drains as well', async (t) => drains(t, await startServer(t, { main })))

/** A drain finishes what is under way, and a second signal does not cut it. */
async function drains (t: Test, server: StartedServer): Promise<void> {
  const held = Array.from({ length: 50 }, async () => (await request(server.url + '/held', { headersTimeout: PATIENCE_MS })).statusCode)
  await until('they are under way', () => server.logs().filter(({ msg }) => msg === 'held').length === 50)
  server.signal('SIGTERM')
  await until('it drains', () => server.logs().some(({ msg }) => msg === 'draining'))
  server.signal('SIGTERM')
  server.signal('SIGINT')
  await until('nothing new is accepted', () => request(server.url).then(({ body }) => body.dump().then(() => false), () => true))
  writeFileSync(join(server.dataDir, 'let-go'), '')
  t.same(new Set(await Promise.all(held)), new Set([200]))
  t.equal((await server.ended).code, 0)
}

t.test('the fleet over IPC: told, asked, counted, and the status of all', async (t) => {
  const server = await startServer(t, { main, env: { WORKERS: '3' } })
  t.equal(await get(server.url + '/count'), 3)
  t.equal((await get<number[]>(server.url + '/ask')).length, 2)
  t.same(await get(server.url + '/ask-silent'), [], 'null ends a question, whose own time is longer than this waits')
  await get(server.url + '/publish')
  await until('somebody heard it', async () => (await get<unknown[]>(server.url + '/heard')).length === 1)
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
  t.match(server.logs().filter(({ level }) => level === 'fatal'), [{ variable: 'HOST' }])
})
