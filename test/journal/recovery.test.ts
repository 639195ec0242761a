import t from 'tap'
import { createAudit } from '../../src/audit/audit.ts'
import { auditCollections } from '../../src/audit/collections.ts'
import { recoverAudit } from '../../src/audit/recovery.ts'
import { createSigner } from '../../src/audit/signing.ts'
import { attempt } from '../../src/audit/shapes.ts'
import type { AuditInput } from '../../src/audit/shapes.ts'
import { NEKO_ERR_STORE_UNAVAILABLE } from '../../src/errors.ts'
import { EffectSet } from '../../src/journal/effect-set.ts'
import { createTestClock, systemClock } from '../../src/std/clock.ts'
import type { Json } from '../../src/std/json.ts'
import type { CollectionDefinition } from '../../src/storage/port.ts'
import { openTestStorage } from '../storage.ts'
import { seen, silentLog } from './disk.ts'
import { memoryDisk } from './memory.ts'
import { memoryStore } from './memory-store.ts'

const things: CollectionDefinition = { name: 'things', indexes: [] }
const secret = 'a secret of the tests that is long enough'
const config = { dataDir: 'mem', auditSigningKey: secret }
const common = { directory: 'mem/audit', signer: createSigner(secret), log: silentLog, collections: [things] }

function put (id: string, text: string, updatedAt?: number): AuditInput {
  const doc: { id: string } & { [key: string]: Json } = updatedAt === undefined ? { id, text } : { id, text, updatedAt }
  return { category: 'data', type: 'thing.put', actor: 'user:1', outcome: 'ok', effects: [{ collection: 'things', op: 'put', id, doc }] }
}

function take (id: string): AuditInput {
  return { category: 'data', type: 'thing.remove', actor: 'user:1', outcome: 'ok', effects: [{ collection: 'things', op: 'delete', id }] }
}

t.test('the last change of each document wins, over all logs that the dead left', async (t) => {
  const storage = await openTestStorage(t, [...auditCollections, things])
  const collection = storage.collection<{ id: string, text: string }>(things)
  const clock = createTestClock()
  const memory = memoryDisk()
  const write = async (processId: string, inputs: AuditInput[]): Promise<void> => {
    const audit = createAudit({ config, storage: null, clock, log: silentLog, processId, files: memory.files })
    for (const input of inputs) {
      clock.advance(1)
      await audit.durable(input)
    }
  }
  await collection.put({ id: 'newer', text: 'stored', updatedAt: clock.now() + 50 } as never)
  await collection.put({ id: 'gone', text: 'stored' })
  await write('z', [put('a', 'first'), put('b', 'first'), put('a', 'second'), take('gone'), put('newer', 'old', clock.now()), put('back', 'x'), take('back')])
  await write('a', [put('b', 'second'), { ...put('never', 'x'), outcome: 'refused' }])

  const report = await recoverAudit({ ...common, storage, clock, files: memory.files, isLive: () => false })
  t.same(report.broken, [])
  t.equal(report.events, 9)
  t.equal((await collection.get('a'))?.text, 'second')
  t.equal((await collection.get('b'))?.text, 'second')
  t.equal((await collection.get('newer'))?.text, 'stored', 'a document that says it is newer stays')
  for (const id of ['gone', 'back', 'never']) t.equal(await collection.get(id), null)
})

t.test('what the store has as it was acknowledged is not written once more, since it may be removed meanwhile', async (t) => {
  const storage = await openTestStorage(t, [...auditCollections, things])
  const collection = storage.collection<{ id: string, text: string }>(things)
  const memory = memoryDisk()
  const dead = createAudit({ config, storage: null, clock: systemClock, log: silentLog, processId: 'dead', files: memory.files })
  for (const id of ['written', 'lost']) await dead.durable(put(id, 'acknowledged'))
  await collection.put({ id: 'written', text: 'acknowledged' })
  t.equal((await recoverAudit({ ...common, storage, clock: systemClock, files: memory.files, isLive: () => false })).effects, 1)
  for (const id of ['written', 'lost']) t.match(await collection.get(id), { revision: 1 }, id)
})

t.test('what a living process changed later is left to it', async (t) => {
  const storage = await openTestStorage(t, [...auditCollections, things])
  const clock = createTestClock()
  const memory = memoryDisk()
  const dead = createAudit({ config, storage: null, clock, log: silentLog, processId: 'dead', files: memory.files })
  await dead.durable(put('flushed', 'old'))
  await dead.durable(put('logged', 'old'))
  await dead.durable(put('mine', 'only'))
  clock.advance(10)
  const live = createAudit({ config, storage, clock, log: silentLog, processId: 'live', files: memory.files })
  await live.durable(take('flushed'))
  await live.flush()
  await live.durable(take('logged'))

  await recoverAudit({ ...common, storage, clock, files: memory.files, isLive: (id) => id === 'live' })
  const collection = storage.collection(things)
  t.equal(await collection.get('flushed'), null, 'by the index')
  t.equal(await collection.get('logged'), null, 'by its log')
  t.ok(await collection.get('mine'))
  await live.close()
})

t.test('a change that its caller was told had failed is not made by replay', async (t) => {
  const storage = await openTestStorage(t, [...auditCollections, things])
  const collection = storage.collection<{ id: string, text: string }>(things)
  const memory = memoryDisk()
  const audit = createAudit({ config, storage: null, clock: systemClock, log: silentLog, processId: 'dead', files: memory.files })
  const refuse = async (): Promise<void> => { throw new NEKO_ERR_STORE_UNAVAILABLE() }
  await audit.durable(put('kept', 'before'))
  await collection.put({ id: 'kept', text: 'before' })
  for (const event of [put('kept', 'after'), put('never', 'x'), take('kept')]) {
    await t.rejects(attempt(audit, event, refuse), { code: 'NEKO_ERR_STORE_UNAVAILABLE' })
    // Killed in the moment in which the caller hears of it: what was not written by then is lost.
    const disk = memoryDisk(memory.now()).files
    await recoverAudit({ ...common, storage, clock: systemClock, files: disk, isLive: () => false })
    t.equal((await collection.get('kept'))?.text, 'before')
    t.equal(await collection.get('never'), null)
  }
})

t.test('a later change that was taken back undoes nothing, also where only the index knows that it was', async (t) => {
  const storage = await openTestStorage(t, [...auditCollections, things])
  const memory = memoryDisk()
  const clock = createTestClock()
  const dead = createAudit({ config, storage: null, clock, log: silentLog, processId: 'dead', files: memory.files })
  for (const id of ['failed', 'late', 'gone']) await dead.durable(put(id, 'acknowledged'))
  clock.advance(10)
  const ended = createAudit({ config, storage, clock, log: silentLog, processId: 'ended', files: memory.files })
  await t.rejects(attempt(ended, take('failed'), async () => { throw new NEKO_ERR_STORE_UNAVAILABLE() }))
  const late = await ended.durable(take('late'))
  await ended.durable({ category: 'security', type: 'audit.withdrawn', actor: 'system', target: late.id, outcome: 'ok' })
  await ended.durable(take('gone'))
  await ended.close()
  await recoverAudit({ ...common, storage, clock, files: memory.files, isLive: (id) => id === 'dead' })
  t.equal((await recoverAudit({ ...common, storage, clock, files: memory.files, isLive: () => false })).effects, 2)
  const collection = storage.collection(things)
  t.match(await collection.get('failed'), { text: 'acknowledged' })
  t.match(await collection.get('late'), { text: 'acknowledged' })
  t.equal(await collection.get('gone'), null, 'one that holds counts')
})

t.test('an acknowledged change stands behind any number of tries that were withdrawn', (t) => {
  const effects = new EffectSet()
  const common = { category: 'data', type: 'thing', actor: 'x', outcome: 'ok', processId: 'dead', at: 1 } as const
  let seq = 0
  const add = (fields: object): void => { effects.add({ ...common, id: `ev_${seq}`, seq: seq++, ...fields }, true) }
  add({ effects: [{ collection: 'things', op: 'put', id: 'a', doc: { id: 'a' } }] })
  for (let i = 0; i < 100; i++) {
    add({ effects: [{ collection: 'things', op: 'delete', id: 'a' }] })
    add({ type: 'audit.withdrawn', target: `ev_${seq - 1}` })
  }
  t.match(effects.pending(), [{ eventId: 'ev_0' }])
  t.end()
})

t.test('a broken log is indexed up to the break and otherwise left alone', async (t) => {
  const { storage, documents } = memoryStore()
  const memory = memoryDisk()
  const dead = createAudit({ config, storage: null, clock: systemClock, log: silentLog, processId: 'dead', files: memory.files })
  for (let i = 0; i < 10; i++) await dead.durable({ ...seen, target: `t${i}` })
  const disk = memory.now()
  const text = disk.get('mem/audit/dead-0.log')!.toString().replace('"target":"t5"', '"target":"t6"')
  disk.set('mem/audit/dead-0.log', Buffer.from(text))
  const edited = memoryDisk(disk)
  const report = await recoverAudit({ ...common, storage, clock: systemClock, files: edited.files, isLive: () => false })
  t.match(report.broken, [{ processId: 'dead', problem: 'segment 0: the record is not what was hashed' }])
  t.equal(documents('auditEvents').size, 5)
  t.equal(edited.now().get('mem/audit/dead-0.log')!.toString(), text, 'the evidence is as it was')
})

t.test('an effect on a collection that nobody declared keeps its log from being done', async (t) => {
  const { storage } = memoryStore()
  const memory = memoryDisk()
  const dead = createAudit({ config, storage: null, clock: systemClock, log: silentLog, processId: 'dead', files: memory.files })
  await dead.durable({ ...put('1', 'x'), effects: [{ collection: 'elsewhere', op: 'put', id: '1', doc: { id: '1' } }] })
  const options = { ...common, storage, clock: systemClock, files: memory.files, isLive: () => false }
  t.same((await recoverAudit(options)).unapplied, ['dead'])
  t.same((await recoverAudit({ ...options, collections: [{ name: 'elsewhere', indexes: [] }] })).unapplied, [])
  t.equal((await recoverAudit(options)).processes, 0, 'done')
})

t.test('a store that is down stops recovery, and a later one brings everything', async (t) => {
  const { storage, documents, down } = memoryStore()
  const memory = memoryDisk()
  const dead = createAudit({ config, storage: null, clock: systemClock, log: silentLog, processId: 'dead', files: memory.files })
  for (let i = 0; i < 5; i++) await dead.durable(put(`t${i}`, 'x'))
  const options = { ...common, storage, clock: systemClock, files: memory.files, isLive: () => false }
  down.now = true
  await t.rejects(recoverAudit(options), { code: 'NEKO_ERR_STORE_UNAVAILABLE' })
  down.now = false
  t.equal((await recoverAudit(options)).effects, 5)
  t.equal(documents('things').size, 5)
})
