import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { bareEnvironment, makeDataDir, spawnServer, startServer } from '../server.ts'

/** What a bad configuration comes to is in test/config: here is what a good one does. */
const main = new URL('small-main.ts', import.meta.url)
const cli = fileURLToPath(new URL('../../src/cli.ts', import.meta.url))
/** Calls of `neko` at once. */
const LANES = 3

interface Said { code: number, stdout: string, stderr: string }

/** Runs `neko` to its end. */
async function neko (dataDir: string, ...args: string[]): Promise<Said> {
  const child = spawn(process.execPath, [cli, ...args], { cwd: dataDir, env: { ...bareEnvironment(), NODE_ENV: 'test', DATA_DIR: dataDir }, stdio: ['ignore', 'pipe', 'pipe'] })
  const texts = { stdout: '', stderr: '' }
  child.stdout.on('data', (chunk: Buffer) => { texts.stdout += chunk.toString() })
  child.stderr.on('data', (chunk: Buffer) => { texts.stderr += chunk.toString() })
  const [code] = await once(child, 'close')
  return { code: code as number, ...texts }
}

/** What `neko` says to each of these, some at a time. */
async function nekoToEach (dataDir: string, calls: string[][]): Promise<Array<[args: string[], said: Said]>> {
  const said: Array<[string[], Said]> = []
  const waiting = [...calls]
  await Promise.all(Array.from({ length: LANES }, async () => {
    for (let args = waiting.shift(); args !== undefined; args = waiting.shift()) said.push([args, await neko(dataDir, ...args)])
  }))
  return said
}

t.test('neko says how it is used, and 64 on misuse', async (t) => {
  const dataDir = makeDataDir(t)
  t.match(await neko(dataDir, '--help'), { code: 0, stdout: /intel import <file or url>/ })
  const verbs = [['start'], ['status'], ['reload'], ['stop'], ['intel', 'import'], ['explain'], ['replay'], ['audit', 'verify'], ['backup']]
  for (const [args, said] of await nekoToEach(dataDir, verbs.map((verb) => [...verb, '--help']))) {
    t.match(said, { code: 0, stdout: new RegExp(`^neko ${args.slice(0, -1).join(' ')}`) })
  }
  const misuses = [
    [], ['frob'], ['intel'], ['constructor'], ['status', 'extra'], ['explain'], ['backup'], ['reload', '--watch'], ['status', '--nope'], ['intel', 'import', 'x', '--format', 'pdf'],
    ['audit', 'verify', '--against', '{}'], ['audit', 'verify', '--against', 'absent'], ['status', '--against', '{}']
  ]
  for (const [args, said] of await nekoToEach(dataDir, misuses)) t.match(said, { code: 64, stderr: /^neko: / }, args.join(' '))
  for (const [args, { code }] of await nekoToEach(dataDir, [['status'], ['reload'], ['stop']])) t.equal(code, 69, `${args[0]} against no server`)
})

t.test('one process: a second server on its data directory refuses, and a socket that a dead one left is replaced', async (t) => {
  const first = await startServer(t, { main })
  t.equal(first.output().match(/is ready/g)?.length, 1, 'the banner is printed once')
  const socket = join(first.dataDir, 'neko.sock')
  t.equal(statSync(socket).mode & 0o777, 0o600)
  const second = spawnServer(t, { main, dataDir: first.dataDir })
  t.equal((await second.ended).code, 78)
  t.equal(second.logs().length, 1)
  t.match(second.logs()[0], { level: 'fatal', variable: 'DATA_DIR', message: /owned by another server/ })
  t.match(await neko(first.dataDir, 'status'), { code: 0, stdout: /serving at/ }, 'the first still answers')
  t.match(await neko(first.dataDir, 'reload'), { code: 1, stderr: /WORKERS=1/ })
  await first.kill()
  t.ok(existsSync(socket), 'kill -9 leaves the file')
  const third = await startServer(t, { main, dataDir: first.dataDir })
  t.match(await neko(third.dataDir, 'stop'), { code: 0 })
  t.equal((await third.ended).code, 0)
  t.notOk(existsSync(socket), 'an orderly end does not')
})

t.test('two processes, with Redis away and SCORING_MODE=batch', async (t) => {
  const server = await startServer(t, { main, env: { WORKERS: '2', SCORING_MODE: 'batch', REDIS_URL: 'redis://127.0.0.1:1' } })

  await t.test('the banner is printed once, though Redis is away', async (t) => {
    t.equal(server.output().match(/is ready/g)?.length, 1)
  })

  await t.test('batch starts as ring, which the banner shows and one line of the log says', async (t) => {
    t.match(server.output(), /scoring thread \(ring\)/)
    const lines = server.logs().filter((line) => line['variable'] === 'SCORING_MODE')
    t.equal(lines.length, 1)
    t.match(lines[0], { level: 'warn', value: 'batch', meant: 'ring' })
  })

  await t.test('neko shows, reloads and stops them', async (t) => {
    t.match(JSON.parse((await neko(server.dataDir, 'status', '--json')).stdout), { workers: 2, state: 'serving', processes: [{ state: 'ready' }, { state: 'ready' }] })
    t.match(await neko(server.dataDir, 'reload'), { code: 0 })
    writeFileSync(join(server.dataDir, 'broken'), '')
    t.match(await neko(server.dataDir, 'reload'), { code: 1, stderr: /did not start/ })
    t.match(await neko(server.dataDir, 'stop'), { code: 0 })
    t.equal((await server.ended).code, 0)
  })
})
