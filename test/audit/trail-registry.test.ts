import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { createAudit } from '../../src/audit/audit.ts'
import type { AuditLog } from '../../src/audit/audit.ts'
import { auditCollections, auditTrails } from '../../src/audit/collections.ts'
import { auditEvents } from '../../src/journal/collections.ts'
import type { StoredAuditEvent } from '../../src/journal/collections.ts'
import type { StoredTrail } from '../../src/audit/collections.ts'
import { nameTrail, prepareAudit } from '../../src/audit/prepare.ts'
import { placeOf } from '../../src/audit/trail-registry.ts'
import { verifyDataDir } from '../../src/audit/verify.ts'
import type { VerifyReport } from '../../src/audit/verify-report.ts'
import { createTestClock, systemClock } from '../../src/std/clock.ts'
import type { Storage } from '../../src/storage/port.ts'
import { openTestStorage } from '../storage.ts'
import { seen, silentLog, temporaryFolder } from '../journal/disk.ts'

/** What is gone from a directory is missed, whatever the directory says of itself: the store knows which logs it held. */
const auditSigningKey = 'a secret of the tests that is long enough'
const messages = ({ findings }: VerifyReport): string => findings.map(({ file, message }) => `${file}: ${message}`).join('\n')
let starts = 0

t.test('legitimate ways of a trail verify: first start, restarts, a log of an older version, a host beside it', async (t) => {
  const { dataDir, storage } = await place(t)
  t.match(await verify(dataDir, storage), { ok: true, findings: [] })
  await start(dataDir, storage)
  t.match(await verify(dataDir, storage), { ok: true, findings: [], processes: 2 })
  // A store of before this had no such collection: the checkpoints alone tell.
  await storage.collection(auditTrails).deleteWhere({}, 100)
  t.match(await verify(dataDir, storage), { ok: true, findings: [] }, 'before the first start of this version')
  const warned = await start(dataDir, storage)
  t.same(warned, [])
  t.match(await verify(dataDir, storage), { ok: true, findings: [], processes: 3 }, 'and after it')
  if (storage.kind === 'mongodb') {
    const neighbour = temporaryFolder(t)
    t.same(await start(neighbour, storage), [], 'another directory is another place')
    t.match(await verify(dataDir, storage), { ok: true, processes: 3 })
    t.match(await verify(neighbour, storage), { ok: true, processes: 1 })
  }
})

t.test('a directory that moved, or was restored with its store, verifies where it is now', async (t) => {
  const { dataDir, storage } = await place(t)
  const moved = join(temporaryFolder(t), 'moved')
  cpSync(dataDir, moved, { recursive: true })
  t.match(await verify(moved, storage), { ok: true, findings: [] })
  t.same(await start(moved, storage), [], 'no warning')
  t.match(await verify(moved, storage), { ok: true, findings: [], processes: 2 })
})

t.test('retention leaves a trail that verifies', async (t) => {
  const { dataDir, storage } = await place(t)
  const clock = createTestClock()
  clock.advance(Date.now() - clock.now() + 40 * 86_400_000)
  await prepareAudit({ config: { dataDir, auditSigningKey, auditRetentionDays: 30 }, storage, clock, log: silentLog, collections: [] })
  t.notOk(readdirSync(join(dataDir, 'audit')).some((name) => name.endsWith('.log')), 'the segments went')
  t.match(await verify(dataDir, storage), { ok: true, findings: [] })
})

t.test('whatever is deleted with trail.id, or behind another one, is missing', async (t) => {
  const { dataDir, storage } = await place(t)
  await start(dataDir, storage)
  const audit = join(dataDir, 'audit')
  const copy = join(temporaryFolder(t), 'copy')
  cpSync(audit, copy, { recursive: true })
  const again = (): string[] => {
    rmSync(audit, { recursive: true, force: true })
    cpSync(copy, audit, { recursive: true })
    return readdirSync(audit)
  }
  const remove = (names: string[]): void => { for (const name of names) rmSync(join(audit, name)) }
  const changeId = (): void => {
    const id = readFileSync(join(audit, 'trail.id'), 'utf8')
    writeFileSync(join(audit, 'trail.id'), (id.startsWith('a') ? 'b' : 'a') + id.slice(1))
  }

  remove(again())
  const all = await verify(dataDir, storage)
  t.match(all, { ok: false, processes: 2 }, 'all of it')
  t.match(messages(all), /trail\.id: the file is missing[^]*was begun in this directory[^]*seals file is missing/)

  remove(again().filter((name) => name !== 'trail.id'))
  changeId()
  t.match(messages(await verify(dataDir, storage)), /the store does not know the trail[^]*seals file is missing/, 'all but trail.id, which was edited')

  const [log] = again().filter((name) => name.endsWith('.log')) as [string]
  remove([log, log.replace(/-\d+\.log$/, '.seals'), 'trail.id'])
  t.match(await verify(dataDir, storage), { ok: false, processes: 2 }, 'one log of two')

  again()
  changeId()
  t.match(messages(await verify(dataDir, storage)), /^trail\.id: /, 'the name alone')
  again()
  t.match(await verify(dataDir, storage), { ok: true })
})

t.test('a trail that begins in the place of one that is gone says so, and verify goes on saying so', async (t) => {
  const { dataDir, storage } = await place(t)
  rmSync(join(dataDir, 'audit'), { recursive: true })
  const warned = await start(dataDir, storage)
  t.match(warned.join(), /begins anew/)
  const { items: [event] } = await storage.collection<StoredAuditEvent>(auditEvents).find({ where: { type: 'audit.begin' }, first: 2 })
  t.match(event, { category: 'security', outcome: 'failed', seq: 0, details: { missingLogs: 1 } }, 'the first record of its log')
  t.same(await start(dataDir, storage), [], 'once')
  const report = await verify(dataDir, storage)
  t.equal(report.ok, false)
  t.match(messages(report), /1 logs that are not here/)
})

t.test('a trail.id that is empty, damaged or missing is made again from the store, with one line that says so', async (t) => {
  const { dataDir, storage } = await place(t)
  const file = join(dataDir, 'audit', 'trail.id')
  const id = readFileSync(file, 'utf8')
  for (const damaged of ['', 'x', id.slice(0, 9), null]) {
    if (damaged === null) rmSync(file)
    else writeFileSync(file, damaged)
    t.match(await start(dataDir, storage), [/^audit\/trail.id was missing or damaged: it was made again from the store$/])
    t.equal(readFileSync(file, 'utf8'), id)
    t.match(await verify(dataDir, storage), { ok: true, findings: [] })
  }
  // One that stands in for a trail that is gone: of several the one whose logs are here.
  await storage.collection<StoredTrail>(auditTrails).put({ id: 'f'.repeat(16), place: placeOf(dataDir), at: systemClock.now() + 1_000 })
  writeFileSync(file, '')
  t.match(await start(dataDir, storage), [/the store knows several trails of this directory/])
  t.equal(readFileSync(file, 'utf8'), id)

  const stranger = temporaryFolder(t)
  mkdirSync(join(stranger, 'audit'))
  writeFileSync(join(stranger, 'audit', 'trail.id'), '')
  t.match((await start(stranger, await openTestStorage(t, auditCollections)))[0], /the store knows no trail of this directory, so a new one was named/)
})

t.test('a store that cannot answer is no word against the files, and no word for them', async (t) => {
  const { dataDir, storage } = await place(t)
  // Nothing was made there: as if it were down.
  const away = { ...storage, collection: () => { throw Object.assign(new Error('The database cannot answer now'), { code: 'NEKO_ERR_STORE_UNAVAILABLE' }) } } as Storage
  const alone = await verify(dataDir, away)
  t.match(alone, { ok: true, processes: 1, notes: [{ file: 'store', message: /not compared with the store: The database cannot answer now/ }] })
  const log = join(dataDir, 'audit', readdirSync(join(dataDir, 'audit')).find((name) => name.endsWith('.log'))!)
  const text = readFileSync(log, 'utf8')
  writeFileSync(log, text.replace('request.seen', 'request.send'))
  t.match(await verify(dataDir, away), { ok: false, findings: [{ line: 2 }] })
  rmSync(join(dataDir, 'audit'), { recursive: true })
  t.match(await verify(dataDir, away), { ok: false, findings: [{ message: /no log here and no store/ }] })
  t.notOk(existsSync(join(dataDir, 'audit', 'trail.id')))
})

async function place (t: Test): Promise<{ dataDir: string, storage: Storage }> {
  const storage = await openTestStorage(t, auditCollections)
  const dataDir = temporaryFolder(t)
  await start(dataDir, storage)
  return { dataDir, storage }
}

/** A start and a stop of the room, as the server does it; returns what it warned of. */
async function start (dataDir: string, storage: Storage): Promise<string[]> {
  const warned: string[] = []
  const log: AuditLog = { ...silentLog, warn: (_fields, message) => { warned.push(message) } }
  await nameTrail(dataDir)
  await prepareAudit({ config: { dataDir, auditSigningKey }, storage, clock: systemClock, log, collections: [] })
  const audit = createAudit({ config: { dataDir, auditSigningKey }, storage, clock: systemClock, log, processId: `start${starts++}` })
  await audit.register()
  for (let i = 0; i < 3; i++) await audit.durable(seen)
  await audit.close()
  return warned
}

async function verify (dataDir: string, storage: Storage): Promise<VerifyReport> {
  return await verifyDataDir({ dataDir, auditSigningKey }, storage)
}
