import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chownSync, mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { lockOwner } from '../../src/processes/owner-lock.ts'
import { makeDataDir } from '../server.ts'

/** The lock of a data directory holds when the directory is gone, by whatever path it is named, and stops nobody else. */
const NOBODY = 65_534
const platforms = process.platform === 'linux' ? ['linux', 'darwin'] as const : [process.platform]
const isRoot = process.getuid?.() === 0
const owned = { variable: 'DATA_DIR', message: /owned by another server/ }

for (const platform of platforms) {
  const lock = (dataDir: string, warnings: object[] = []) => lockOwner({ dataDir, platform, log: { warn: (fields: object) => { warnings.push(fields) } } as never })

  t.test(`a second one is refused, also by another spelling or in a directory made anew (${platform})`, async (t) => {
    const dataDir = join(makeDataDir(t), 'data')
    mkdirSync(dataDir)
    symlinkSync(dataDir, `${dataDir}-link`)
    const first = await lock(dataDir)
    await t.rejects(lock(dataDir), owned)
    await t.rejects(lock(`${dataDir}-link`), owned)
    rmSync(dataDir, { recursive: true })
    mkdirSync(dataDir)
    await t.rejects(lock(dataDir), owned)
    first.release()
    const next = await lock(dataDir)
    next.release()
    const linked = await lock(`${dataDir}-link`)
    await t.rejects(lock(dataDir), owned)
    rmSync(`${dataDir}-link`)
    mkdirSync(`${dataDir}-elsewhere`)
    symlinkSync(`${dataDir}-elsewhere`, `${dataDir}-link`)
    await t.rejects(lock(`${dataDir}-link`), owned, 'a link that is set to another directory')
    linked.release()
    ;(await lock(`${dataDir}-link`)).release()
    mkdirSync(`${dataDir}-other`)
    ;(await lock(`${dataDir}-other`)).release()
  })

  t.test(`a name that another user holds is passed over with a warning (${platform})`, async (t) => {
    if (!isRoot) return t.comment('# SKIP only root can be another user as well')
    const dataDir = makeDataDir(t)
    const name = await nameOf(t, dataDir)
    if (platform === 'linux') await squat(t, name)
    else writeFileSync(lockFile(t, name), `${process.pid} -`)
    if (platform !== 'linux') chownSync(lockFile(t, name), NOBODY, NOBODY)
    const warnings: object[] = []
    const own = await lock(dataDir, warnings)
    t.match(warnings, [{ lock: name }])
    own.release()
  })
}

t.test('one of this user to which the path is another directory is passed over with a warning', async (t) => {
  const [dataDir, other] = [makeDataDir(t), makeDataDir(t)]
  if (!hasNamespaces()) return t.comment('# SKIP no mount namespaces here')
  const name = await nameOf(t, dataDir)
  await holdApart(t, name, 'mount --bind "$1" "$2"', [other, dataDir])
  const warnings: object[] = []
  const own = await lockOwner({ dataDir, platform: 'linux', log: { warn: (fields: object) => { warnings.push(fields) } } as never })
  t.match(warnings, [{ lock: name }])
  own.release()
})

t.test('one of this user with the same directory is refused, also when it was made anew, in whatever mount namespace', async (t) => {
  if (process.platform !== 'linux') return t.comment('# SKIP an abstract socket is a matter of Linux')
  for (const isApart of [false, true]) {
    if (isApart && !hasNamespaces()) return t.comment('# SKIP no mount namespaces here')
    const dataDir = join(makeDataDir(t), 'data')
    mkdirSync(dataDir)
    const name = await nameOf(t, dataDir)
    await (isApart ? holdApart(t, name, 'true', []) : hold(t, process.execPath, ['-e', holding(name)]))
    const again = (): Promise<unknown> => lockOwner({ dataDir, platform: 'linux', log: { warn () { t.fail('a warning') } } as never })
    await t.rejects(again(), owned)
    rmSync(dataDir, { recursive: true })
    mkdirSync(dataDir)
    await t.rejects(again(), owned)
  }
})

t.test('a lock file that a dead process left is replaced', async (t) => {
  const dataDir = makeDataDir(t)
  writeFileSync(lockFile(t, await nameOf(t, dataDir)), '2147483646 1')
  const own = await lockOwner({ dataDir, platform: 'darwin', log: { warn () { t.fail('a warning') } } as never })
  own.release()
})

/** The lock's name, as the file that it is elsewhere than on Linux shows it. */
async function nameOf (t: Test, dataDir: string): Promise<string> {
  const before = new Set(readdirSync(tmpdir()))
  const own = await lockOwner({ dataDir, platform: 'darwin', log: { warn () { t.fail('a warning') } } as never })
  const [file] = readdirSync(tmpdir()).filter((name) => name.startsWith('neko-defense-api-') && !before.has(name))
  own.release()
  return file!.slice(0, -'.lock'.length)
}

function lockFile (t: Test, name: string): string {
  const file = join(tmpdir(), `${name}.lock`)
  t.teardown(() => rmSync(file, { force: true }))
  return file
}

/** Another user's process that listens on the abstract name. */
async function squat (t: Test, name: string): Promise<void> {
  await hold(t, process.execPath, ['-e', holding(name)], { uid: NOBODY, gid: NOBODY })
}

function hasNamespaces (): boolean {
  return spawnSync('unshare', ['--mount', 'true']).status === 0
}

/** In a mount namespace of its own, after the command. */
async function holdApart (t: Test, name: string, command: string, paths: string[]): Promise<void> {
  const script = `${command} && shift $(($# - 2)) && exec "$1" -e "$2"`
  await hold(t, 'unshare', ['--mount', 'sh', '-c', script, 'sh', ...paths, process.execPath, holding(name)])
}

function holding (name: string): string {
  return `require('node:net').createServer().listen('\\0${name}', () => process.send('held'))`
}

async function hold (t: Test, command: string, args: string[], user: { uid?: number, gid?: number } = {}): Promise<void> {
  const child = spawn(command, args, { ...user, cwd: '/', env: { PATH: process.env.PATH }, stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  t.teardown(() => child.kill('SIGKILL'))
  t.same(await Promise.race([once(child, 'message').then(([message]) => message), once(child, 'exit').then(() => 'ended')]), 'held')
}
