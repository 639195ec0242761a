import t from 'tap'
import { createAudit } from '../../src/audit/audit.ts'
import type { AuditService } from '../../src/audit/audit.ts'
import { auditCollections } from '../../src/audit/collections.ts'
import { prepareAudit } from '../../src/audit/prepare.ts'
import { recoverAudit } from '../../src/audit/recovery.ts'
import { createSigner } from '../../src/audit/signing.ts'
import { auditEvents, storedEvent } from '../../src/journal/collections.ts'
import { createTestClock } from '../../src/std/clock.ts'
import type { CollectionDefinition, Storage } from '../../src/storage/port.ts'
import type { AuditInput } from '../../src/audit/shapes.ts'
import { openTestStorage } from '../storage.ts'
import { faultyFiles, hang, silentLog, temporaryFolder } from './disk.ts'
import { memoryDisk } from './memory.ts'
import { memoryStore } from './memory-store.ts'

const things: CollectionDefinition = { name: 'things', indexes: [] }
const others: CollectionDefinition = { name: 'others', indexes: [] }

function put (id: string, text: string, collection = 'things'): AuditInput {
  return { category: 'data', type: 'thing.put', actor: 'user:1', outcome: 'ok', effects: [{ collection, op: 'put', id, doc: { id, text } }] }
}

function take (id: string): AuditInput {
  return { category: 'data', type: 'thing.remove', actor: 'user:1', outcome: 'ok', effects: [{ collection: 'things', op: 'delete', id }] }
}

/** As texts, oldest first. */
async function pendingOf (audit: AuditService): Promise<string[]> {
  return (await audit.pendingEffects([things])).map(({ op, id, doc }) => op === 'delete' ? `-${id}` : `${id}=${String(doc?.text)}`)
}

t.test('a process that starts sees the last acknowledged change of each document in all logs that the store may lack', async (t) => {
  const dataDir = temporaryFolder(t)
  const clock = createTestClock()
  const config = { dataDir, auditSigningKey: 'a secret of the tests that is long enough', auditPseudonymKey: 'a key of the tests that is long enough' }
  const open = (processId: string, storage: Storage | null): AuditService => createAudit({ config, storage, clock, log: silentLog, processId, segmentBytes: 2000 })
  const [dead, live] = [open('dead', null), open('live', null)]
  const say = async (audit: AuditService, inputs: AuditInput[]): Promise<void> => {
    for (const input of inputs) {
      clock.advance(1)
      await audit.durable(input)
    }
  }
  await say(dead, [put('a', 'first'), put('b', 'dead'), put('lifted', 'x'), put('elsewhere', 'x', 'others'), { ...put('refused', 'x'), outcome: 'refused' }])
  await say(live, [put('a', 'second'), take('lifted'), put('c', 'live')])
  await say(dead, [put('c', 'later'), ...Array.from({ length: 20 }, (_, i) => put(`rotated${i}`, 'x'))])
  const starting = open('starting', null)
  t.same((await pendingOf(starting)).filter((text) => !text.startsWith('rotated')), ['b=dead', 'a=second', '-lifted', 'c=later'])
  t.equal((await pendingOf(starting)).filter((text) => text.startsWith('rotated')).length, 20, 'over several segments')
  t.same((await starting.pendingEffects([others])).map(({ id, collection }) => `${collection}/${id}`), ['others/elsewhere'])

  // Somebody else changed it later, which only the index knows; the store holds the document as it was.
  const storage = await openTestStorage(t, [...auditCollections, things, others])
  const later = { ...put('b', 'newest'), id: 'ev_other_0', at: clock.now() + 1, processId: 'other', seq: 0 }
  await storage.collection(auditEvents).insert(storedEvent(later))
  await storage.collection(things).put({ id: 'lifted' })
  t.same((await pendingOf(open('asking', storage))).filter((text) => !text.startsWith('rotated')), ['a=second', '-lifted', 'c=later'])

  // Brought in, nothing is pending, though the directory still holds the logs.
  const recover = { config, storage, clock, log: silentLog, collections: [things, others] }
  await prepareAudit(recover)
  t.same(await pendingOf(open('last', storage)), [])
  for (const audit of [dead, live]) await audit.close()
})

t.test('a log that is done still says what was changed later, also without the store', async (t) => {
  const dataDir = temporaryFolder(t)
  // Files are dated by the system, and one of long ago is not read.
  const clock = createTestClock(Date.now())
  const auditSigningKey = 'a secret of the tests that is long enough'
  const config = { dataDir, auditSigningKey }
  const [first, second] = ['first', 'second'].map((processId) => createAudit({ config, storage: null, clock, log: silentLog, processId }))
  await first!.durable(put('lifted', 'x'))
  clock.advance(2)
  await second!.durable(take('lifted'))
  await second!.close()
  const { storage } = memoryStore()
  await recoverAudit({ directory: `${dataDir}/audit`, signer: createSigner(auditSigningKey), storage, clock, log: silentLog, collections: [things], isLive: (id) => id === 'first' })
  const starting = createAudit({ config, storage: null, clock, log: silentLog, processId: 'starting' })
  t.same(await pendingOf(starting), [])
  await first!.close()
})

t.test('a change that was refused as too late leaves the acknowledged one before it, however often it was tried', async (t) => {
  const dataDir = temporaryFolder(t)
  const config = { dataDir, auditSigningKey: 'a secret of the tests that is long enough' }
  const { files, fault } = faultyFiles()
  const clock = createTestClock()
  const dead = createAudit({ config, storage: null, clock, log: silentLog, processId: 'dead', files })
  await dead.durable(put('a', 'acknowledged'))
  const disk = hang(fault)
  const refusing = Promise.allSettled([dead.durable(take('a')), dead.durable(put('a', 'refused')), dead.durable(take('a'))])
  await disk.reached
  clock.advance(2_500)
  disk.letGo()
  t.same((await refusing).map(({ status }) => status), ['rejected', 'rejected', 'rejected'])
  await dead.durable(put('last', 'x'))
  const starting = createAudit({ config, storage: null, clock, log: silentLog, processId: 'starting' })
  t.same(await pendingOf(starting), ['a=acknowledged', 'last=x'])

  const storage = await openTestStorage(t, [...auditCollections, things])
  await prepareAudit({ config, storage, clock, log: silentLog, collections: [things] })
  t.match(await storage.collection(things).get('a'), { text: 'acknowledged' }, 'nor does their place in the index undo it')
  await dead.close()
})

t.test('a document that changed a thousand times later hides no later change of another', async (t) => {
  const storage = await openTestStorage(t, [...auditCollections, things])
  const clock = createTestClock()
  const memory = memoryDisk()
  const config = { dataDir: 'mem', auditSigningKey: 'a secret of the tests that is long enough' }
  const dead = createAudit({ config, storage: null, clock, log: silentLog, processId: 'dead', files: memory.files })
  await dead.durable(put('busy', 'old'))
  await dead.durable(put('quiet', 'old'))
  const laterEvent = (id: string, seq: number): ReturnType<typeof storedEvent> => storedEvent({ ...take(id), id: `ev_other_${seq}`, at: clock.now() + 1 + seq, processId: 'other', seq })
  await storage.collection(auditEvents).insert(laterEvent('quiet', 0))
  for (const from of [1, 601]) await storage.collection(auditEvents).insertMany(Array.from({ length: 600 }, (_, i) => laterEvent('busy', from + i)))
  await recoverAudit({ directory: 'mem/audit', signer: createSigner(config.auditSigningKey), log: silentLog, collections: [things], storage, clock, files: memory.files, isLive: () => false })
  t.equal(await storage.collection(things).count(), 0)
})
