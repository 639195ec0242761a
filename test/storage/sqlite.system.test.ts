import { fork } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, statSync, writeFileSync, writeSync, closeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import t from 'tap'
import type { Test } from 'tap'
import { createTestClock, systemClock } from '../../src/std/clock.ts'
import { FileWatch } from '../../src/std/file-watch.ts'
import { openWriteQueue } from '../../src/storage/sqlite-queue.ts'
import { createHealthState } from '../../src/storage/health.ts'
import { silentLog } from '../../src/storage/log.ts'
import { SCHEMA_VERSION } from '../../src/storage/migrate.ts'
import { openStorage, storageFile } from '../../src/storage/open.ts'
import type { Storage } from '../../src/storage/port.ts'
import { Reader } from '../../src/storage/sqlite-reader.ts'
import { Writer } from '../../src/storage/sqlite-writer.ts'
import { showFigure } from '../bar.ts'
import { until } from '../processes/load.ts'
import { scaled } from '../scale.ts'
import { openTestStorage } from '../storage.ts'
import { type Animal, animals, runContract } from './contract.ts'

/** Less than the 900 ms that the writer waits for a lock. */
const LOCKED_MS_MAX = 850
/** How often a look at the deadlines reads the clock; they come every 250 ms. */
const CLOCK_READS = 3
/** Of each of three processes. */
const WRITES = scaled(200, 600)

t.test('the contract holds on SQLite', async (t) => {
  await runContract(t, {
    plans: true,
    async open (t) {
      const clock = createTestClock()
      return { storage: await openTestStorage(t, [animals], clock), clock }
    }
  })
})

function folder (t: Test): string {
  const directory = mkdtempSync(join(tmpdir(), 'neko-sqlite-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

async function open (t: Test, dataDir: string): Promise<Storage> {
  const storage = await openStorage({ config: { dataDir, mongodbUri: null, mongodbDatabase: 'x' }, clock: systemClock, log: silentLog })
  t.teardown(() => storage.close())
  return storage
}

async function openMigrated (t: Test, dataDir: string): Promise<Storage> {
  const storage = await open(t, dataDir)
  await storage.migrate([animals])
  return storage
}

t.test('the folder is for its owner only, and so are the file and its companions', async (t) => {
  const dataDir = join(folder(t), 'deep', 'data')
  const storage = await openMigrated(t, dataDir)
  await storage.collection<Animal>(animals).insert({ id: 'a' })
  t.equal(statSync(dataDir).mode & 0o777, 0o700)
  for (const suffix of ['', '-wal', '-shm']) t.equal(statSync(storageFile(dataDir) + suffix).mode & 0o777, 0o600, suffix)
})

t.test('what was written is there after closing and opening', async (t) => {
  const dataDir = folder(t)
  const first = await openMigrated(t, dataDir)
  const writes = Array.from({ length: 100 }, (_, i) => first.collection<Animal>(animals).insert({ id: `a${i}` }))
  await first.close()
  await Promise.all(writes)
  await first.close()
  const second = await open(t, dataDir)
  t.equal(await second.collection<Animal>(animals).count(), 100, 'close waited for writes under way')
  await t.rejects(first.collection<Animal>(animals).insert({ id: 'late' }), { code: 'NEKO_ERR_STORE_UNAVAILABLE' })
})

t.test('a mark ends with a write of another connection, and of the file that is opened anew', async (t) => {
  const dataDir = folder(t)
  const storage = await openMigrated(t, dataDir)
  const collection = storage.collection<Animal>(animals)
  await collection.insertMany([{ id: 'a', legs: 1 }, { id: 'b', legs: 2 }])
  const known = await collection.getChanged([{ id: 'a', mark: null }, { id: 'b', mark: null }])
  const other = new DatabaseSync(storageFile(dataDir))
  t.teardown(() => other.close())
  const changed = async (): Promise<string[]> =>
    (await collection.getChanged(known)).filter(({ document }) => document !== null).map(({ id }) => id)
  t.strictSame(await changed(), [])
  // Behind the back of the port: not even the revision rises.
  other.exec('UPDATE c_animals SET doc = \'{"id":"a","legs":3}\' WHERE id = \'a\'')
  t.strictSame(await changed(), ['a'])
  t.strictSame(await changed(), ['a'], 'an old mark stays old')
  other.exec('BEGIN; UPDATE c_animals SET doc = \'{"id":"b","legs":3}\' WHERE id = \'b\'')
  t.strictSame(await changed(), ['a'], 'nothing is shown before it is committed')
  other.exec('COMMIT')
  t.strictSame(await changed(), ['a', 'b'])
  const [reading] = await (await open(t, dataDir)).collection<Animal>(animals).getChanged([{ id: 'a', mark: null }])
  t.equal(reading?.document?.legs, 3)
})

t.test('a reader that opens its file anew does not take the count of its new connection for that of the old one', (t) => {
  const file = join(folder(t), 'neko.db')
  const reader = new Reader(file, new FileWatch())
  reader.open()
  t.teardown(() => reader.close())
  const seen = [reader.version(), reader.version()]
  t.equal(seen[0], seen[1])
  for (let i = 0; i < 3; i++) {
    reader.open()
    const version = reader.version()
    t.notOk(seen.includes(version))
    seen.push(version)
  }
  t.end()
})

t.test('three processes write one file without an error, and compare-and-set has one winner each time', async (t) => {
  const dataDir = folder(t)
  const storage = await openMigrated(t, dataDir)
  const collection = storage.collection<Animal>(animals)
  await collection.insert({ id: 'race' })
  const results = await Promise.all(['x', 'y', 'z'].map(async (name) => {
    const child = fork(join(import.meta.dirname, 'writer-process.ts'), [dataDir, name, String(WRITES)])
    const [result] = await once(child, 'message') as [{ failed: number, won: number }]
    return result
  }))
  t.equal(results.reduce((sum, result) => sum + result.failed, 0), 0)
  t.equal(await collection.count(), 3 * WRITES + 1)
  t.equal((await collection.get('race'))?.revision, 1 + results.reduce((sum, result) => sum + result.won, 0))
})

t.test('a file that another process keeps locked is a typed error, and heals by itself', async (t) => {
  const dataDir = folder(t)
  const storage = await openMigrated(t, dataDir)
  const collection = storage.collection<Animal>(animals)
  await collection.insert({ id: 'a' })
  const other = new DatabaseSync(storageFile(dataDir))
  t.teardown(() => other.isOpen && other.close())
  other.exec('BEGIN IMMEDIATE')
  const startMs = performance.now()
  await Promise.all(['b', 'c'].map((id) => t.rejects(collection.insert({ id }), { code: 'NEKO_ERR_STORE_UNAVAILABLE' })))
  showFigure(t, 'the answer of a locked file', performance.now() - startMs, 1_000)
  t.strictSame(storage.health(), { up: false, reason: 'locked' })
  t.ok(await collection.get('a'), 'reads go on')
  const up = new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('not up within 40 s')), 40_000)
    storage.onHealth((health) => { if (health.up) { clearTimeout(timer); resolve() } })
  })
  other.exec('ROLLBACK')
  await up
  await collection.insert({ id: 'd' })
  t.strictSame(storage.health(), { up: true, reason: null })
})

t.test('a process that was stopped while it wrote takes its writer for late no more than itself', async (t) => {
  const dataDir = folder(t)
  let stoppedMs = 0
  let looks = 0
  const monotonic = (): number => {
    looks++
    return systemClock.monotonic() + stoppedMs
  }
  const storage = await openStorage({ config: { dataDir, mongodbUri: null, mongodbDatabase: 'x' }, clock: { ...systemClock, monotonic }, log: silentLog })
  t.teardown(() => storage.close())
  await storage.migrate([animals])
  // Where this machine itself stands still for longer than SQLite waits for a lock, the case was another one.
  let isMade = false
  for (let tries = 0; !isMade && tries < 20; tries++) {
    const other = new DatabaseSync(storageFile(dataDir))
    other.exec('BEGIN IMMEDIATE')
    const startMs = performance.now()
    const looksBefore = looks
    const written = storage.collection<Animal>(animals).insert({ id: `a${tries}` }).then(() => true, () => false)
    await until('it was asked at a time', () => looks > looksBefore)
    const turns: boolean[] = []
    storage.onHealth(({ up }) => turns.push(up))
    stoppedMs += 20_000
    const looksAtStop = looks
    await until('its deadline was looked at twice', () => looks >= looksAtStop + 2 * CLOCK_READS)
    other.exec('ROLLBACK')
    other.close()
    isMade = performance.now() - startMs <= LOCKED_MS_MAX
    const isWritten = await written
    if (isMade) t.same({ isWritten, turns }, { isWritten: true, turns: [] }, 'and the store was never down')
  }
  t.ok(isMade)
})

t.test('a damaged file is refused with a clear error', async (t) => {
  for (const [name, damage] of Object.entries({
    'no database at all': (file: string) => writeFileSync(file, 'not a database, but long enough to be read as the header of one'.repeat(50)),
    'a page of noise': (file: string) => {
      const descriptor = openSync(file, 'r+')
      for (let page = 1; page < statSync(file).size / 4096; page++) writeSync(descriptor, Buffer.alloc(600, 0xa5), 0, 600, page * 4096)
      closeSync(descriptor)
    }
  })) {
    const dataDir = folder(t)
    const storage = await openMigrated(t, dataDir)
    await storage.collection<Animal>(animals).insertMany(Array.from({ length: 500 }, (_, i) => ({ id: `a${i}`, kind: 'x'.repeat(200) })))
    await storage.close()
    damage(storageFile(dataDir))
    await t.rejects(open(t, dataDir), { code: 'NEKO_ERR_STORE_CORRUPT', message: /damaged/ }, name)
  }
})

t.test('a full disk is a typed error with its reason, and writing resumes when there is room', async (t) => {
  const dataDir = folder(t)
  const storage = await openMigrated(t, dataDir)
  const collection = storage.collection<Animal>(animals)
  await collection.insert({ id: 'a' })
  // SQLite's own limit of pages fails exactly like a disk without room (SQLITE_FULL).
  const file = storageFile(dataDir)
  const pages = (new DatabaseSync(file)).prepare('PRAGMA page_count').get()!.page_count as number
  const db = new DatabaseSync(file)
  db.exec(`PRAGMA max_page_count = ${pages}`)
  const writer = new Writer(db, new Map([['animals', { table: '"c_animals"', expiry: null, clashes: [] }]]))
  const batch = (id: string) => ({ ops: [{ kind: 'insert' as const, name: 'animals', id, doc: JSON.stringify({ id, kind: 'x'.repeat(100_000) }) }], nowMs: 0, busyTimeoutMs: 1000 })
  t.match(writer.apply(batch('big')), [{ failed: 'full' }])
  t.ok(await collection.get('a'))
  db.exec('PRAGMA max_page_count = 1000000')
  t.strictSame(writer.apply(batch('big')), [{ value: true }])
  writer.close()
})

t.test('a backup is a whole store, private, and never replaces a file', async (t) => {
  const dataDir = folder(t)
  const storage = await openMigrated(t, dataDir)
  const collection = storage.collection<Animal>(animals)
  await collection.insertMany(Array.from({ length: 300 }, (_, i) => ({ id: `a${i}` })))
  const copy = join(folder(t), 'copy')
  mkdirSync(copy)
  const into = storageFile(copy)
  // Under writes: the copy is of one moment.
  const busy = Promise.all(Array.from({ length: 50 }, (_, i) => collection.insert({ id: `b${i}` })))
  await storage.backup(into)
  await busy
  t.equal(statSync(into).mode & 0o777, 0o600)
  const before = readFileSync(into)
  await t.rejects(storage.backup(into), { code: 'NEKO_ERR_INPUT_INVALID' })
  t.ok(before.equals(readFileSync(into)))
  await t.rejects(storage.backup(join(copy, 'no', 'where')), { code: 'NEKO_ERR_INPUT_INVALID' })
  const restored = await open(t, copy)
  t.ok(await restored.collection<Animal>(animals).count() >= 300)
  t.ok(await restored.collection<Animal>(animals).get('a299'))
})

t.test('a newer store is welcome unless it says that this version cannot live with it', async (t) => {
  const dataDir = folder(t)
  const storage = await openMigrated(t, dataDir)
  await storage.close()
  const mark = (value: object): void => {
    const db = new DatabaseSync(storageFile(dataDir))
    db.prepare("UPDATE neko_meta SET value = ? WHERE name = 'schema'").run(JSON.stringify(value))
    db.close()
  }
  mark({ version: SCHEMA_VERSION + 5, compatibleFrom: SCHEMA_VERSION })
  const newer = await openMigrated(t, dataDir)
  await newer.collection<Animal>(animals).insert({ id: 'a' })
  await newer.close()
  mark({ version: SCHEMA_VERSION + 6, compatibleFrom: SCHEMA_VERSION + 1 })
  await t.rejects(open(t, dataDir), { code: 'NEKO_ERR_STORE_INCOMPATIBLE', message: new RegExp(String(SCHEMA_VERSION + 6)) })
})

t.test('an index whose definition changed is made anew', async (t) => {
  const dataDir = folder(t)
  const storage = await openMigrated(t, dataDir)
  const changed = { ...animals, indexes: [{ name: 'kind', fields: [['legs', 1]] as Array<[string, 1]> }] }
  await storage.migrate([changed])
  t.strictSame(await storage.explain(changed, { where: { legs: 4 }, first: 1 }), ['kind'])
  t.strictSame(await storage.explain(changed, { where: { name: 'Mia' }, first: 1 }), ['name'], 'what is no longer listed stays')
})

t.test('the queue is bounded: beyond it the answer is OVERLOADED, and what was accepted is written', async (t) => {
  const storage = await openTestStorage(t, [animals])
  const collection = storage.collection<Animal>(animals)
  const batch = (n: number): Animal[] => Array.from({ length: 1000 }, (_, i) => ({ id: `${n}-${i}` }))
  const outcomes = await Promise.allSettled(Array.from({ length: 30 }, (_, n) => collection.insertMany(batch(n))))
  const refused = outcomes.filter((outcome) => outcome.status === 'rejected')
  t.equal(refused.length, 10)
  t.ok(refused.every((outcome) => outcome.reason.code === 'NEKO_ERR_OVERLOADED'))
  t.equal(await collection.count(), 20_000)
})

t.test('expired documents are removed by one process at a time, in bounded bites', async (t) => {
  const dataDir = folder(t)
  await openMigrated(t, dataDir)
  const clock = createTestClock(1_000_000)
  const health = createHealthState('sqlite', silentLog)
  const queues = await Promise.all([1, 2].map(() => openWriteQueue({ file: storageFile(dataDir), clock, health, watch: new FileWatch() })))
  t.teardown(() => Promise.all(queues.map((queue) => queue.close())))
  const [one, two] = queues
  const spec = { table: '"c_animals"', expiry: "json_extract(\"c_animals\".doc,'$.\"expiresAt\"')", clashes: [] }
  for (const queue of queues) queue.define('animals', spec)
  const docs = Array.from({ length: 30 }, (_, i) => ({ id: `a${i}`, expiresAt: 1_000_500 }))
  await one!.write({ kind: 'insertMany', name: 'animals', ids: docs.map((doc) => doc.id), docs: docs.map((doc) => JSON.stringify(doc)) })
  clock.advance(1000)
  t.strictSame(await one!.write({ kind: 'sweep', owner: 'one', leaseMs: 40_000, limit: 20 }), { value: 20 })
  t.strictSame(await two!.write({ kind: 'sweep', owner: 'two', leaseMs: 40_000, limit: 20 }), { value: -1 }, 'another holds the lease')
  clock.advance(41_000)
  t.strictSame(await two!.write({ kind: 'sweep', owner: 'two', leaseMs: 40_000, limit: 20 }), { value: 10 }, 'which runs out')
})

t.test('a duplicate ends its own operation and not the batch it shares', async (t) => {
  const storage = await openTestStorage(t, [animals])
  const collection = storage.collection<Animal>(animals)
  const outcomes = await Promise.allSettled([
    collection.insert({ id: 'a', name: 'Mia' }), collection.insert({ id: 'a' }), collection.insertMany([{ id: 'x' }, { id: 'y', name: 'Mia' }]),
    collection.putMany([{ id: 'p' }, { id: 'q', name: 'Mia' }]), collection.insert({ id: 'b' })
  ])
  t.strictSame(outcomes.map((outcome) => outcome.status), ['fulfilled', 'rejected', 'rejected', 'rejected', 'fulfilled'])
  t.strictSame((await collection.find({ first: 10 })).items.map((doc) => doc.id), ['a', 'b'], 'a batch of documents is whole or not at all')
})

t.test('a temporary store goes with its storage', async (t) => {
  const storage = await openStorage({ config: { dataDir: ':memory:', mongodbUri: null, mongodbDatabase: 'x' }, clock: systemClock, log: silentLog })
  await storage.migrate([animals])
  await storage.collection<Animal>(animals).insert({ id: 'a' })
  await storage.close()
  t.notOk(existsSync(':memory:'))
})
