import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import type { Test } from 'tap'
import { auditDirectory, auditSigner } from '../../src/audit/audit.ts'
import { auditCollections, newestCheckpoints } from '../../src/audit/collections.ts'
import { auditEvents } from '../../src/journal/collections.ts'
import type { StoredAuditEvent } from '../../src/journal/collections.ts'
import { prepareAudit } from '../../src/audit/prepare.ts'
import { verifyAudit } from '../../src/audit/verify.ts'
import { systemClock } from '../../src/std/clock.ts'
import type { CollectionDefinition, Storage } from '../../src/storage/port.ts'
import { until } from '../processes/load.ts'
import { scaled } from '../scale.ts'
import { openTestStorage } from '../storage.ts'
import { silentLog, temporaryFolder } from './disk.ts'

const CYCLES = scaled(6, 20)
/** Of each writer, before the moment of its end is drawn. */
const ACKNOWLEDGED_MIN = 10
const things: CollectionDefinition = { name: 'things', indexes: [] }
const child = fileURLToPath(new URL('./child.ts', import.meta.url))

t.test('kill -9 at random moments loses no acknowledged event and duplicates none', async (t) => {
  const dataDir = temporaryFolder(t)
  const config = { dataDir, auditSigningKey: 'a secret of the tests that is long enough' }
  const storage = await openTestStorage(t, [...auditCollections, things])
  const acknowledged: Array<{ eventId: string, thing: string }> = []
  let inserted = 0
  for (let cycle = 0; cycle < CYCLES; cycle++) {
    acknowledged.push(...await killedChild(t, dataDir, `kill${cycle}`))
    const report = await prepareAudit({ config, storage, clock: systemClock, log: silentLog, collections: [things] })
    inserted += report.events
    t.same(report.broken, [], `cycle ${cycle}: nothing is broken`)
  }

  const again = await prepareAudit({ config, storage, clock: systemClock, log: silentLog, collections: [things] })
  t.equal(again.events, 0, 'a second recovery brings nothing new')
  t.ok(acknowledged.length >= CYCLES * ACKNOWLEDGED_MIN, `${acknowledged.length} events were acknowledged`)
  t.equal(await missing(storage, auditEvents, acknowledged.map(({ eventId }) => eventId)), 0, 'every acknowledged event is in the store')
  t.equal(await missing(storage, things, acknowledged.map(({ thing }) => thing)), 0, 'and so is what it changed')
  t.equal(await storage.collection<StoredAuditEvent>(auditEvents).count(), inserted, 'each event once')

  const verified = await verifyAudit({ directory: auditDirectory(dataDir), signer: auditSigner(config), checkpoints: await newestCheckpoints(storage) })
  t.same(verified.findings, [], 'every chain verifies')
  t.equal(verified.events, inserted)
  t.equal(verified.unsealed, 0, 'recovery sealed every log to its end')
})

t.test('a log that another process is writing is left alone', async (t) => {
  const dataDir = temporaryFolder(t)
  const config = { dataDir, auditSigningKey: 'a secret of the tests that is long enough' }
  const storage = await openTestStorage(t, [...auditCollections, things])
  const prepare = (): ReturnType<typeof prepareAudit> => prepareAudit({ config, storage, clock: systemClock, log: silentLog, collections: [things] })
  const writer = spawn(process.execPath, [child, dataDir, 'busy'], { stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = once(writer, 'close')
  await once(writer.stdout, 'data')
  writer.stdout.resume()
  t.equal((await prepare()).processes, 0, 'while it runs')
  writer.kill('SIGKILL')
  await ended
  const [first, second] = await Promise.all([prepare(), prepare()])
  t.equal(first.processes + second.processes, 1, 'then one of two that try at once brings it in')
  const verified = await verifyAudit({ directory: auditDirectory(dataDir), signer: auditSigner(config), checkpoints: await newestCheckpoints(storage) })
  t.same(verified.findings, [])
})

/** Runs the writer, kills it at a random moment after its first acknowledgements, and returns what it acknowledged. */
async function killedChild (t: Test, dataDir: string, processId: string): Promise<Array<{ eventId: string, thing: string }>> {
  const writer = spawn(process.execPath, [child, dataDir, processId], { stdio: ['ignore', 'pipe', 'inherit'] })
  let output = ''
  writer.stdout.on('data', (chunk: Buffer) => { output += chunk.toString() })
  const ended = once(writer, 'close')
  let isEnded = false
  ended.then(() => { isEnded = true })
  await until('it acknowledges', () => isEnded || output.split('\n').length > ACKNOWLEDGED_MIN)
  await sleep(Math.random() * 120)
  writer.kill('SIGKILL')
  await ended
  t.match(output, /\n/, `${processId} acknowledged something`)
  return output.slice(0, output.lastIndexOf('\n')).split('\n').map((line) => {
    const [eventId, thing] = line.split(' ') as [string, string]
    return { eventId, thing }
  })
}

async function missing (storage: Storage, definition: CollectionDefinition, ids: string[]): Promise<number> {
  const collection = storage.collection(definition)
  let found = 0
  for (let at = 0; at < ids.length; at += 500) found += (await collection.getMany(ids.slice(at, at + 500))).length
  return ids.length - found
}
