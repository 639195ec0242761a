import { randomBytes } from 'node:crypto'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { request } from 'undici'
import { askServer } from '../../src/processes/control-client.ts'
import type { Json } from '../../src/std/json.ts'
import { makeDataDir, startServer } from '../server.ts'
import { startLoad, until } from './load.ts'
import { isAlive, readyOf, statusOf } from './status-of.ts'
import { slack, withinBar } from '../bar.ts'

const main = new URL('small-main.ts', import.meta.url)

async function get<T> (url: string): Promise<T> {
  const { body } = await request(url)
  return await body.json() as T
}

t.test('a slot that crashes at every start is tried ever more rarely, and the others serve', async (t) => {
  const server = await startServer(t, { main, env: { WORKERS: '2' } })
  writeFileSync(join(server.dataDir, 'broken-1'), '')
  const load = startLoad(server.url, { connections: 8, thinkMs: () => 5 })
  const victim = (await statusOf(server)).processes.find(({ slot }) => slot === 1)!
  process.kill(victim.pid, 'SIGKILL')
  const deaths = (): Array<Record<string, unknown>> => server.logs().filter(({ msg, workerSlot }) => msg === 'a worker died' && workerSlot === 1)
  await until('the slot failed several times', () => deaths().length >= 4, 20_000)
  await new Promise((resolve) => setTimeout(resolve, 50))
  const afterKill = load.seen.failures.length
  t.ok(afterKill <= 8 / 2 + 2)
  const delays = deaths().map(({ restartInMs }) => restartInMs as number)
  delays.forEach((delay, i) => t.ok(delay >= 80 * 2 ** i && delay <= 120 * 2 ** i, `${delay} ms after death ${i + 1}`))
  rmSync(join(server.dataDir, 'broken-1'))
  await until('the slot is whole again', async () => (await readyOf(server)).length === 2, 10_000)
  t.equal((await load.stop()).failures.length, afterKill, 'the healthy worker lost nothing')
})

t.test('a worker that dies before the primary has its duties is seen to as soon as it has them', async (t) => {
  const dataDir = makeDataDir(t)
  writeFileSync(join(dataDir, 'slow-duties'), '')
  const server = await startServer(t, { main, dataDir, env: { WORKERS: '2' } })
  const said = (text: string): boolean => server.logs().some(({ msg }) => msg === text)
  process.kill((await statusOf(server)).processes[0]!.pid, 'SIGKILL')
  await until('the death is known', () => said('a worker died'), 20_000)
  t.notOk(said('a death is seen to'))
  rmSync(join(dataDir, 'slow-duties'))
  await until('it is seen to', () => said('a death is seen to'), 20_000)
})

t.test('a reload to a broken build or configuration leaves the old workers serving', async (t) => {
  const server = await startServer(t, { main, env: { WORKERS: '2' } })
  const load = startLoad(server.url, { connections: 8, thinkMs: () => 5 })
  const before = (await statusOf(server)).processes.map(({ pid }) => pid).sort()
  writeFileSync(join(server.dataDir, 'broken'), '')
  const broken = await askServer({ dataDir: server.dataDir, verb: 'reload', args: null }, () => {})
  t.equal(broken?.ok, false)
  const errorLines = (): number => server.logs().filter(({ msg }) => msg === 'the reload failed: the workers that were not replaced stay').length
  await until('the error line is written', () => errorLines() > 0)
  t.equal(errorLines(), 1)
  rmSync(join(server.dataDir, 'broken'))

  writeFileSync(join(server.dataDir, '.env'), 'SENSITIVITY=99\n')
  const misconfigured = await askServer({ dataDir: server.dataDir, verb: 'reload', args: null }, () => {})
  t.match(misconfigured, { ok: false, error: { code: 'NEKO_ERR_CONFIG_INVALID', message: /^SENSITIVITY: / } })
  t.same((await statusOf(server)).processes.map(({ pid }) => pid).sort(), before)

  writeFileSync(join(server.dataDir, '.env'), 'ENFORCEMENT=shadow\n')
  const progress: Json[] = []
  t.match(await askServer({ dataDir: server.dataDir, verb: 'reload', args: null }, (message) => progress.push(message)), { ok: true, result: { replaced: 2 } })
  t.equal(progress.length, 2)
  t.match(await get(server.url), { enforcement: 'shadow', isWorker: true, prepared: { prepared: 'yes' } }, 'new workers run on the new configuration')
  t.same((await load.stop()).failures, [])
})

t.test('a .env that was cut, emptied, overwritten or removed takes no key and no store away by a reload', async (t) => {
  const dataDir = makeDataDir(t)
  const file = join(dataDir, '.env')
  const secret = randomBytes(32).toString('hex')
  const whole = `JWT_SECRET=${secret}\nAUDIT_PSEUDONYM_KEY=${secret}\nADMIN_PASSWORD=a long pass phrase of r06\nBLOCK_THRESHOLD=80\n`
  writeFileSync(file, whole)
  const server = await startServer(t, { main, dataDir, env: { WORKERS: '2' } })
  const load = startLoad(server.url, { connections: 4, thinkMs: () => 5 })
  const before = (await statusOf(server)).processes.map(({ pid }) => pid).sort()
  const errors = (): unknown[] => server.logs().filter(({ level }) => level === 'error').map(({ msg, reason }) => [msg, reason])
  const faults: Array<[name: RegExp, make: () => void]> = [
    [/^\.env: is empty/, () => { writeFileSync(file, '') }],
    [/^\.env: is empty/, () => { writeFileSync(file, '\n \r\n') }],
    [/^\.env: is no text/, () => { writeFileSync(file, Buffer.alloc(4096)) }],
    [/^\.env: is no text/, () => { writeFileSync(file, Buffer.concat([Buffer.from(whole), Buffer.alloc(512)])) }],
    [/^\.env: is no UTF-8/, () => { writeFileSync(file, Buffer.from([0xc3, 0x28, ...Buffer.from(whole)])) }],
    [/^\.env: is UTF-16/, () => { writeFileSync(file, Buffer.from(`\ufeff${whole}`, 'utf16le')) }],
    [/^\.env: holds no line/, () => { writeFileSync(file, '<!doctype html>\n<p>404</p>\n') }],
    [/^\.env: holds no line/, () => { writeFileSync(file, whole.slice(0, 7)) }],
    [/^JWT_SECRET, AUDIT_PSEUDONYM_KEY: was set/, () => { writeFileSync(file, whole.slice(0, 11)) }],
    [/^JWT_SECRET, AUDIT_PSEUDONYM_KEY: was set/, () => { writeFileSync(file, 'JWT_SECRET=\nBLOCK_THRESHOLD=80\n') }],
    [/^AUDIT_PSEUDONYM_KEY: was set/, () => { writeFileSync(file, `JWT_SECRET=${secret}\n`) }],
    [/^JWT_SECRET, AUDIT_PSEUDONYM_KEY: was set/, () => { /* it is gone already */ }],
    [/^\.env: is no regular file/, () => { mkdirSync(file) }]
  ]
  for (const [index, [reason, make]] of faults.entries()) {
    rmSync(file, { recursive: true, force: true })
    make()
    const title = `${index} ${reason}`
    if (index % 2 === 0) t.match(await askServer({ dataDir, verb: 'reload', args: null }, () => {}), { ok: false, error: { code: 'NEKO_ERR_CONFIG_INVALID', message: reason } }, title)
    else server.signal('SIGHUP')
    await until(title, () => errors().length > index)
    t.match(errors(), { [index]: ['not reloaded: the configuration in force stays', reason] }, title)
  }
  t.equal(errors().length, faults.length, 'one line for each')
  t.notMatch(server.output(), secret)
  t.same((await statusOf(server)).processes.map(({ pid }) => pid).sort(), before)
  // Rotated keys, a byte order mark, other line ends, and the first password gone: a reload like any other.
  rmSync(file, { recursive: true })
  writeFileSync(file, `\ufeffJWT_SECRET=${secret}x,${secret}\r\nAUDIT_PSEUDONYM_KEY=${secret}\r\n`)
  t.match(await askServer({ dataDir, verb: 'reload', args: null }, () => {}), { ok: true, result: { replaced: 2 } })
  t.same((await load.stop()).failures, [])
})

t.test('with the primary killed no worker is left behind, and a new server starts at once', async (t) => {
  const server = await startServer(t, { main, env: { WORKERS: '2' } })
  const pids = (await statusOf(server)).processes.map(({ pid }) => pid)
  const killMs = performance.now()
  await Promise.race([server.kill(), new Promise((resolve) => setTimeout(resolve, 100))])
  await until('all workers are gone', () => pids.every((pid) => !isAlive(pid)), slack(2000))
  const again = await startServer(t, { main, dataDir: server.dataDir, env: { WORKERS: '2', PORT: String(server.port) } })
  t.equal(again.port, server.port)
  withinBar(t, 'from kill to serving', performance.now() - killMs, 3000)
  t.equal(await again.stop(), 0)
})
