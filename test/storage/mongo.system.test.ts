import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MongoNetworkError, MongoServerError } from 'mongodb'
import t from 'tap'
import { scaled } from '../scale.ts'
import { spawnServer } from '../server.ts'
import { createTestClock, systemClock } from '../../src/std/clock.ts'
import { randomText } from '../../src/std/id.ts'
import { type StorageLog, silentLog } from '../../src/storage/log.ts'
import { openMongoStorage } from '../../src/storage/mongo.ts'
import type { Collection } from '../../src/storage/port.ts'
import { clientOptions, isRemoteWithoutTls } from '../../src/storage/mongo-uri.ts'
import { reasonOf } from '../../src/storage/mongo-failure.ts'
import { freePort } from '../services/free-port.ts'
import { startMongo } from '../services/mongo.ts'
import { type Animal, animals, runContract } from './contract.ts'
import { missingOf, openMongo, proxied, runLostReplies, whenUp } from './lost-replies.ts'
import { showFigure } from '../bar.ts'
import { until } from '../processes/load.ts'
import { isStopped } from '../processes/status-of.ts'

/** One that stays, and one that is stopped and killed. */
const steady = await startMongo(t)
const mortal = await startMongo(t)

t.test('the contract holds on a server of MongoDB\'s protocol', async (t) => {
  const server = steady
  if (server === null) return
  await runContract(t, {
    plans: false,
    async open (t) {
      const clock = createTestClock()
      return { storage: await openMongo(t, server.uri, { clock }), clock }
    }
  })
})

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

interface Inserted { acknowledged: string[], codes: string[], slowestMs: number }

/** Inserts one after the other, `lanes` at once, until told to stop: what was acknowledged, how the rest ended, how long the slowest took. */
function startInserts (collection: Collection<Animal>, lanes: number): { seen: Inserted, stop (): Promise<Inserted> } {
  const state = { running: true }
  let count = 0
  const history: Inserted = { acknowledged: [], codes: [], slowestMs: 0 }
  const lane = async (): Promise<void> => {
    while (state.running) {
      const id = `i${count++}`
      const startMs = performance.now()
      await collection.insert({ id }).then(() => history.acknowledged.push(id), (error: { code: string }) => history.codes.push(error.code))
      history.slowestMs = Math.max(history.slowestMs, performance.now() - startMs)
      await pause(5)
    }
  }
  const done = Promise.all(Array.from({ length: lanes }, lane))
  return { seen: history, async stop () { state.running = false; await done; return history } }
}

t.test('a server killed under load and started again loses no acknowledged write, and the client heals by itself', async (t) => {
  const server = mortal
  if (server === null || server.pid() === null) return
  const lines: string[] = []
  const log: StorageLog = { ...silentLog, info: (_, message) => lines.push(message), warn: (details, message) => lines.push(`${message}: ${(details as { reason?: string }).reason}`) }
  const storage = await openMongo(t, server.uri, { log })
  const collection = storage.collection<Animal>(animals)
  const load = startInserts(collection, 8)
  await until('the load runs', () => load.seen.acknowledged.length > 50)
  await server.kill()
  // Whoever was under way was refused, more often than the breaker needs to open.
  await until('it is known that it refuses', () => storage.health().reason === 'refused' && load.seen.codes.length >= 8)
  t.equal(storage.health().up, false)
  const startMs = performance.now()
  await t.rejects(collection.get('i0'), { code: 'NEKO_ERR_STORE_UNAVAILABLE' })
  const refusedMs = performance.now() - startMs
  await server.start()
  await whenUp(storage)
  const before = load.seen.acknowledged.length
  await until('the load goes on', () => load.seen.acknowledged.length > before + 10)
  const { acknowledged, codes, slowestMs } = await load.stop()
  t.strictSame(await missingOf(collection, acknowledged), [], 'every acknowledged write is there')
  t.strictSame([...new Set(codes)], ['NEKO_ERR_STORE_UNAVAILABLE'])
  showFigure(t, 'nobody waited longer than 3 s', slowestMs, 3000)
  showFigure(t, 'with the breaker open the answer takes milliseconds', refusedMs, 100)
  const told = lines.filter((line) => line.startsWith('storage is'))
  // A server that is killed is first late and then refuses, or refuses at once: each reason is a state of its own.
  t.strictSame(told.filter((line, i) => line !== told[i - 1]), told, 'one line per change of state')
  t.equal(told.at(-1), 'storage is up again')
  t.ok(told.slice(0, -1).every((line) => line.startsWith('storage is down')) && told.length > 1)
  t.comment(`acknowledged ${acknowledged.length}, refused ${codes.length}, slowest ${Math.round(slowestMs)} ms, refused in ${refusedMs.toFixed(1)} ms`)
})

t.test('a server that stalls is answered for, and heals when it goes on', async (t) => {
  const server = mortal
  if (server === null || server.pid() === null) return
  const storage = await openMongo(t, server.uri)
  const collection = storage.collection<Animal>(animals)
  await collection.insert({ id: 'before' })
  process.kill(server.pid()!, 'SIGSTOP')
  await until('all its threads stand still', () => isStopped(server.pid()!))
  const startMs = performance.now()
  const outcomes = await Promise.allSettled(Array.from({ length: 20 }, (_, i) => collection.insert({ id: `s${i}` })))
  const firstMs = performance.now() - startMs
  t.ok(outcomes.every((outcome) => outcome.status === 'rejected' && outcome.reason.code === 'NEKO_ERR_STORE_UNAVAILABLE'))
  showFigure(t, 'in time', firstMs, 3000)
  t.equal(storage.health().up, false)
  t.equal(storage.health().reason, 'timeout')
  const againMs = performance.now()
  await t.rejects(collection.get('before'), { code: 'NEKO_ERR_STORE_UNAVAILABLE' })
  showFigure(t, 'in time', performance.now() - againMs, 100)
  process.kill(server.pid()!, 'SIGCONT')
  await whenUp(storage)
  t.ok(await collection.get('before'))
})

t.test('a cut network is a typed error, and heals', async (t) => {
  const server = steady
  if (server === null) return
  const { proxy, uri } = await proxied(t, server.uri)
  const storage = await openMongo(t, uri)
  const collection = storage.collection<Animal>(animals)
  await collection.insert({ id: 'a' })
  for (const fault of [{ kind: 'stall' }, { kind: 'reset' }, { kind: 'half-close' }] as const) {
    proxy.setFault(fault)
    const startMs = performance.now()
    await t.rejects(collection.insert({ id: fault.kind }), { code: 'NEKO_ERR_STORE_UNAVAILABLE' }, fault.kind)
    showFigure(t, 'in time', performance.now() - startMs, 3000)
    proxy.setFault(null)
    await whenUp(storage)
    t.ok(await collection.get('a'))
  }
})

t.test('writes whose reply was lost count exactly once', (t) => runLostReplies(t, { rounds: scaled(2, 4), server: steady }))

t.test('a server that is down at the start: NEKO starts degraded and migrates when it comes', async (t) => {
  const server = mortal
  if (server === null || server.pid() === null) return
  await server.kill()
  const startMs = performance.now()
  const storage = await openMongo(t, server.uri)
  showFigure(t, 'in time', performance.now() - startMs, 3000)
  const collection = storage.collection<Animal>(animals)
  await t.rejects(collection.insert({ id: 'a' }), { code: 'NEKO_ERR_STORE_UNAVAILABLE' })
  await server.start()
  await whenUp(storage)
  await collection.insert({ id: 'a', name: 'Mia' })
  await t.rejects(collection.insert({ id: 'b', name: 'Mia' }), { code: 'NEKO_ERR_STORE_DUPLICATE' }, 'the unique index was made')
  await t.rejects(storage.backup('x'), { code: 'NEKO_ERR_BACKUP_UNSUPPORTED' })
})

t.test('two storages of one database see each other, and a newer one may refuse this version', async (t) => {
  const server = steady
  if (server === null) return
  const database = `neko-test-${randomText(8)}`
  const one = await openMongo(t, server.uri, { database })
  const two = await openMongo(t, server.uri, { database })
  await one.collection<Animal>(animals).insert({ id: 'a' })
  const wins = await Promise.all([one, two, one, two].map((storage) => storage.collection<Animal>(animals).replace({ id: 'a', legs: 1 }, 1)))
  t.equal(wins.filter((win) => win !== null).length, 1)
  const mark = { name: 'neko_meta', indexes: [] }
  await t.rejects(one.collection(mark).insert({ id: 'schema' }), { code: 'NEKO_ERR_STORE_DUPLICATE' }, 'the mark is there')
})

t.test('the URI wins over our options, and a remote host without TLS is noticed', async (t) => {
  t.match(clientOptions('mongodb://127.0.0.1/'), { minPoolSize: 2, maxPoolSize: 10, maxIdleTimeMS: 10_000, serverSelectionTimeoutMS: 5000, socketTimeoutMS: 45_000, retryWrites: true, retryReads: true, w: 'majority' })
  const given = clientOptions('mongodb://127.0.0.1/?maxPoolSize=50&W=1&retrywrites=false')
  t.notOk('maxPoolSize' in given || 'w' in given || 'retryWrites' in given)
  t.match(clientOptions('mongodb://127.0.0.1/?maxPoolSize=1'), { minPoolSize: 1 }, 'a small pool is small at both ends')
  t.match(clientOptions('mongodb://127.0.0.1/?maxPoolSize=0'), { minPoolSize: 2 }, '0 is no bound')
  t.match(clientOptions('mongodb://127.0.0.1/?minPoolSize=20'), { maxPoolSize: 20 })
  t.equal(isRemoteWithoutTls('mongodb://db.example.org:27017/?w=1'), true)
  t.equal(isRemoteWithoutTls('mongodb+srv://db.example.org/?tls=false'), true)
  for (const uri of ['mongodb://127.0.0.1:1,localhost/', 'mongodb://[::1]:5/', 'mongodb+srv://db.example.org/', 'mongodb://db.example.org/?tls=true']) t.equal(isRemoteWithoutTls(uri), false, uri)
  // Built here, because the tree holds no text of that form.
  t.equal(isRemoteWithoutTls('mongodb:' + '//user:word' + '@db.example.org/'), true)
})

t.test('a URI that the driver refuses ends the start with the variable, and none of its words', async (t) => {
  await Promise.all(['127.0.0.1/?bogus=hunter2', '[hunter2', '127.0.0.1:1,127.0.0.1:2/?directConnection=true'].map(async (rest) => {
    const server = spawnServer(t, { env: { MONGODB_URI: `mongodb://${rest}` } })
    t.equal((await server.ended).code, 78, rest)
    const fatal = server.logs().filter(({ level }) => level === 'fatal')
    t.equal(fatal.length, 1)
    t.match(fatal[0], { variable: 'MONGODB_URI' })
    t.notMatch(server.output(), /hunter2/)
  }))
})

t.test('failures are told apart: auth, refused, tls, timeout, full', async (t) => {
  const network = (code: string): Error => new MongoNetworkError('x', { cause: Object.assign(new Error('x'), { code }) })
  t.equal(reasonOf(network('ECONNREFUSED')), 'refused')
  t.equal(reasonOf(network('DEPTH_ZERO_SELF_SIGNED_CERT')), 'tls')
  t.equal(reasonOf(network('ETIMEDOUT')), 'timeout')
  t.equal(reasonOf(new MongoServerError({ code: 18, message: 'x' })), 'auth')
  t.equal(reasonOf(new MongoServerError({ code: 14031, message: 'x' })), 'full')
  t.equal(reasonOf(new Error('x')), 'other')
  const lines: object[] = []
  const storage = await openMongoStorage({ uri: `mongodb://127.0.0.1:${await freePort()}/`, database: 'x', clock: systemClock, log: { ...silentLog, warn: (details) => lines.push(details) } })
  t.teardown(() => storage.close())
  t.strictSame(storage.health(), { up: false, reason: 'refused' })
  t.equal(lines.length, 1)
})

t.test('TLS by URI: a trusted certificate connects, an unknown one is told as tls', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'neko-tls-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  const [key, cert] = [join(directory, 'key.pem'), join(directory, 'cert.pem')]
  try {
    execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', key, '-out', cert, '-days', '2', '-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1'], { stdio: 'ignore' })
  } catch {
    t.comment('# SKIP openssl is absent')
    return
  }
  const server = await startMongo(t, { tls: { cert, key } })
  if (server === null) return
  const trusted = await openMongo(t, `${server.uri}?tls=true&tlsCAFile=${encodeURIComponent(cert)}`)
  await trusted.collection<Animal>(animals).insert({ id: 'a' })
  t.ok(await trusted.collection<Animal>(animals).get('a'))
  const untrusted = await openMongo(t, `${server.uri}?tls=true`)
  t.strictSame(untrusted.health(), { up: false, reason: 'tls' })
})
