import t from 'tap'
import { auditDirectory, auditSigner, createAudit } from '../../src/audit/audit.ts'
import { auditCollections, newestCheckpoints } from '../../src/audit/collections.ts'
import { auditEvents } from '../../src/journal/collections.ts'
import type { StoredAuditEvent } from '../../src/journal/collections.ts'
import type { AuditInput } from '../../src/audit/shapes.ts'
import { listAuditEvents } from '../../src/audit/graphql.ts'
import { verifyAudit } from '../../src/audit/verify.ts'
import { createTestClock, systemClock } from '../../src/std/clock.ts'
import { openTestStorage } from '../storage.ts'
import { faultyFiles, hang, seen, silentLog, temporaryFolder } from './disk.ts'
import { memoryStore } from './memory-store.ts'
import { turns, until } from '../time.ts'

t.test('the store gets events at 100 of them, or after 10 s', async (t) => {
  const storage = await openTestStorage(t, auditCollections)
  const dataDir = temporaryFolder(t)
  const clock = createTestClock()
  const audit = createAudit({ config: { dataDir, auditSigningKey: 'a secret of the tests that is long enough' }, storage, clock, log: silentLog, processId: 'p' })
  const events = storage.collection<StoredAuditEvent>(auditEvents)
  for (let i = 0; i < 99; i++) audit.record(seen)
  await audit.drained()
  clock.advance(9_999)
  await turns()
  t.equal(await events.count(), 0, '99 wait')
  audit.record(seen)
  await audit.drained()
  await until('with the hundredth they go out', async () => await events.count() === 100)
  t.ok(await audit.flush())

  await audit.durable({ ...seen, category: 'auth', type: 'login.ok', actor: 'user:1', effects: [{ collection: 'users', op: 'put', id: '1', doc: { id: '1' } }] })
  clock.advance(9_999)
  await turns()
  t.equal(await events.count(), 100, 'a single one waits')
  clock.advance(1)
  await until('it goes out after 10 s', async () => await events.count() === 101)
  const page = await listAuditEvents(storage, { category: 'AUTH', first: 5 })
  t.match(page.nodes, [{ type: 'login.ok', effectKey: 'users/1', seq: 100, processId: 'p' }])
  t.notOk('effects' in page.nodes[0]!, 'without what it changed')

  await audit.close()
  const checkpoints = await newestCheckpoints(storage)
  t.match(checkpoints, [{ id: 'p', kind: 'close', seq: 100 }])
  t.ok((await verifyAudit({ directory: auditDirectory(dataDir), signer: auditSigner({ dataDir, auditSigningKey: 'a secret of the tests that is long enough' }), checkpoints })).ok)
})

t.test('with the store down events wait in the log, without growing memory, and arrive later', async (t) => {
  const { storage, documents, down } = memoryStore()
  const audit = createAudit({ config: { dataDir: temporaryFolder(t), auditSigningKey: 'a secret of the tests that is long enough' }, storage, clock: systemClock, log: silentLog, processId: 'p', segmentBytes: 100_000 })
  down.now = true
  for (let i = 0; i < 12_000; i++) {
    audit.record(seen)
    if (i % 1_000 === 0) await audit.drained()
  }
  await audit.drained()
  t.notOk(await audit.flush(), 'the store refuses')
  t.ok(audit.healthy(), 'which is no failure of the trail')
  down.now = false
  t.ok(await audit.flush())
  t.equal(documents('auditEvents').size, 12_000, 'all of them arrived')
  await audit.close()
})

t.test('50,000 records in one breath hold their caller back and all arrive', async (t) => {
  const { storage, documents } = memoryStore()
  const audit = createAudit({ config: { dataDir: temporaryFolder(t), auditSigningKey: 'a secret of the tests that is long enough' }, storage, clock: systemClock, log: silentLog, processId: 'p' })
  let most = 0
  for (let i = 0; i < 50_000; i++) {
    audit.record(seen)
    most = Math.max(most, audit.backlog())
  }
  t.ok(most <= 10_000, `the backlog reached ${most}`)
  await audit.drained()
  await audit.flush()
  t.equal(documents('auditEvents').size, 50_000)
  await audit.close()
})

t.test('what a hanging disk cannot take is counted in the trail, and who can wait waits', async (t) => {
  const { storage, documents } = memoryStore()
  const { files, fault } = faultyFiles()
  const audit = createAudit({ config: { dataDir: temporaryFolder(t), auditSigningKey: 'a secret of the tests that is long enough' }, storage, clock: systemClock, log: silentLog, processId: 'p', files })
  const disk = hang(fault)
  const first = audit.durable(seen)
  await disk.reached
  for (let i = 0; i < 11_000; i++) audit.record(seen)
  t.equal(audit.backlog(), 10_000)
  const waiting = audit.durable({ ...seen, type: 'waited.for' })
  disk.letGo()
  await Promise.all([first, waiting])
  await audit.drained()
  await audit.flush()
  const events = [...documents('auditEvents').values()] as unknown as StoredAuditEvent[]
  const recorded = events.filter(({ type }) => type === seen.type).length
  const counted = events.filter(({ type }) => type === 'audit.overflow').reduce((sum, { details }) => sum + (details!.notRecorded as { access: number }).access, 0)
  t.equal(recorded + counted, 11_001, `${recorded} recorded, ${counted} counted`)
  t.equal(counted, 1_000)
  t.ok(events.some(({ type }) => type === 'waited.for'))
  await audit.close()
})

t.test('an event is bounded, read at once, and never throws', async (t) => {
  const { storage, documents } = memoryStore()
  const audit = createAudit({
    config: { dataDir: temporaryFolder(t), auditSigningKey: 'k'.repeat(40), auditPseudonymKey: 'another secret' },
    storage,
    clock: systemClock,
    log: silentLog,
    processId: 'p'
  })
  const cycle: { [key: string]: unknown } = {}
  cycle.self = cycle
  const details = { note: 'before' }
  audit.record({ ...seen, type: 'cycle', details: cycle as AuditInput['details'] })
  audit.record({ ...seen, type: 'large', details: { text: 'x'.repeat(10_000) }, target: 'y'.repeat(10_000) })
  audit.record({ ...seen, type: 'changed', details })
  details.note = 'after'
  audit.record({ ...seen, type: 'address', target: 'ip:192.0.2.7', details: { address: '192.0.2.7' } })
  await t.rejects(audit.durable({ ...seen, effects: [{ collection: 'c', op: 'put', id: '1', doc: { id: '1', text: 'z'.repeat(2_000_000) } }] }), { code: 'NEKO_ERR_INPUT_INVALID' })
  await audit.drained()
  await audit.flush()
  const events = new Map(([...documents('auditEvents').values()] as unknown as StoredAuditEvent[]).map((event) => [event.type, event]))
  t.same(events.get('cycle')?.details, { unreadable: true })
  t.ok((events.get('large')?.details?.oversize as number) > 4_096)
  t.ok((events.get('large')?.target?.length ?? 0) <= 512)
  t.same(events.get('changed')?.details, { note: 'before' })
  t.notMatch(JSON.stringify(events.get('address')), /192\.0\.2/, 'addresses are pseudonyms')
  t.equal(events.get('address')?.target?.slice(3), events.get('address')?.details?.address, 'the same for the same')
  await audit.close()
})
