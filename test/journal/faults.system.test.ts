import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import type { Test } from 'tap'
import { auditDirectory, auditSigner, createAudit } from '../../src/audit/audit.ts'
import type { AuditService } from '../../src/audit/audit.ts'
import { auditCollections } from '../../src/audit/collections.ts'
import { auditEvents } from '../../src/journal/collections.ts'
import type { StoredAuditEvent } from '../../src/journal/collections.ts'
import type { AuditEvent, AuditInput } from '../../src/audit/shapes.ts'
import { systemFiles } from '../../src/journal/files.ts'
import type { FileLayer } from '../../src/journal/files.ts'
import { listProcesses, readLines, segmentName } from '../../src/journal/segments.ts'
import { verifyAudit } from '../../src/audit/verify.ts'
import { prepareAudit } from '../../src/audit/prepare.ts'
import { systemClock } from '../../src/std/clock.ts'
import type { CollectionDefinition } from '../../src/storage/port.ts'
import { openTestStorage } from '../storage.ts'
import { faultyFiles, seen, silentLog, temporaryFolder } from './disk.ts'
import { showFigure } from '../bar.ts'
import { until } from '../processes/load.ts'

const added: AuditInput = { category: 'security', type: 'decision.add', actor: 'user:test', outcome: 'ok' }
const unavailable = { code: 'NEKO_ERR_AUDIT_UNAVAILABLE', statusCode: 503 }

t.test('a full disk refuses, what was acknowledged stays, and it goes on when there is room', async (t) => {
  const { audit, fault, dataDir } = trail(t)
  const acknowledged = [await audit.durable(added)]
  fault.write = 'ENOSPC'

  const startMs = performance.now()
  await t.rejects(audit.durable(added), unavailable)
  await t.rejects(audit.durable(added), unavailable)
  showFigure(t, 'two refusals', performance.now() - startMs, 1_000)
  t.notOk(audit.healthy())
  audit.record({ ...seen, target: 'while full' })

  fault.write = null
  const tookMs = await untilHealthy(audit)
  showFigure(t, 'it goes on', tookMs, 5_000)
  acknowledged.push(await audit.durable(added))
  const events = await logged(dataDir)
  t.same(missing(events, acknowledged), [], 'no acknowledged event is lost')
  t.equal(events.filter(({ type }) => type === 'decision.add').length, 2, 'what was refused is not in the log')
  t.ok(events.some(({ target }) => target === 'while full'), 'a plain record waited')
  t.ok(events.some(({ type }) => type === 'audit.resumed'), 'and the gap is told')
  await verified(t, dataDir)
})

t.test('after EIO on a sync the segment is closed, a new one opened and never synced again', async (t) => {
  const { audit, fault, syncs, dataDir } = trail(t)
  const acknowledged = [await audit.durable(added)]
  await audit.sealed()
  fault.syncError = 'EIO'
  fault.syncErrors = 1
  acknowledged.push(...await Promise.all(Array.from({ length: 20 }, () => audit.durable(added))))

  const failedAt = syncs.findIndex(({ ok }) => !ok)
  const failed = syncs[failedAt]!.path
  t.notOk(syncs.slice(failedAt + 1).some(({ path }) => path === failed), 'the failed file is never synced again')
  t.ok(syncs.slice(failedAt + 1).some(({ path }) => path.endsWith('-1.log')), 'a new segment is')
  const events = await logged(dataDir)
  t.same(missing(events, acknowledged), [], 'its records are in the new segment')
  t.equal(events.length, 21, 'once')
  await verified(t, dataDir)

  fault.syncErrors = 2
  await t.rejects(audit.durable(added), unavailable, 'failing twice it is refused')
  await untilHealthy(audit)
  acknowledged.push(await audit.durable(added))
  t.same(missing(await logged(dataDir), acknowledged), [], 'and goes on')
  await verified(t, dataDir)
})

t.test('a torn tail that could not be cut back is superseded by the next segment', async (t) => {
  const stuck: FileLayer = { ...systemFiles }
  const { audit, fault, dataDir } = trail(t, (files) => ({
    ...stuck,
    open (path, mode) {
      return { ...files.open(path, mode), truncate () { throw new Error('EIO') } }
    }
  }))
  const acknowledged = [await audit.durable(added)]
  await audit.sealed()
  fault.syncErrors = 1
  acknowledged.push(await audit.durable(added))
  fault.write = 'EIO'
  await t.rejects(audit.durable(added), unavailable)
  fault.write = null
  await untilHealthy(audit)
  acknowledged.push(await audit.durable(added))
  t.same(missing(await logged(dataDir), acknowledged), [])
  const report = await verified(t, dataDir)
  t.ok(report.notes.some((note) => /never acknowledged/.test(note.message)), 'what was left behind is named')

  const storage = await openTestStorage(t, auditCollections)
  const recovered = await prepareAudit({ config: { dataDir, auditSigningKey: 'a secret of the tests that is long enough' }, storage, clock: systemClock, log: silentLog, collections: [] })
  t.same(recovered.broken, [])
  t.equal(await storage.collection<StoredAuditEvent>(auditEvents).count({ type: 'decision.add' }), 3, 'recovery does not take it for events')
})

t.test('a sync of 200 ms delays, and refuses nobody', async (t) => {
  const { audit, fault, dataDir } = trail(t)
  fault.syncDelayMs = 200
  const startMs = performance.now()
  const acknowledged = await Promise.all(Array.from({ length: 25 }, async (_, i) => {
    await sleep(i * 20)
    return await audit.durable(added)
  }))
  showFigure(t, '25 changes, one every 20 ms', performance.now() - startMs, 500 + 3 * 250)
  t.same(missing(await logged(dataDir), acknowledged), [])
  t.ok(audit.healthy())
})

t.test('a change whose disk answers too late is refused, withdrawn, and not replayed', async (t) => {
  const things: CollectionDefinition = { name: 'things', indexes: [] }
  const { audit, fault, dataDir } = trail(t)
  const change = (id: string): AuditInput => ({ ...added, target: id, effects: [{ collection: 'things', op: 'put', id, doc: { id } }] })
  await audit.durable(change('kept'))
  fault.syncDelayMs = 3_000
  await t.rejects(audit.durable(change('late')), unavailable)
  fault.syncDelayMs = 0
  await audit.drained()
  const events = await logged(dataDir)
  t.ok(events.some(({ target }) => target === 'late') && events.some(({ type }) => type === 'audit.withdrawn'))

  const storage = await openTestStorage(t, [...auditCollections, things])
  await prepareAudit({ config: { dataDir, auditSigningKey: 'a secret of the tests that is long enough' }, storage, clock: systemClock, log: silentLog, collections: [things] })
  t.ok(await storage.collection(things).get('kept'))
  t.equal(await storage.collection(things).get('late'), null)
})

t.test('a real file system of 1 MiB fills up and is emptied again', async (t) => {
  const dataDir = temporaryFolder(t)
  if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', dataDir]).status !== 0) {
    t.pass('mount', { skip: 'mounting a tmpfs is not permitted here' })
    return
  }
  t.teardown(() => { spawnSync('umount', ['-l', dataDir]) })
  t.ok(statfsSync(dataDir).blocks * statfsSync(dataDir).bsize <= 2 ** 20)
  const audit = createAudit({ config: { dataDir, auditSigningKey: 'a secret of the tests that is long enough' }, storage: null, clock: systemClock, log: silentLog, processId: 'full' })
  const acknowledged = [await audit.durable(added)]
  const ballast = join(dataDir, 'ballast')
  try {
    for (let i = 0; i < 32; i++) writeFileSync(ballast, Buffer.alloc(64 * 1024), { flag: 'a' })
  } catch { /* full, as meant */ }
  let refusedMs = Infinity
  for (let i = 0; i < 2_000 && refusedMs === Infinity; i++) {
    const startMs = performance.now()
    await audit.durable(added).then((event) => acknowledged.push(event), () => { refusedMs = performance.now() - startMs })
  }
  t.not(refusedMs, Infinity, 'it refuses')
  showFigure(t, 'the refusal', refusedMs, 1_000)
  rmSync(ballast)
  showFigure(t, 'it goes on', await untilHealthy(audit), 5_000)
  acknowledged.push(await audit.durable(added))
  t.same(missing(await logged(dataDir), acknowledged), [])
  await verified(t, dataDir)
  await audit.close()
})

function trail (t: Test, wrap: (files: FileLayer) => FileLayer = (files) => files): { audit: AuditService, dataDir: string } & Omit<ReturnType<typeof faultyFiles>, 'files'> {
  const { files, fault, syncs } = faultyFiles()
  const dataDir = temporaryFolder(t)
  const audit = createAudit({ config: { dataDir, auditSigningKey: 'a secret of the tests that is long enough' }, storage: null, clock: systemClock, log: silentLog, processId: 'p', files: wrap(files) })
  t.teardown(async () => {
    Object.assign(fault, { write: null, syncErrors: 0, syncDelayMs: 0 })
    if (existsSync(dataDir) && readdirSync(dataDir).length > 0) await audit.close()
  })
  return { audit, fault, syncs, dataDir }
}

/** Milliseconds that it took. */
async function untilHealthy (audit: AuditService): Promise<number> {
  const startMs = performance.now()
  await until('it is healthy', () => audit.healthy())
  return performance.now() - startMs
}

/** The events that count, read as recovery reads them. */
async function logged (dataDir: string): Promise<AuditEvent[]> {
  const directory = auditDirectory(dataDir)
  const events = new Map<number, AuditEvent>()
  for (const { processId, segments } of await listProcesses(systemFiles, directory)) {
    for (const segment of segments) {
      const { lines } = readLines(await systemFiles.read(`${directory}/${segmentName(processId, segment)}`))
      const first = lines[0]
      // What a later segment begins again takes the place of what stood there.
      if (first !== undefined) for (const seq of [...events.keys()]) if (seq >= first.seq) events.delete(seq)
      for (const line of lines) if (line.kind === 'event') events.set(line.seq, line.event as AuditEvent)
    }
  }
  return [...events.values()]
}

function missing (events: AuditEvent[], acknowledged: AuditEvent[]): string[] {
  const known = new Set(events.map((event) => `${event.id} ${event.at}`))
  return acknowledged.filter((event) => !known.has(`${event.id} ${event.at}`)).map((event) => event.id)
}

async function verified (t: Test, dataDir: string): ReturnType<typeof verifyAudit> {
  const report = await verifyAudit({ directory: auditDirectory(dataDir), signer: auditSigner({ dataDir, auditSigningKey: 'a secret of the tests that is long enough' }), checkpoints: [] })
  t.same(report.findings, [], 'the trail verifies')
  return report
}
