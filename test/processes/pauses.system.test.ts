import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import type { Test } from 'tap'
import { request } from 'undici'
import { startServer } from '../server.ts'
import type { StartedServer } from '../server.ts'
import { startLoad, until } from './load.ts'
import type { LoadResult } from './load.ts'
import { isAlive, statusOf } from './status-of.ts'
import type { Processes } from './status-of.ts'

/**
 * Processes that stand still and go on: a snapshot of the virtual machine, a frozen container, a suspended laptop. Whoever
 * was not run for a while was not silent by its own doing, and is as well afterwards as before. The cases only wait, and do
 * so beside each other.
 */
const main = new URL('small-main.ts', import.meta.url)
/** More than the 5 s that a worker which hangs is waited for; 20 s of each kind are stood still nightly (test/chaos). */
const PAUSE_MS = 6_000
const DRAIN_MS_MAX = 4_000
/** Longer than any pause: what the clients of these tests give up for is a fault of the server's. */
const PATIENT = { headersTimeoutMs: 60_000 }
const CONNECTIONS = 4
const LOAD = { connections: CONNECTIONS, thinkMs: () => 30, ...PATIENT }

const processesOf = async (server: StartedServer): Promise<Processes> => (await statusOf(server)).processes
const pidsOf = async (server: StartedServer): Promise<number[]> => (await processesOf(server)).map(({ pid }) => pid).sort()
const send = (signal: NodeJS.Signals, pids: readonly number[]): void => { for (const pid of pids) process.kill(pid, signal) }

/** All connections are served again: each has had a turn, and both workers beat. */
async function untilServing (server: StartedServer, seen: LoadResult): Promise<void> {
  const before = seen.ok
  await until('the load goes on', () => seen.ok > before + 10 * CONNECTIONS)
  await until('both workers beat', async () => (await processesOf(server)).filter(({ state }) => state === 'ready').length === 2)
}

const troubles = (server: StartedServer): unknown[] => server.logs().filter(({ level }) => level === 'error' || level === 'fatal')

/** All is served again by the same processes, and nothing was lost. */
async function endsAsBefore (t: Test, server: StartedServer, { workers, load }: { workers: number[], load: ReturnType<typeof startLoad> }): Promise<void> {
  await untilServing(server, load.seen)
  const { failures, ok } = await load.stop()
  t.same(failures, [], `0 failed of ${ok}`)
  t.same(await pidsOf(server), workers)
  t.same((await processesOf(server)).map(({ restarts }) => restarts), [0, 0])
  t.same(troubles(server), [])
}

t.jobs = 3
// One after the other: three servers that start at once on a busy machine are none of the matter here.
const [whole, headless, limping] = [await startTwo(), await startTwo({ SHUTDOWN_TIMEOUT_MS: String(DRAIN_MS_MAX) }), await startTwo()]

function startTwo (env: Record<string, string> = {}): Promise<StartedServer> {
  return startServer(t, { main, env: { WORKERS: '2', ...env } })
}

t.test('a server that stood still, its workers a second longer, loses nobody and nothing', { buffered: true }, async (t) => {
  const workers = await pidsOf(whole)
  const load = startLoad(whole.url, LOAD)
  await until('the load runs', () => load.seen.ok > 50)
  send('SIGSTOP', [whole.pid, ...workers])
  await sleep(PAUSE_MS)
  send('SIGCONT', [whole.pid])
  await sleep(1_000)
  send('SIGCONT', workers)
  await untilServing(whole, load.seen)
  for (let round = 0; round < 2; round++) {
    send('SIGSTOP', [whole.pid, ...workers])
    await sleep(1_500)
    send('SIGCONT', [...workers, whole.pid])
    await sleep(100)
  }
  await endsAsBefore(t, whole, { workers, load })
  t.equal(await whole.stop(), 0)
})

t.test('two workers', { buffered: true }, async (t) => {
  const workers = await pidsOf(headless)

  await t.test('whose primary alone stood still are not killed, and served on', async (t) => {
    const load = startLoad(headless.url, LOAD)
    await until('the load runs', () => load.seen.ok > 50)
    send('SIGSTOP', [headless.pid])
    await sleep(PAUSE_MS)
    const late = load.seen.ok
    await until('they serve', () => load.seen.ok > late + 50)
    send('SIGCONT', [headless.pid])
    await endsAsBefore(t, headless, { workers, load })
  })

  await t.test('in a drain that is stopped for longer than a drain may last lose no request', async (t) => {
    const answers = Array.from({ length: 10 }, async () => (await request(headless.url + '/held', { headersTimeout: PATIENT.headersTimeoutMs })).statusCode)
    await until('they are under way', () => headless.logs().filter(({ msg }) => msg === 'held').length === 10)
    headless.signal('SIGTERM')
    await until('it drains', () => headless.logs().some(({ msg }) => msg === 'draining'))
    send('SIGSTOP', [headless.pid, ...workers])
    await sleep(DRAIN_MS_MAX + 1_000)
    writeFileSync(join(headless.dataDir, 'let-go'), '')
    send('SIGCONT', [headless.pid, ...workers])
    t.same(await Promise.all(answers), Array(10).fill(200))
    t.equal((await headless.ended).code, 0)
  })
})

t.test('a worker that hangs', { buffered: true }, async (t) => {
  const fresh = async (path = '/'): Promise<{ pid: number }> => {
    const { body } = await request(limping.url + path, { reset: true, headersTimeout: PATIENT.headersTimeoutMs })
    return await body.json() as { pid: number }
  }
  const stateOf = async (pid: number): Promise<string | undefined> => (await processesOf(limping)).find((one) => one.pid === pid)?.state

  await t.test('for a while only is left alone, and serves again', async (t) => {
    const workers = await pidsOf(limping)
    const stalled = fresh('/stall')
    const victim = await until('it shows as stalled', async () => (await processesOf(limping)).find(({ state }) => state === 'stalled'))
    const others = await Promise.all(Array.from({ length: 20 }, () => fresh()))
    t.notOk(others.some(({ pid }) => pid === victim.pid), 'connections go to the other one')
    writeFileSync(join(limping.dataDir, 'go-on'), '')
    t.match(await stalled, { pid: victim.pid })
    await until('it is ready by itself', async () => await stateOf(victim.pid) === 'ready')
    t.same(await pidsOf(limping), workers)
    t.same(troubles(limping), [])
  })

  await t.test('for good is replaced by one that stands beside it first', async (t) => {
    const [victim, sibling] = await pidsOf(limping) as [number, number]
    send('SIGSTOP', [victim])
    await until('it shows as stalled', async () => await stateOf(victim) === 'stalled')
    const others = await Promise.all(Array.from({ length: 20 }, () => fresh()))
    t.notOk(others.some(({ pid }) => pid === victim), 'connections go to the other one')
    await until('it is gone', () => !isAlive(victim))
    const now = await processesOf(limping)
    // On a busy machine either may beat late, which shows as stalled.
    t.same(now.map(({ state }) => state === 'starting'), [false, false], 'another one was there before it was killed')
    t.ok(now.some(({ pid }) => pid === sibling) && !now.some(({ pid }) => pid === victim))
    t.same(now.map(({ restarts }) => restarts).sort(), [0, 1])
    t.same(troubles(limping).map((line) => (line as { msg: string }).msg), ['a worker hangs and is replaced', 'a worker that hangs was killed'])
  })
  t.equal(await limping.stop(), 0)
})
