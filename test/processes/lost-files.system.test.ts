import { linkSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { asAdmin, createTestClient, dataOf, PASSWORD } from '../e2e/client.ts'
import type { TestClient } from '../e2e/client.ts'
import { makeDataDir, spawnServer, startServer } from '../server.ts'
import type { StartedServer } from '../server.ts'
import { until } from './load.ts'

/**
 * Files that a server holds open are taken away under it: what is acknowledged from then on would be found by nobody, so
 * it is refused, in every process of the host, while reads and judgements go on. What comes back is gone on with.
 */
const FILES: Record<string, (dataDir: string) => string[]> = {
  'a segment of the log': (dataDir) => inAudit(dataDir, '.log'),
  'the seals': (dataDir) => inAudit(dataDir, '.seals'),
  'the database': (dataDir) => [join(dataDir, 'neko.db')],
  'the log of the database': (dataDir) => [join(dataDir, 'neko.db-wal')],
  'the key of tokens': (dataDir) => [join(dataDir, 'jwt.secret')],
  'the key of seals': (dataDir) => [join(dataDir, 'audit', 'signing.key')],
  'the control socket': (dataDir) => [join(dataDir, 'neko.sock')],
  'the data directory': (dataDir) => [dataDir],
  'the directory of the log': (dataDir) => [join(dataDir, 'audit')]
}
const isDirectory = (file: string): boolean => file.includes('directory')
const keptOf = (path: string): string => `${path}.kept`

/** `inject` keeps what was there by another name, so that it can come back to its place. */
interface Fault { applies: (file: string) => boolean, inject: (path: string) => void }
const FAULTS: Record<string, Fault> = {
  'is unlinked': {
    applies: (file) => !isDirectory(file),
    inject (path) {
      linkSync(path, keptOf(path))
      rmSync(path)
    }
  },
  'is replaced by another one': {
    applies: (file) => !isDirectory(file),
    inject (path) {
      linkSync(path, keptOf(path))
      writeFileSync(`${path}.other`, path.endsWith('.sock') ? '' : readFileSync(path))
      renameSync(`${path}.other`, path)
    }
  },
  'is moved away': { applies: isDirectory, inject: (path) => { renameSync(path, keptOf(path)) } },
  'is made anew': {
    applies: isDirectory,
    inject (path) {
      renameSync(path, keptOf(path))
      mkdirSync(path, { mode: 0o700 })
    }
  },
  'is replaced by a link': {
    applies: isDirectory,
    inject (path) {
      renameSync(path, keptOf(path))
      mkdirSync(`${path}.other`, { recursive: true })
      symlinkSync(`${path}.other`, path)
    }
  }
}

const ALL = Object.keys(FILES).map((file) =>
  Object.keys(FAULTS).filter((fault) => FAULTS[fault]!.applies(file)).map((fault) => ({ file, fault })))
/** Nightly all faults of all files; otherwise one of each file, in turn. */
const isNightly = process.env.NEKO_TEST_LONG === '1'
const CASES = isNightly ? ALL.flat() : ALL.map((cases, i) => cases[i % cases.length]!)

t.test('a file that is taken away takes changes with it and nothing else, until it is back', async (t) => {
  for (const WORKERS of isNightly ? ['1', '2'] : ['2']) {
    t.test(`WORKERS=${WORKERS}`, async (t) => {
      const scene: Scene = { ...await started(t, { WORKERS, dataDir: join(makeDataDir(t), 'data') }), processes: Number(WORKERS), acknowledged: [] }
      const { server } = scene
      await until('every process has a log of its own', async () => {
        await Promise.all(Array.from({ length: 8 }, () => decide(scene)))
        return inAudit(server.dataDir, '.log').length === scene.processes
      })
      for (const { file, fault } of CASES) await lose(t, scene, { file, fault })
      await server.kill()
      Object.assign(scene, await started(t, { WORKERS, dataDir: server.dataDir }))
      t.same(await missing(scene), [], 'a restart has all that was acknowledged')
      // The last one for good: what is deleted is not found again.
      rmSync(server.dataDir, { recursive: true })
      mkdirSync(server.dataDir, { mode: 0o700 })
      t.same(await changesUntilRefused(scene), [], 'nothing is acknowledged that nobody would find')
      const second = spawnServer(t, { dataDir: server.dataDir })
      t.equal((await second.ended).code, 78, 'no second server begins a store beside the one that runs')
      t.match(second.logs(), [{ level: 'fatal', variable: 'DATA_DIR', message: /owned by another server/ }])
      await refuses(t, scene)
      t.equal(await scene.server.stop(), 0)
      t.same(readdirSync(server.dataDir), [], 'nothing is begun in its place')
    })
  }
})

interface Scene { server: StartedServer, admin: TestClient, processes: number, acknowledged: string[] }

async function lose (t: Test, scene: Scene, { file, fault }: { file: string, fault: string }): Promise<void> {
  const { server, processes } = scene
  const linesBefore = linesOf(server).length
  const paths = FILES[file]!(server.dataDir)
  for (const path of paths) FAULTS[fault]!.inject(path)
  t.same(await changesUntilRefused(scene), [], `${file} ${fault}: nothing is acknowledged that nobody would find`)
  const lines = await until('every process says so', () => {
    const added = linesOf(server).slice(linesBefore)
    return added.length >= processes ? added : null
  })
  t.equal(new Set(lines.map((line) => line['process'])).size, processes, 'one line of each process')
  t.ok(lines.every((line) => String(line['file']).startsWith(server.dataDir)), 'that names the file')
  await refuses(t, scene)
  for (const path of paths) {
    rmSync(path, { recursive: true, force: true })
    renameSync(keptOf(path), path)
  }
  await until('every process is well again', async () => (await healths(t, scene)).every((text) => text.includes('"status":"ok"')))
  scene.acknowledged.push(await until('changes are taken', () => decide(scene)))
  t.equal(linesOf(server).length, linesBefore + processes, `${file} ${fault}: no other line`)
}

/** The ids of changes that were acknowledged after the loss. */
async function changesUntilRefused (scene: Scene): Promise<string[]> {
  const acknowledged: string[] = []
  for (let refused = 0; refused < 8;) {
    const ids = await Promise.all(Array.from({ length: 4 }, () => decide(scene)))
    acknowledged.push(...ids.filter((id) => id !== null))
    refused += ids.filter((id) => id === null).length
    if (acknowledged.length > 100) break
  }
  return acknowledged
}

async function refuses (t: Test, scene: Scene): Promise<void> {
  await until('every process is degraded', async () => (await healths(t, scene)).every((text) => text.includes('"storage":{"up":false,"detail":"lost"},"audit":{"up":false}')))
  const { status, text } = await scene.admin.graphql(DECIDE, { value: '203.0.113.9' })
  t.equal(status, 503)
  t.match(text, /NEKO_ERR_(AUDIT|STORE)_UNAVAILABLE/)
  t.match((await scene.admin.graphql('{ me { username } }')).json, { data: { me: { username: 'admin' } } }, 'reads go on')
  const attack = '/?id=1%27%20UNION%20SELECT%20password%20FROM%20users--%20&f=../../../etc/passwd'
  t.equal((await scene.admin.ask(attack)).status, 403, 'and so does judging')
}

/** Of connections that land on all processes. */
async function healths (t: Test, { server }: Scene): Promise<string[]> {
  return await Promise.all(Array.from({ length: 6 }, async () => (await createTestClient(t, server).ask('/health/ready')).text))
}

async function started (t: Test, { WORKERS, dataDir }: { WORKERS: string, dataDir: string }): Promise<Pick<Scene, 'server' | 'admin'>> {
  mkdirSync(dataDir, { recursive: true, mode: 0o700 })
  const server = await startServer(t, { dataDir, env: { WORKERS, ADMIN_PASSWORD: PASSWORD }, readyTimeoutMs: 60_000 })
  return { server, admin: await asAdmin(createTestClient(t, server)) }
}

const DECIDE = 'mutation ($value: String!) { addDecision(scope: IP, value: $value, action: BLOCK, ttlSeconds: 3600, reason: "test") { id } }'
let decided = 0

/** The id of a decision that was acknowledged, else null. */
async function decide ({ admin }: Pick<Scene, 'admin'>): Promise<string | null> {
  const { json } = await admin.graphql(DECIDE, { value: `198.51.${100 + (decided >> 8)}.${decided++ & 255}` })
  return (json as { data?: { addDecision?: { id: string } | null } } | undefined)?.data?.addDecision?.id ?? null
}

/** Of the changes that were acknowledged, those that the server does not have. */
async function missing ({ admin, acknowledged }: Scene): Promise<string[]> {
  const found = await Promise.all(acknowledged.map((id) => dataOf<{ decision: object | null }>(admin.graphql('query ($id: ID!) { decision(id: $id) { id } }', { id }))))
  return acknowledged.filter((_, i) => found[i]!.decision === null)
}

/** A room whose writes wait for the store has a line of its own. */
function linesOf (server: StartedServer): Array<Record<string, unknown>> {
  return server.logs().filter(({ level, file }) => level === 'error' && file !== undefined)
}

function inAudit (dataDir: string, suffix: string): string[] {
  return readdirSync(join(dataDir, 'audit')).filter((name) => name.endsWith(suffix)).map((name) => join(dataDir, 'audit', name))
}
