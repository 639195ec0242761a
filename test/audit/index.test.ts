import { rmSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { createAudit } from '../../src/audit/audit.ts'
import { auditCheckpoints, auditCollections, auditTrails } from '../../src/audit/collections.ts'
import { nameTrail, prepareAudit } from '../../src/audit/prepare.ts'
import { verifyDataDir } from '../../src/audit/verify.ts'
import type { VerifyReport } from '../../src/audit/verify-report.ts'
import { auditEvents } from '../../src/journal/collections.ts'
import type { StoredAuditEvent } from '../../src/journal/collections.ts'
import { createTestClock, systemClock } from '../../src/std/clock.ts'
import type { Storage } from '../../src/storage/port.ts'
import { openTestStorage } from '../storage.ts'
import { seen, silentLog, temporaryFolder } from '../journal/disk.ts'

/** The store's copy of the trail is what administrators are shown: it is held to the log, which is the evidence. */
const auditSigningKey = 'a secret of the tests that is long enough'
const EVENTS = 40
const HOUR_MS = 3_600_000
let starts = 0

t.test('an index as the log wrote it verifies, beside a writer too', async (t) => {
  const { config, storage } = await place(t)
  t.match(await verifyDataDir(config, storage), { ok: true, findings: [], events: EVENTS, indexed: EVENTS })
  const audit = createAudit({ config, storage, clock: systemClock, log: silentLog, processId: 'writes' })
  for (let i = 0; i < 5; i++) await audit.durable(seen)
  t.match(await verifyDataDir(config, storage), { ok: true, findings: [], events: EVENTS + 5 }, 'before it is flushed')
  await audit.flush()
  t.match(await verifyDataDir(config, storage), { ok: true, findings: [] }, 'and after')
  await audit.close()
})

t.test('whatever is done to the index alone is found, and where', async (t) => {
  const { config, storage } = await place(t)
  const index = storage.collection<StoredAuditEvent>(auditEvents)
  const { items } = await index.find({ first: 1_000 })
  const events = items.map(({ revision: _revision, ...event }) => event)
  const restore = async (): Promise<void> => {
    await index.deleteWhere({}, 10_000)
    await index.insertMany(events)
  }
  const one = (): StoredAuditEvent => events[Math.floor(Math.random() * events.length)]!
  const edits: Record<string, (event: StoredAuditEvent) => StoredAuditEvent> = {
    actor: (event) => ({ ...event, actor: 'user:somebody' }),
    outcome: (event) => ({ ...event, outcome: 'refused' }),
    time: (event) => ({ ...event, at: event.at + 1 }),
    type: (event) => ({ ...event, type: 'request.send' }),
    'a detail more': (event) => ({ ...event, details: { more: 1 } }),
    'a detail less': ({ details: _details, ...event }) => event,
    number: (event) => ({ ...event, seq: (event.seq + 1) % EVENTS })
  }
  for (const [name, edit] of Object.entries(edits)) {
    const event = one()
    await index.put(edit(event))
    const report = await verifyDataDir(config, storage)
    t.equal(report.ok, false, name)
    t.ok(report.findings.some(({ file, seq }) => file === 'store' && seq !== null), `${name}: ${messages(report)}`)
    await restore()
  }
  for (const count of [1, 7, EVENTS]) {
    for (const { id } of events.toSorted(() => Math.random() - 0.5).slice(0, count)) await index.delete(id)
    t.match(messages(await verifyDataDir(config, storage)), new RegExp(`^the index lacks ${count} events of`))
    await restore()
  }
  const last = events.toSorted((a, b) => b.seq - a.seq)[0]!
  await index.put({ ...last, id: 'invented', seq: EVENTS + 3 })
  t.match(messages(await verifyDataDir(config, storage)), /holds an event invented that the log does not/)
  await restore()
  await index.put({ ...last, id: 'twice' })
  t.equal((await verifyDataDir(config, storage)).ok, false, 'the same event under two ids')
  await restore()
  await index.put({ ...last, id: 'stranger', processId: 'nobody' })
  const strange = await verifyDataDir(config, storage)
  // A database that hosts share holds the events of others.
  if (storage.kind === 'sqlite') t.match(messages(strange), /1 events of nobody, whose log is not here/)
  else t.equal(strange.ok, true)
  await restore()
  t.match(await verifyDataDir(config, storage), { ok: true, findings: [], indexed: EVENTS })
})

t.test('what retention removed of the index is not missed', async (t) => {
  const { config, storage } = await place(t)
  const clock = createTestClock()
  clock.advance(systemClock.now() - clock.now() + 40 * 24 * HOUR_MS)
  await prepareAudit({ config: { ...config, auditRetentionDays: 30 }, storage, clock, log: silentLog, collections: [] })
  t.equal(await storage.collection(auditEvents).count(), 0)
  t.match(await verifyDataDir({ ...config, auditRetentionDays: 30 }, storage), { ok: true, findings: [], indexed: 0 })
})

t.test('a trail that was removed with all that the store knew of it leaves the users behind', async (t) => {
  const { config, storage } = await place(t)
  const madeAt = systemClock.now() - 24 * HOUR_MS
  const first = { usersSince: systemClock.now() - 1_000 }
  t.match(await verifyDataDir(config, storage, first), { ok: true, findings: [] }, 'the first administrator is older than the trail')
  t.match(await verifyDataDir(config, storage, { usersSince: null }), { ok: true }, 'a store without users')
  rmSync(join(config.dataDir, 'audit'), { recursive: true })
  for (const definition of [auditTrails, auditCheckpoints, auditEvents]) await storage.collection(definition).deleteWhere({}, 10_000)
  for (const usersSince of [madeAt, first.usersSince]) {
    t.match(messages(await verifyDataDir(config, storage, { usersSince })), /^there is no log here, and the store has users/)
  }
  const warned = await start(config, storage, { hadUsers: true })
  t.match(warned.join(), /begins anew in the place of earlier logs that are gone/)
  t.match(await storage.collection<StoredAuditEvent>(auditEvents).find({ where: { type: 'audit.begin' }, first: 2 }), { items: [{ outcome: 'failed', seq: 0 }] })
  t.match(messages(await verifyDataDir(config, storage, { usersSince: madeAt })), /^the store has users that are older than the first log/, 'and goes on saying so')
  t.same(await start(config, storage, { hadUsers: true }), [], 'the next start is one of many')
})

t.test('a first start, and a host that joins others, have lost nothing', async (t) => {
  const storage = await openTestStorage(t, auditCollections)
  const config = { dataDir: temporaryFolder(t), auditSigningKey }
  t.same(await start(config, storage, { hadUsers: false }), [])
  if (storage.kind === 'mongodb') t.same(await start({ dataDir: temporaryFolder(t), auditSigningKey }, storage, { hadUsers: true }), [])
})

function messages ({ findings }: VerifyReport): string {
  return findings.map(({ message }) => message).join('\n')
}

interface Place { config: { dataDir: string, auditSigningKey: string }, storage: Storage }

async function place (t: Test): Promise<Place> {
  const storage = await openTestStorage(t, auditCollections)
  const config = { dataDir: temporaryFolder(t), auditSigningKey }
  await start(config, storage, { hadUsers: false }, EVENTS)
  return { config, storage }
}

/** A start and a stop of the room, as the server does it; returns what it warned of. */
async function start (config: Place['config'], storage: Storage, given: { hadUsers: boolean }, events = 1): Promise<string[]> {
  const warned: string[] = []
  await nameTrail(config.dataDir)
  await prepareAudit({ config, storage, clock: systemClock, log: silentLog, collections: [] })
  const log = { ...silentLog, warn: (_fields: object, message: string) => { warned.push(message) } }
  const audit = createAudit({ config, storage, clock: systemClock, log, processId: `index${starts++}` })
  await audit.register(given)
  for (let i = 0; i < events; i++) await audit.durable({ ...seen, details: { i, text: 'ä' } })
  await audit.close()
  return warned
}
