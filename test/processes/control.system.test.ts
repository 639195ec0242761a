import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, lstatSync, mkdirSync, renameSync, rmSync, statSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs'
import { createConnection, createServer } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { ConfigError } from '../../src/config/config.ts'
import { openControlSocket } from '../../src/processes/control.ts'
import { askServer } from '../../src/processes/control-client.ts'
import type { Json } from '../../src/std/json.ts'
import { makeDataDir } from '../server.ts'

/** The control socket is the lock of the data directory: one server, whoever comes when; start.system has real ones. */
const quiet = { warn () {} }
const verbsOf = (name: string) => ({ run: async () => ({ ok: true as const, result: name as Json }) })

/** A socket that nobody listens on, as kill -9 leaves it. */
async function leaveSocket (dataDir: string): Promise<void> {
  const path = join(dataDir, 'neko.sock')
  const server = createServer().listen(path)
  await once(server, 'listening')
  // Node removes the path that it listened on.
  renameSync(path, `${path}.kept`)
  server.close()
  await once(server, 'close')
  renameSync(`${path}.kept`, path)
}

t.test('of servers that start together on what a dead one left, one gets the directory', async (t) => {
  for (let round = 0; round < 20; round++) {
    const dataDir = makeDataDir(t)
    await leaveSocket(dataDir)
    const opened = await Promise.allSettled(['a', 'b', 'c'].map((name) => openControlSocket({ dataDir, verbs: verbsOf(name), log: quiet })))
    const [winner, ...others] = opened.filter(({ status }) => status === 'fulfilled')
    t.same(others, [], 'one')
    for (const one of opened) if (one.status === 'rejected') t.ok(one.reason instanceof ConfigError && one.reason.variable === 'DATA_DIR')
    t.match(await askServer({ dataDir, verb: 'who', args: null }, () => {}), { ok: true })
    t.equal(statSync(join(dataDir, 'neko.sock')).mode & 0o777, 0o600)
    await (winner as PromiseFulfilledResult<{ close (): Promise<void> }>).value.close()
  }
})

t.test('whatever else stands at the path of the socket is named and stays', async (t) => {
  const others: Array<[kind: RegExp, make: (path: string) => void]> = [
    [/a directory/, (path) => { mkdirSync(path) }],
    [/a directory/, (path) => { mkdirSync(join(path, 'full'), { recursive: true }) }],
    [/another file/, (path) => { writeFileSync(path, 'precious') }],
    [/another file/, (path) => { execFileSync('mkfifo', [path]) }],
    [/a symbolic link/, (path) => { symlinkSync(`${path}.target`, path) }],
    [/a symbolic link/, (path) => {
      writeFileSync(`${path}.target`, 'precious')
      symlinkSync(`${path}.target`, path)
    }]
  ]
  for (const [kind, make] of others) {
    const dataDir = makeDataDir(t)
    const path = join(dataDir, 'neko.sock')
    make(path)
    const before = lstatSync(path)
    await t.rejects(openControlSocket({ dataDir, verbs: verbsOf('x'), log: quiet }), { name: 'ConfigError', variable: 'DATA_DIR', message: new RegExp(`${kind.source} as neko\\.sock.*move it away`) }, `${kind}`)
    t.match(lstatSync(path), { ino: before.ino, ctimeMs: before.ctimeMs }, `${kind}`)
  }
})

t.test('a socket whose server is stopped, or may not be asked, is not taken for a dead one', async (t) => {
  const dataDir = makeDataDir(t)
  const child = spawn(process.execPath, ['-e', "require('net').createServer().listen({ path: process.argv[1], backlog: 1 }, () => console.log('up'))", join(dataDir, 'neko.sock')], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => { child.kill('SIGKILL') })
  await once(child.stdout, 'data')
  child.kill('SIGSTOP')
  const waiting = Array.from({ length: 4 }, () => createConnection(join(dataDir, 'neko.sock')).on('error', () => {}))
  await t.rejects(openControlSocket({ dataDir, verbs: verbsOf('x'), log: quiet }), { variable: 'DATA_DIR', message: /owned by another server/ })
  for (const socket of waiting) socket.destroy()
  if (process.getuid?.() !== 0) {
    chmodSync(join(dataDir, 'neko.sock'), 0)
    await t.rejects(openControlSocket({ dataDir, verbs: verbsOf('x'), log: quiet }), { variable: 'DATA_DIR', message: /EACCES/ })
  }
  t.ok(lstatSync(join(dataDir, 'neko.sock')).isSocket())
})

t.test('a server that closes leaves what stands in the place of its socket', async (t) => {
  const dataDir = makeDataDir(t)
  const first = await openControlSocket({ dataDir, verbs: verbsOf('first'), log: quiet })
  unlinkSync(join(dataDir, 'neko.sock'))
  // Of a container that shares the volume and no network: the path is all that the two have in common.
  const second = createServer().listen(join(dataDir, 'neko.sock'))
  t.teardown(() => second.close())
  await once(second, 'listening')
  await first.close()
  t.ok(existsSync(join(dataDir, 'neko.sock')))
})

t.test('a server whose directory is deleted keeps the next one out, and lets it in when it ends', async (t) => {
  const dataDir = join(makeDataDir(t), 'data')
  mkdirSync(dataDir)
  const first = await openControlSocket({ dataDir, verbs: verbsOf('first'), log: quiet })
  rmSync(dataDir, { recursive: true })
  mkdirSync(dataDir)
  await t.rejects(openControlSocket({ dataDir, verbs: verbsOf('second'), log: quiet }), { message: /owned by another server/ })
  await first.close()
  const second = await openControlSocket({ dataDir, verbs: verbsOf('second'), log: quiet })
  t.match(await askServer({ dataDir, verb: 'who', args: null }, () => {}), { ok: true, result: 'second' })
  await second.close()
})
