import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { showFigure } from '../bar.ts'
import { asAdmin, createTestClient, dataOf, PASSWORD } from '../e2e/client.ts'
import { makeDataDir, spawnServer, startServer } from '../server.ts'
import type { StartedServer } from '../server.ts'
import { until } from './load.ts'
import { isStopped } from './status-of.ts'

/**
 * A server that survives a disk which is full or read-only, and a database that another process has locked, also starts
 * on them: reads, judgements and standing blocks are served, changes are refused, and all is well when the disk or the
 * lock is.
 */
const BLOCKED = '192.0.2.7'
const ENV = { ADMIN_PASSWORD: PASSWORD, TRUST_PROXY: '127.0.0.1/32' }
const ATTACK = '/?id=1%27%20UNION%20SELECT%20password%20FROM%20users--%20&f=../../../etc/passwd'
const LOGIN = `mutation { login(username: "admin", password: "${PASSWORD}") { accessToken } }`
const DECIDE = 'mutation ($value: String!) { addDecision(scope: IP, value: $value, action: BLOCK, ttlSeconds: 3600, reason: "test") { id } }'
const DISKS = {
  full: {
    spoil (dataDir: string): void {
      try {
        for (let i = 0; i < 20_000; i++) writeFileSync(join(dataDir, 'ballast'), Buffer.alloc(4_096), { flag: 'a' })
      } catch { /* full, as meant */ }
    },
    mend (dataDir: string): void { rmSync(join(dataDir, 'ballast')) }
  },
  'read-only': {
    spoil (dataDir: string): void { spawnSync('mount', ['-o', 'remount,ro', dataDir]) },
    mend (dataDir: string): void { spawnSync('mount', ['-o', 'remount,rw', dataDir]) }
  }
}

// Two starts at once.
t.jobs = 2
const seeds = await makeSeeds(t)

const COLD: Array<[disk: 'full' | 'read-only', left: 'killed' | 'stopped', WORKERS: string]> = [['full', 'stopped', '2'], ['read-only', 'killed', '1']]
for (const [disk, left, WORKERS] of COLD) {
  t.test(`what was there is served from a disk that is ${disk}, after a server that was ${left} (WORKERS=${WORKERS})`, { buffered: true }, async (t) => {
    const dataDir = mountDisk(t)
    if (dataDir === null) return
    cpSync(seeds[left], dataDir, { recursive: true })
    DISKS[disk].spoil(dataDir)
    const startMs = performance.now()
    const server = await startServer(t, { dataDir, env: { ...ENV, WORKERS }, cwd: '/' })
    showFigure(t, 'it starts, later than a healthy one by', performance.now() - startMs - seeds.startMs, 2_000)
    await serves(t, server, seeds.token)
    const lines = server.logs()
    // A start that takes longer than two seconds is told by the store as well that it is down.
    const warnings = lines.slice(0, lines.findIndex(({ msg }) => msg === 'ready')).filter(({ level, store }) => level === 'warn' && store === undefined)
    t.same(warnings.map(({ level }) => level), disk === 'full' ? ['warn'] : ['warn', 'warn'], JSON.stringify(warnings))
    if (WORKERS === '2') await replaces(t, server)
    DISKS[disk].mend(dataDir)
    const client = createTestClient(t, server)
    await until('all is well again', async () => (await client.ask('/health/ready')).text.includes('"status":"ok"'))
    const admin = await until('the administrator can log in', () => asAdmin(client).catch(() => null))
    t.ok((await dataOf<{ addDecision: { id: string } }>(admin.graphql(DECIDE, { value: '192.0.2.8' }))).addDecision.id, 'without a restart')
    t.equal(await server.stop(), 0)
  })
}

for (const disk of ['full', 'read-only'] as const) {
  t.test(`a disk that is ${disk} and holds no store is refused with the name of DATA_DIR`, { buffered: true }, async (t) => {
    const dataDir = mountDisk(t)
    if (dataDir === null) return
    DISKS[disk].spoil(dataDir)
    const startMs = performance.now()
    const server = spawnServer(t, { dataDir, cwd: '/' })
    t.equal((await server.ended).code, 78)
    showFigure(t, disk, performance.now() - startMs, 2_000)
    t.equal(server.output().trim().split('\n').length, 1)
    t.match(server.logs(), [{ level: 'fatal', variable: 'DATA_DIR' }])
    t.same(readdirSync(dataDir).filter((name) => name !== 'ballast'), [], 'and nothing is left in it')
  })
}

const LOCKS: Record<string, string[]> = {
  'a writer': ['BEGIN EXCLUSIVE'],
  'somebody who lets nobody read': ['PRAGMA locking_mode = EXCLUSIVE', 'BEGIN EXCLUSIVE', 'CREATE TABLE IF NOT EXISTS other (x)']
}

for (const [i, [name, statements]] of Object.entries(LOCKS).entries()) {
  const WORKERS = String(i + 1)
  t.test(`a database that ${name} locked at the start is waited for by a server that serves (WORKERS=${WORKERS})`, { buffered: true }, async (t) => {
    const dataDir = join(makeDataDir(t), 'data')
    cpSync(seeds.stopped, dataDir, { recursive: true })
    const release = await lock(t, join(dataDir, 'neko.db'), statements)
    const startMs = performance.now()
    const server = await startServer(t, { dataDir, env: { ...ENV, WORKERS } })
    const client = createTestClient(t, server)
    t.match((await client.ask('/health/ready')).json, { status: 'degraded', checks: { storage: { up: false, detail: 'locked' } } })
    showFigure(t, 'it starts, later than a healthy one by', performance.now() - startMs - seeds.startMs, 2_000)
    t.equal((await client.ask(ATTACK)).status, 403, 'it judges')
    t.match((await client.graphql(LOGIN)).text, /NEKO_ERR_STORE_UNAVAILABLE/)
    t.equal(server.logs().filter(({ level, reason }) => level === 'warn' && reason === 'locked').length, 1, 'one warning')
    await release()
    await until('all is well again', async () => (await client.ask('/health/ready')).text.includes('"status":"ok"'))
    await until('the administrator can log in', () => asAdmin(client).catch(() => null))
    t.equal(await server.stop(), 0)
  })
}

/** What serves without a disk, and what is refused. */
async function serves (t: Test, server: StartedServer, token: string): Promise<void> {
  const client = createTestClient(t, server)
  const admin = client.as({ authorization: `Bearer ${token}` })
  t.match((await client.ask('/health/ready')).json, { status: 'degraded', checks: { storage: { up: false, detail: /^(full|readonly|other)$/ } } })
  t.equal((await client.ask(ATTACK)).status, 403, 'it judges')
  t.equal((await client.ask('/', { headers: { 'x-forwarded-for': BLOCKED } })).status, 403, 'standing blocks hold')
  t.match((await admin.graphql('{ me { username } threatCounts { count } }')).json, { data: { me: { username: 'admin' } } }, 'it reads')
  for (const mutation of [LOGIN, DECIDE]) {
    const { status, text } = await admin.graphql(mutation, { value: '192.0.2.9' })
    t.equal(status, 503)
    t.match(text, /NEKO_ERR_(AUDIT|STORE)_UNAVAILABLE/, mutation.slice(0, 30))
  }
}

/** A worker that dies is replaced. */
async function replaces (t: Test, server: StartedServer): Promise<void> {
  const pids = (): number[] => [...new Set(server.logs().filter(({ slot }) => slot === 0 || slot === 1).map(({ pid }) => pid as number))]
  const listening = (): number => server.logs().filter(({ msg, slot }) => slot !== 'primary' && /^Server listening/.test(String(msg))).length
  const before = listening()
  process.kill(pids()[0]!, 'SIGKILL')
  await until('another takes its place', () => listening() > before)
  t.pass('a dead worker is replaced')
}

/** A file system of its own; null where mounting one is not permitted. */
function mountDisk (t: Test): string | null {
  const dataDir = makeDataDir(t)
  if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=4m,mode=0700', 'tmpfs', dataDir]).status !== 0) {
    t.pass('mount', { skip: 'mounting a tmpfs is not permitted here' })
    return null
  }
  t.teardown(() => { spawnSync('umount', ['-l', dataDir]) })
  return dataDir
}

/** `startMs`: what a start takes here and now when all is well. */
interface Seeds { killed: string, stopped: string, token: string, startMs: number }

/**
 * Data directories as a server left them that was killed, and one that ended in order; with a session and a block. What a
 * stopped process has on the disk is what it leaves when it is killed.
 */
async function makeSeeds (t: Test): Promise<Seeds> {
  const folder = makeDataDir(t)
  const [live, killed, stopped] = ['live', 'killed', 'stopped'].map((name) => join(folder, name)) as [string, string, string]
  mkdirSync(live, { mode: 0o700 })
  const startMs = performance.now()
  const server = await startServer(t, { dataDir: live, env: ENV })
  const tookMs = performance.now() - startMs
  const client = createTestClient(t, server)
  const { accessToken } = await client.login('admin', PASSWORD)
  const admin = client.as({ authorization: `Bearer ${accessToken}` })
  await dataOf(admin.graphql(DECIDE, { value: BLOCKED }))
  await until('the store has it', async () => (await dataOf<{ decisions: { totalCount: number } }>(admin.graphql('{ decisions { totalCount } }'))).decisions.totalCount > 0)
  const copy = (into: string): void => cpSync(live, into, { recursive: true, filter: (source) => !source.endsWith('.sock') })
  server.signal('SIGSTOP')
  await until('all its threads stand still', () => isStopped(server.pid))
  copy(killed)
  server.signal('SIGCONT')
  t.equal(await server.stop(), 0)
  copy(stopped)
  return { killed, stopped, token: accessToken, startMs: tookMs }
}

/** Another process that holds a lock on the database; the function lets it go. */
async function lock (t: Test, file: string, statements: string[]): Promise<() => Promise<void>> {
  const script = `const { DatabaseSync } = require('node:sqlite'); const db = new DatabaseSync(${JSON.stringify(file)});
    for (const text of ${JSON.stringify(statements)}) db.exec(text); process.send('locked'); setInterval(() => {}, 1000)`
  const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
  t.teardown(() => child.kill('SIGKILL'))
  await once(child, 'message')
  return async () => {
    child.kill('SIGKILL')
    await once(child, 'exit')
  }
}
