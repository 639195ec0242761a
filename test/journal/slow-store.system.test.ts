import { randomBytes } from 'node:crypto'
import t from 'tap'
import { createAudit } from '../../src/audit/audit.ts'
import { auditCollections } from '../../src/audit/collections.ts'
import { recoverAudit } from '../../src/audit/recovery.ts'
import { createSigner } from '../../src/audit/signing.ts'
import { NEKO_ERR_STORE_UNAVAILABLE } from '../../src/errors.ts'
import { auditEvents } from '../../src/journal/collections.ts'
import { RecoveryProgress } from '../../src/journal/apply-effects.ts'
import { systemClock } from '../../src/std/clock.ts'
import { openStorage } from '../../src/storage/open.ts'
import type { CollectionDefinition, Document, Storage } from '../../src/storage/port.ts'
import { startFaultProxy } from '../fault-proxy.ts'
import { until } from '../processes/load.ts'
import { startMongo } from '../services/mongo.ts'
import { seen, silentLog, temporaryFolder } from './disk.ts'
import { memoryDisk } from './memory.ts'
import { memoryStore } from './memory-store.ts'

const things: CollectionDefinition = { name: 'things', indexes: [] }
const secret = 'a secret of the tests that is long enough'
const config = { dataDir: 'mem', auditSigningKey: secret }

/** A store that takes 20 ms for each document, and that is asked for at most 5 s: in a time of its own. */
function slowStore (): { storage: Storage, documents: (name: string) => Map<string, Document>, sent: () => number, lateMs: () => number } {
  const { storage, documents } = memoryStore()
  let sent = 0
  let lateMs = 0
  const take = (count: number): void => {
    if (count * 20 > 5_000) {
      lateMs += 5_000
      throw new NEKO_ERR_STORE_UNAVAILABLE()
    }
    sent += count
  }
  const collection = (definition: CollectionDefinition): unknown => {
    const inner = storage.collection<Document>(definition)
    return {
      ...inner,
      async insertMany (docs: Document[]) { take(docs.length); return await inner.insertMany(docs) },
      async putMany (docs: Document[]) { take(docs.length); await inner.putMany(docs) }
    }
  }
  return { storage: { ...storage, collection } as unknown as Storage, documents, sent: () => sent, lateMs: () => lateMs }
}

t.test('a store of 20 ms per document gets a backlog of thousands: what it took is not sent again', async (t) => {
  const memory = memoryDisk()
  const dead = createAudit({ config, storage: null, clock: systemClock, log: silentLog, processId: 'dead', files: memory.files })
  for (let i = 0; i < 3_000; i++) {
    dead.record(i % 3 > 0 ? seen : { ...seen, effects: [{ collection: 'things', op: 'put', id: `t${i}`, doc: { id: `t${i}` } }] })
    if (i % 500 === 0) await dead.drained()
  }
  await dead.drained()
  const { storage, documents, sent, lateMs } = slowStore()
  const progress = new RecoveryProgress()
  const recover = (): Promise<unknown> => recoverAudit({ directory: 'mem/audit', signer: createSigner(secret), log: silentLog, collections: [things], storage, clock: systemClock, files: memory.files, isLive: () => false, progress })
  let tries = 1
  while (await recover().then(() => false, () => true)) if (++tries > 20) break
  t.comment(`${tries} tries, ${lateMs()} ms in vain`)
  t.ok(tries <= 20)
  t.equal(documents('auditEvents').size, 3_000)
  t.equal(documents('things').size, 1_000)
  t.equal(sent(), 4_000, 'each document once')

  const live = createAudit({ config, storage, clock: systemClock, log: silentLog, processId: 'live', files: memory.files })
  for (let i = 0; i < 3_000; i++) {
    live.record(seen)
    if (i % 500 === 0) await live.drained()
  }
  await live.drained()
  for (tries = 1; !await live.flush(); tries++) if (tries > 20) break
  t.equal(documents('auditEvents').size, 6_000, 'so does a living process')
  t.equal(sent(), 7_000)
  await live.close()
})

t.test('a database that takes longer for each answer than a request may wait gets the backlog, and a late portion is nothing to requests', async (t) => {
  const mongo = await startMongo(t)
  if (mongo === null) return
  const open = async (): Promise<{ storage: Storage, proxy: Awaited<ReturnType<typeof startFaultProxy>> }> => {
    const proxy = await startFaultProxy(t, { port: Number(new URL(mongo.uri).port) })
    const mongodbUri = `mongodb://127.0.0.1:${proxy.port}/`
    const storage = await openStorage({ config: { dataDir: '', mongodbUri, mongodbDatabase: `slow-${randomBytes(6).toString('hex')}` }, clock: systemClock, log: silentLog })
    t.teardown(() => storage.close())
    await storage.migrate(auditCollections)
    return { storage, proxy }
  }

  const backlog = async (): Promise<void> => {
    const { storage, proxy } = await open()
    const audit = createAudit({ config: { dataDir: temporaryFolder(t), auditSigningKey: 'a secret of the tests that is long enough' }, storage, clock: systemClock, log: silentLog, processId: 'live' })
    t.teardown(() => audit.close())
    proxy.setFault({ kind: 'delay', ms: 1_150 })
    const read = (): Promise<unknown> => storage.collection(auditEvents).get('none')
    const reads = await Promise.allSettled([read(), read(), read()])
    t.same(reads.map(({ status }) => status), ['rejected', 'rejected', 'rejected'])
    t.equal(storage.health().up, false, 'requests are let through no more')
    for (let i = 0; i < 1_000; i++) audit.record(seen)
    await audit.drained()
    await until('the store has it', () => audit.flush(), 100_000)
    t.equal(storage.health().up, false, 'nor does the backlog that arrives open the way for them')
    proxy.setFault(null)
    await until('requests are let through', () => storage.health().up)
    t.equal(await storage.collection(auditEvents).count(), 1_000)
  }

  const latePortion = async (): Promise<void> => {
    const { storage, proxy } = await open()
    proxy.setFault({ kind: 'delay', ms: 3_000 })
    const late = storage.collection(auditEvents, 'background').insertMany([{ id: 'a' }])
    await t.rejects(late, { code: 'NEKO_ERR_STORE_UNAVAILABLE' })
    t.equal(storage.health().up, true, 'a late portion closes nobody out')
    proxy.setFault(null)
    await storage.collection(auditEvents).get('none')
  }
  await Promise.all([backlog(), latePortion()])
})
