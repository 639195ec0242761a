import { once } from 'node:events'
import { cpSync, existsSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { PASSWORD, asAdmin, createTestClient, dataOf } from './client.ts'
import type { TestClient } from './client.ts'
import { neko as runNeko, spawnNeko, type Done } from './neko.ts'
import { showFigure } from '../bar.ts'
import { until } from '../processes/load.ts'
import { makeDataDir, startServer } from '../server.ts'
import { freePort } from '../services/free-port.ts'
import { sharedPath } from '../shared.ts'

/** `neko` against a real server, and on the store alone: what each verb does, and its exit code. */
const fixture = (name: string): string => fileURLToPath(new URL(`fixtures/${name}`, import.meta.url))

const neko = async (dataDir: string, ...args: string[]): Promise<Done> => await nekoWith({}, dataDir, ...args)
const nekoWith = async (env: Record<string, string>, dataDir: string, ...args: string[]): Promise<Done> => await runNeko(dataDir, args, { ADMIN_PASSWORD: PASSWORD, ...env })

function isStored (dataDir: string, id: string): boolean {
  const store = new DatabaseSync(join(dataDir, 'neko.db'), { readOnly: true })
  const found = store.prepare('SELECT 1 FROM c_assessments WHERE id = ?').get(id) !== undefined
  store.close()
  return found
}

const countOf = async (client: TestClient): Promise<number> => (await dataOf<{ threatCounts: Array<{ count: number }> }>(client.graphql('{ threatCounts { count } }', {}, { connection: 'close' }))).threatCounts.reduce((sum, { count }) => sum + count, 0)
/** Of all logs in a folder. */
const linesWith = (directory: string, text: string): string[] => readdirSync(directory, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile()).flatMap((entry) => readFileSync(join(entry.parentPath, entry.name), 'latin1').split('\n')).filter((line) => line.includes(text))

const ATTACK = encodeURIComponent("1' UNION SELECT username, password FROM users WHERE 1=1--")

t.test('neko beside a server of two workers, then on its store alone', async (t) => {
  const dataDir = makeDataDir(t)
  const server = await startServer(t, { dataDir, env: { WORKERS: '2', ADMIN_PASSWORD: PASSWORD, LOG_LEVEL: 'warn', NEVER_BLOCK: '127.0.0.0/8' } })
  const client = createTestClient(t, server)
  const admin = await asAdmin(client)
  t.match(await neko(dataDir, 'status'), { code: 0, stdout: /ready/ })
  t.match(await neko(dataDir, 'intel', 'import', fixture('actors.stix.json'), '--data-dir', join(dataDir, 'another')), { code: 0, stderr: /write: \d+ objects, 1 actors\n$/ }, 'progress ends with the total')
  const empty = makeDataDir(t)
  // Each by itself starts a process: two at once.
  for (const verb of [['explain', 'as_000000000000_0'], ['replay', 'as_000000000000_0'], ['audit', 'verify'], ['backup', 'x.db']]) {
    const [nowhere, nothing] = await Promise.all(['nowhere', empty].map(async (directory) => verb[0] === 'audit' && directory === empty ? null : await neko(dataDir, ...verb, '--data-dir', resolve(dataDir, directory))))
    t.match(nowhere, { code: 1, stderr: /no data directory/ })
    t.notOk(existsSync(join(dataDir, 'nowhere')), 'asking makes nothing')
    if (nothing !== null) t.match(nothing, { code: 1, stderr: /no store/ })
  }
  t.same(readdirSync(empty), [], 'nor does it in an empty directory')
  t.match(JSON.parse((await neko(dataDir, 'status', '--json')).stdout), { workers: 2, state: 'serving', url: server.url })

  const watching = spawnNeko(dataDir, ['status', '--watch'])
  await once(watching.stdout, 'data')
  watching.stdout.destroy()
  t.equal((await once(watching, 'exit'))[0], 0, 'a reader that goes (head) is no failure')

  const before = await countOf(client)
  t.match(await neko(dataDir, 'intel', 'import', fixture('actors.stix.json')), { code: 0, stdout: /"added": ?1/ })
  // Counts are visible at once, whichever worker answers.
  for (let i = 0; i < 6; i++) t.equal(await countOf(client), before + 1)
  t.match(await neko(dataDir, 'intel', 'import', fixture('actors.misp.json'), '--format', 'misp', '--json'), { code: 0, stdout: /"added": ?1/ })
  for (let i = 0; i < 6; i++) t.equal(await countOf(client), before + 2, 'one is new, one is another name of the first')
  t.match(await dataOf(client.graphql('{ threatActors(search: "box cat") { nodes { name country sources } } }')), { threatActors: { nodes: [{ name: 'Cardboard Panther', country: 'XK' }] } })
  t.match(await neko(dataDir, 'intel', 'import', join(dataDir, 'absent.json')), { code: 1, stderr: /no file|cannot be read/ })
  writeFileSync(join(dataDir, 'broken.json'), '{"type": "bundle", "objects": [')
  t.match(await neko(dataDir, 'intel', 'import', join(dataDir, 'broken.json')), { code: 1, stderr: /^neko: / })
  t.equal(await countOf(client), before + 2, 'a broken file leaves nothing')

  const [all, one, none, much] = await Promise.all([['clear'], ['clear', 'graphql', '--json'], ['clear', 'nothing'], ['clear', 'graphql', 'graphql']].map((words) => neko(dataDir, 'cache', ...words))) as [Done, Done, Done, Done]
  t.match(all, { code: 0, stdout: 'cleared in every process: graphql\n' })
  t.match(JSON.parse(one.stdout), { cleared: ['graphql'] })
  t.match(none, { code: 1, stderr: /NEKO_ERR_NOT_FOUND/ })
  t.match(much, { code: 64, stderr: /expected: neko cache clear \[name\]/ })
  const clears = linesWith(join(dataDir, 'audit'), '"cache.clear"')
  t.equal(clears.length, 2, 'each is an event, the one that found nothing is none')
  for (const line of clears) t.match(line, /"actor":"system".*"outcome":"ok".*"origin":"cli"/)

  const attack = await client.ask(`/products?id=${ATTACK}`)
  t.equal(attack.status, 403)
  const id = String(attack.headers['x-neko-assessment'])
  const explained = await neko(dataDir, 'explain', id)
  t.match(explained, { code: 0, stdout: /payload/ }, explained.stderr)
  t.match(explained.stdout, new RegExp(id))
  // Stored within seconds; replay needs the stored one.
  await until('the receipt is stored', () => isStored(dataDir, id), 20_000)
  const replayed = await neko(dataDir, 'replay', id)
  t.match(replayed, { code: 0, stdout: /\d/ }, replayed.stderr)
  const [asJson, unknown, nonsense] = await Promise.all([['explain', id, '--json'], ['explain', 'as_000000000000_0'], ['explain', 'nonsense']].map((words) => neko(dataDir, ...words))) as [Done, Done, Done]
  t.match(JSON.parse(asJson.stdout), { text: /payload/, assessment: { id, action: 'BLOCK' } })
  t.match(unknown, { code: 1, stderr: /NEKO_ERR_NOT_FOUND/ })
  t.match(nonsense, { code: 1 })

  await dataOf(admin.graphql('mutation { addDecision(scope: IP, value: "198.51.100.1", action: BLOCK, ttlSeconds: 60, reason: "test") { id } }'))
  t.match(await neko(dataDir, 'audit', 'verify'), { code: 0, stdout: /holds/ }, 'beside the server')
  const copy = join(dataDir, 'copy.db')
  t.match(await neko(dataDir, 'backup', copy), { code: 0 })
  t.ok(statSync(copy).size > 10_000)
  t.equal((await neko(dataDir, 'backup', copy)).code, 1, 'a backup overwrites nothing')

  t.match(await neko(dataDir, 'stop'), { code: 0 })
  t.equal((await server.ended).code, 0)
  t.notOk(existsSync(join(dataDir, 'neko.sock')))

  const idle = await Promise.all([['status'], ['reload'], ['stop'], ['cache', 'clear']].map((words) => neko(dataDir, ...words)))
  for (const done of idle) t.match(done, { code: 69, stderr: /no server/ })
  t.match(await neko(dataDir, 'explain', id), { code: 0, stdout: /payload/ }, 'explain on the store alone')
  t.match(await neko(dataDir, 'replay', id), { code: 0 })
  t.match(await neko(dataDir, 'intel', 'import', fixture('actors.stix.json'), '--json'), { code: 0, stdout: /"unchanged": ?1/ })
  t.match(await neko(dataDir, 'backup', join(dataDir, 'copy-2.db')), { code: 0 })
  t.match(await neko(dataDir, 'audit', 'verify', '--json'), { code: 0, stdout: /"ok": true/ })

  const directory = join(dataDir, 'audit')
  const segments = readdirSync(directory, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name)).filter((file) => readFileSync(file, 'latin1').includes('decision.add'))
  t.ok(segments.length > 0)
  const edited = readFileSync(segments[0]!, 'latin1').replace('198.51.100.1', '198.51.100.2')
  writeFileSync(segments[0]!, edited, 'latin1')
  t.match(await neko(dataDir, 'audit', 'verify'), { code: 1, stdout: /FAILED[^]*DOES NOT HOLD/ }, 'an edited record')
})

t.test('audit verify judges the files without their store, and misses with it what both trail.id and the files lost', async (t) => {
  const dataDir = makeDataDir(t)
  const server = await startServer(t, { dataDir, env: { ADMIN_PASSWORD: PASSWORD, LOG_LEVEL: 'warn' } })
  await asAdmin(createTestClient(t, server))
  await server.stop()
  const copyOf = (): string => {
    const copy = makeDataDir(t)
    cpSync(dataDir, copy, { recursive: true })
    return copy
  }
  const files = (directory: string, pattern: RegExp): string[] => readdirSync(directory).filter((name) => pattern.test(name)).map((name) => join(directory, name))
  const verify = ['audit', 'verify']

  t.match(await nekoWith({ MONGODB_URI: `mongodb://127.0.0.1:${await freePort()}/` }, dataDir, ...verify), { code: 0, stdout: /note store: [^\n]*not compared[^]*holds/ }, 'a database that is away')
  const storeless = copyOf()
  for (const file of files(storeless, /^neko\.db/)) rmSync(file)
  t.match(await neko(storeless, ...verify), { code: 0, stdout: /note store: [^\n]*neko\.db/ }, 'a store that is gone')
  t.notOk(existsSync(join(storeless, 'neko.db')), 'asking makes none')
  for (const file of files(join(storeless, 'audit'), /\.log$/)) writeFileSync(file, readFileSync(file, 'latin1').replace('login', 'logim'), 'latin1')
  t.match(await neko(storeless, ...verify), { code: 1, stdout: /FAILED [^\n]*\.log:/ }, 'an edit shows without one')

  const [seals] = files(join(dataDir, 'audit'), /\.seals$/) as [string]
  t.match(await neko(dataDir, ...verify, '--against', seals), { code: 0, stdout: /holds/ }, 'checkpoints that were kept')
  const wiped = copyOf()
  for (const file of files(join(wiped, 'audit'), /^(?!signing\.key)/)) rmSync(file)
  const store = new DatabaseSync(join(wiped, 'neko.db'))
  for (const table of ['auditEvents', 'auditCheckpoints', 'auditTrails']) store.exec(`DELETE FROM "c_${table}"`)
  store.close()
  t.match(await neko(wiped, ...verify), { code: 1, stdout: /FAILED audit: there is no log here, and the store has users/ }, 'the folder and the tables')
  const anew = await startServer(t, { dataDir: wiped, env: { LOG_LEVEL: 'warn' } })
  t.match(anew.output(), /the audit trail begins anew/)
  await anew.stop()
  t.match(await neko(wiped, ...verify, '--against', seals), { code: 1, stdout: /--against holds, is missing/ }, 'what was kept tells for ever')

  const emptied = copyOf()
  for (const file of files(join(emptied, 'audit'), /./)) rmSync(file)
  t.match(await neko(emptied, ...verify), { code: 1, stdout: /FAILED trail\.id/ })
  const again = await startServer(t, { dataDir: emptied, env: { LOG_LEVEL: 'warn' } })
  t.match(again.output(), /the audit trail begins anew/)
  await again.stop()
  t.match(await neko(emptied, ...verify), { code: 1, stdout: /FAILED trail\.id: the trail/ }, 'a start does not hide it')
})

t.test('both real files through the socket of two workers', { skip: sharedPath('intel/attack-groups.stix.json.gz') === null ? '../shared is absent' : false }, async (t) => {
  const server = await startServer(t, { env: { WORKERS: '2', LOG_LEVEL: 'warn' } })
  const client = createTestClient(t, server)
  let ms = 0
  for (const name of ['attack-groups.stix.json.gz', 'misp-threat-actor.json.gz']) {
    const done = await neko(server.dataDir, 'intel', 'import', sharedPath(`intel/${name}`)!)
    t.equal(done.code, 0, done.stderr)
    ms += done.ms
    const counts = new Set<number>()
    for (let i = 0; i < 6; i++) counts.add(await countOf(client))
    t.equal(counts.size, 1, 'every worker says the same at once')
  }
  showFigure(t, 'both, with the start of neko itself', ms, 5000)
  t.ok(await countOf(client) > 1000)
})
