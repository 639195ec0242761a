import { randomBytes } from 'node:crypto'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { request } from 'undici'
import { askServer } from '../../src/processes/control-client.ts'
import type { Json } from '../../src/std/json.ts'
import { showFigure } from '../bar.ts'
import { scaled } from '../scale.ts'
import { makeDataDir, startServer } from '../server.ts'
import type { StartedServer } from '../server.ts'
import { startLoad, until } from './load.ts'
import { isAlive, readyOf, statusOf } from './status-of.ts'

const main = new URL('small-main.ts', import.meta.url)

const DEATHS = scaled(3, 5)
/** It only ends what would hang. */
const PATIENCE_MS = 60_000

async function get<T> (url: string): Promise<T> {
  const { body } = await request(url)
  return await body.json() as T
}

const pidsOf = async (server: StartedServer): Promise<number[]> => (await statusOf(server)).processes.map(({ pid }) => pid).sort()

t.test('two workers', async (t) => {
  const dataDir = makeDataDir(t)
  const file = join(dataDir, '.env')
  const secret = randomBytes(32).toString('hex')
  const whole = `JWT_SECRET=${secret}\nAUDIT_PSEUDONYM_KEY=${secret}\nADMIN_PASSWORD=a long pass phrase of r06\nBLOCK_THRESHOLD=80\n`
  writeFileSync(file, whole)
  writeFileSync(join(dataDir, 'slow-duties'), '')
  const server = await startServer(t, { main, dataDir, env: { WORKERS: '2' } })
  const reload = (progress: (message: Json) => void = () => {}): ReturnType<typeof askServer> => askServer({ dataDir, verb: 'reload', args: null }, progress)

  await t.test('of which one dies before the primary has its duties: it is seen to as soon as it has them', async (t) => {
    const said = (text: string): boolean => server.logs().some(({ msg }) => msg === text)
    process.kill((await statusOf(server)).processes.find(({ slot }) => slot === 0)!.pid, 'SIGKILL')
    await until('the death is known', () => said('a worker died'))
    t.notOk(said('a death is seen to'))
    rmSync(join(dataDir, 'slow-duties'))
    await until('it is seen to', () => said('a death is seen to'))
    await until('both are ready again', async () => (await readyOf(server)).length === 2)
  })

  await t.test('a .env that was cut, emptied, overwritten or removed takes no key and no store away by a reload', async (t) => {
    const load = startLoad(server.url, { connections: 4, thinkMs: () => 20, headersTimeoutMs: PATIENCE_MS })
    const before = await pidsOf(server)
    const allErrors = (): unknown[] => server.logs().filter(({ level }) => level === 'error').map(({ msg, reason }) => [msg, reason])
    const errorsBefore = allErrors().length
    const errors = (): unknown[] => allErrors().slice(errorsBefore)
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
      if (index % 2 === 0) t.match(await reload(), { ok: false, error: { code: 'NEKO_ERR_CONFIG_INVALID', message: reason } }, title)
      else server.signal('SIGHUP')
      await until(title, () => errors().length > index)
      t.match(errors(), { [index]: ['not reloaded: the configuration in force stays', reason] }, title)
    }
    t.equal(errors().length, faults.length, 'one line for each')
    t.notMatch(server.output(), secret)
    t.same(await pidsOf(server), before)
    // Rotated keys, a byte order mark, other line ends, and the first password gone: a reload like any other.
    rmSync(file, { recursive: true })
    writeFileSync(file, `\ufeffJWT_SECRET=${secret}x,${secret}\r\nAUDIT_PSEUDONYM_KEY=${secret}\r\n`)
    t.match(await reload(), { ok: true, result: { replaced: 2 } })
    t.same((await load.stop()).failures, [])
  })

  await t.test('a reload to a broken build or configuration leaves the old workers serving', async (t) => {
    const kept = readFileSync(file, 'utf8')
    const load = startLoad(server.url, { connections: 8, thinkMs: () => 20, headersTimeoutMs: PATIENCE_MS })
    const before = await pidsOf(server)
    writeFileSync(join(dataDir, 'broken'), '')
    t.equal((await reload())?.ok, false)
    const errorLines = (): number => server.logs().filter(({ msg }) => msg === 'the reload failed: the workers that were not replaced stay').length
    await until('the error line is written', () => errorLines() > 0)
    t.equal(errorLines(), 1)
    rmSync(join(dataDir, 'broken'))

    writeFileSync(file, `${kept}SENSITIVITY=99\n`)
    t.match(await reload(), { ok: false, error: { code: 'NEKO_ERR_CONFIG_INVALID', message: /^SENSITIVITY: / } })
    t.same(await pidsOf(server), before)

    writeFileSync(file, `${kept}ENFORCEMENT=shadow\n`)
    const progress: Json[] = []
    t.match(await reload((message) => progress.push(message)), { ok: true, result: { replaced: 2 } })
    t.equal(progress.length, 2)
    t.match(await get(server.url), { enforcement: 'shadow', isWorker: true, prepared: { prepared: 'yes' } }, 'new workers run on the new configuration')
    t.same((await load.stop()).failures, [])
  })

  await t.test('of which one crashes at every start: it is tried ever more rarely, and the other serves', async (t) => {
    writeFileSync(join(dataDir, 'broken-1'), '')
    const load = startLoad(server.url, { connections: 8, thinkMs: () => 20, headersTimeoutMs: PATIENCE_MS })
    await until('the load runs', () => load.seen.ok > 50)
    const victim = (await statusOf(server)).processes.find(({ slot }) => slot === 1)!
    process.kill(victim.pid, 'SIGKILL')
    const deaths = (): Array<Record<string, unknown>> => server.logs().filter(({ msg, workerSlot }) => msg === 'a worker died' && workerSlot === 1)
    await until('the slot failed several times', () => deaths().length >= DEATHS)
    const afterKill = load.seen.failures.length
    t.ok(afterKill <= 8 / 2 + 2)
    const delays = deaths().map(({ restartInMs }) => restartInMs as number)
    delays.forEach((delay, i) => t.ok(delay >= 80 * 2 ** i && delay <= 120 * 2 ** i, `${delay} ms after death ${i + 1}`))
    rmSync(join(dataDir, 'broken-1'))
    await until('the slot is whole again', async () => (await readyOf(server)).length === 2)
    t.equal((await load.stop()).failures.length, afterKill, 'the healthy worker lost nothing')
  })

  await t.test('whose primary is killed: none is left behind, and a new server starts at once', async (t) => {
    const pids = await pidsOf(server)
    const killMs = performance.now()
    process.kill(server.pid, 'SIGKILL')
    await until('all workers are gone', () => pids.every((pid) => !isAlive(pid)))
    showFigure(t, 'from kill to nobody left', performance.now() - killMs, 2000)
    await server.ended
    const again = await startServer(t, { main, dataDir, env: { WORKERS: '2', PORT: String(server.port) } })
    t.equal(again.port, server.port)
    showFigure(t, 'from kill to serving', performance.now() - killMs, 3000)
    t.equal(await again.stop(), 0)
  })
})
