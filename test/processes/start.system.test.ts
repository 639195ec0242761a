import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { bareEnvironment, makeDataDir, spawnServer, startServer } from '../server.ts'
import { withinBar } from '../bar.ts'

const main = new URL('small-main.ts', import.meta.url)
const cli = fileURLToPath(new URL('../../src/cli.ts', import.meta.url))

/** Runs `neko` to its end. */
async function neko (dataDir: string, ...args: string[]): Promise<{ code: number, stdout: string, stderr: string }> {
  const child = spawn(process.execPath, [cli, ...args], { cwd: dataDir, env: { ...bareEnvironment(), NODE_ENV: 'test', DATA_DIR: dataDir }, stdio: ['ignore', 'pipe', 'pipe'] })
  const texts = { stdout: '', stderr: '' }
  child.stdout.on('data', (chunk: Buffer) => { texts.stdout += chunk.toString() })
  child.stderr.on('data', (chunk: Buffer) => { texts.stderr += chunk.toString() })
  const [code] = await once(child, 'close')
  return { code: code as number, ...texts }
}

t.test('bad configuration ends with 78 within 2 s and one line that names the variable, never its value', async (t) => {
  const busy = createServer().listen(0, '127.0.0.1')
  await once(busy, 'listening')
  t.teardown(() => busy.close())
  const port = String((busy.address() as AddressInfo).port)
  const weak = ['hunter', '2'].join('')
  const bad: Array<[variable: string, env: Record<string, string>]> = [
    ['PORT', { PORT: 'eighty' }], ['PORT', { PORT: port }], ['PORT', { PORT: port, WORKERS: '2' }], ['METRICS_PORT', { METRICS_PORT: port }], ['METRICS_PORT', { METRICS_PORT: port, WORKERS: '2' }],
    ['HOST', { HOST: '203.0.113.1' }], ['DATA_DIR', { DATA_DIR: '/dev/null/neko' }], ['DATA_DIR', { DATA_DIR: '/proc/neko' }], ['WORKERS', { WORKERS: '0' }], ['LOG_LEVEL', { LOG_LEVEL: 'loud' }], ['TRUST_PROXY', { TRUST_PROXY: 'true' }],
    ['REDIS_URL', { REDIS_URL: 'http://127.0.0.1' }], ['JWT_SECRET', { NODE_ENV: 'production' }], ['JWT_SECRET', { NODE_ENV: 'production', JWT_SECRET: weak }], ['ADMIN_PASSWORD', { ADMIN_PASSWORD: weak }],
    ['JWT_SECRET_FILE', { JWT_SECRET_FILE: '/nowhere/at/all' }], ['CORS_ORIGIN', { CORS_ORIGIN: '*' }]
  ]
  for (const [variable, env] of bad) {
    const startMs = performance.now()
    const server = spawnServer(t, { main, env })
    t.equal((await server.ended).code, 78, `${variable} ${JSON.stringify(env)}`)
    withinBar(t, 'in time', performance.now() - startMs, 2000)
    t.equal(server.output().trim().split('\n').length, 1, 'one line')
    t.match(server.logs()[0], { level: 'fatal', variable, message: String })
    t.notMatch(server.output(), weak)
  }
})

t.test('a second server on the same data directory refuses, and a socket that a dead one left is replaced', async (t) => {
  const first = await startServer(t, { main })
  const socket = join(first.dataDir, 'neko.sock')
  t.equal(statSync(socket).mode & 0o777, 0o600)
  const second = spawnServer(t, { main, dataDir: first.dataDir })
  t.equal((await second.ended).code, 78)
  t.match(second.logs()[0], { variable: 'DATA_DIR', message: /owned by another server/ })
  t.match(await neko(first.dataDir, 'status'), { code: 0, stdout: /serving at/ }, 'the first still answers')
  await first.kill()
  t.ok(existsSync(socket), 'kill -9 leaves the file')
  const third = await startServer(t, { main, dataDir: first.dataDir })
  t.equal(await third.stop(), 0)
  t.notOk(existsSync(socket), 'an orderly end does not')
})

t.test('Redis that is away at start delays nothing', async (t) => {
  const startMs = performance.now()
  const server = await startServer(t, { main, env: { WORKERS: '2', REDIS_URL: 'redis://127.0.0.1:1' } })
  withinBar(t, 'in time', performance.now() - startMs, 5000)
  t.equal(await server.stop(), 0)
})

t.test('the banner is printed once', async (t) => {
  for (const WORKERS of ['1', '2']) {
    const server = await startServer(t, { main, env: { WORKERS } })
    t.equal(server.output().match(/is ready/g)?.length, 1)
    await server.kill()
  }
})

t.test('SCORING_MODE=batch starts as ring, which the banner shows and one line of the log says', async (t) => {
  const server = await startServer(t, { main, env: { WORKERS: '2', SCORING_MODE: 'batch' } })
  t.match(server.output(), /scoring thread \(ring\)/)
  t.match(server.logs().filter((line) => line['variable'] === 'SCORING_MODE'), [{ level: 'warn', value: 'batch', meant: 'ring' }])
  t.equal(server.logs().filter((line) => line['variable'] === 'SCORING_MODE').length, 1)
  t.equal(await server.stop(), 0)
})

t.test('neko says how it is used, and 64 on misuse', async (t) => {
  const dataDir = makeDataDir(t)
  t.match(await neko(dataDir, '--help'), { code: 0, stdout: /intel import <file or url>/ })
  for (const verb of [['start'], ['status'], ['reload'], ['stop'], ['intel', 'import'], ['explain'], ['replay'], ['audit', 'verify'], ['backup']]) {
    t.match(await neko(dataDir, ...verb, '--help'), { code: 0, stdout: new RegExp(`^neko ${verb.join(' ')}`) })
  }
  for (const args of [[], ['frob'], ['intel'], ['constructor'], ['status', 'extra'], ['explain'], ['backup'], ['reload', '--watch'], ['status', '--nope'], ['intel', 'import', 'x', '--format', 'pdf'], ['audit', 'verify', '--against', '{}'], ['audit', 'verify', '--against', 'absent'], ['status', '--against', '{}']]) {
    t.match(await neko(dataDir, ...args), { code: 64, stderr: /^neko: / }, args.join(' '))
  }
})

t.test('neko against a server and against none', async (t) => {
  const empty = makeDataDir(t)
  for (const verb of ['status', 'reload', 'stop']) t.equal((await neko(empty, verb)).code, 69)
  const alone = await startServer(t, { main })
  t.match(await neko(alone.dataDir, 'reload'), { code: 1, stderr: /WORKERS=1/ })
  t.match(await neko(alone.dataDir, 'stop'), { code: 0 })
  t.equal((await alone.ended).code, 0)

  const server = await startServer(t, { main, env: { WORKERS: '2' } })
  t.match(JSON.parse((await neko(server.dataDir, 'status', '--json')).stdout), { workers: 2, state: 'serving', processes: [{ state: 'ready' }, { state: 'ready' }] })
  t.match(await neko(server.dataDir, 'reload'), { code: 0 })
  writeFileSync(join(server.dataDir, 'broken'), '')
  t.match(await neko(server.dataDir, 'reload'), { code: 1, stderr: /did not start/ })
  t.match(await neko(server.dataDir, 'stop'), { code: 0 })
  t.equal((await server.ended).code, 0)
})
