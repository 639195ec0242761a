import { cpSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { createAudit } from '../../src/audit/audit.ts'
import type { Checkpoint } from '../../src/audit/checkpoints.ts'
import { auditCollections, newestCheckpoint } from '../../src/audit/collections.ts'
import { readKeptCheckpoints } from '../../src/audit/kept-checkpoints.ts'
import { prepareAudit } from '../../src/audit/prepare.ts'
import { verifyDataDir } from '../../src/audit/verify.ts'
import type { VerifyReport } from '../../src/audit/verify-report.ts'
import { createTestClock, systemClock } from '../../src/std/clock.ts'
import { openTestStorage } from '../storage.ts'
import { seen, silentLog, temporaryFolder } from '../journal/disk.ts'

/** Checkpoints that were kept elsewhere prove what was there, also to who removed and forged every copy here. */
const auditSigningKey = 'a secret of the tests that is long enough'

t.test('a checkpoint is read as it comes: JSON, a log line, a webhook, an answer, a file of any of them', async (t) => {
  const { kept } = await sealed(t)
  const shown = { ...kept, at: new Date(kept.at).toISOString() }
  const spellings: Record<string, string> = {
    'a checkpoint': JSON.stringify(kept),
    'a line of the seals': JSON.stringify(kept, ['signature', ...Object.keys(kept)]),
    'a log line': JSON.stringify({ level: 30, auditCheckpoint: kept, msg: 'audit checkpoint' }),
    'a webhook': JSON.stringify({ id: 'wh_1', type: 'audit.checkpoint', facts: [kept] }),
    'an answer': JSON.stringify({ data: { auditCheckpoint: shown } }, null, 2)
  }
  const folder = temporaryFolder(t)
  for (const [name, text] of Object.entries(spellings)) {
    t.match(readKeptCheckpoints(text), [kept], name)
    const file = join(folder, 'kept')
    writeFileSync(file, `${text}\n`)
    t.match(readKeptCheckpoints(file), [kept], `${name}, in a file`)
    writeFileSync(file, `server started\n{"level":30,"msg":"signature"}\n${JSON.stringify(JSON.parse(text))}\n{"signature":`)
    t.match(readKeptCheckpoints(file), [kept], `${name}, among other lines`)
  }
  const { signature: _signature, ...unsigned } = kept
  for (const nothing of ['{}', '{"signature":1}', JSON.stringify(unsigned), JSON.stringify({ ...kept, kind: 'open' }), JSON.stringify({ ...kept, seq: '1' }), JSON.stringify({ ...kept, processId: '../x' }), '{"signature"']) {
    t.throws(() => readKeptCheckpoints(nothing), /holds no checkpoint/, nothing.slice(0, 40))
  }
  t.throws(() => readKeptCheckpoints(join(folder, 'absent')), /there is no file/)
  t.throws(() => readKeptCheckpoints(folder), /is a directory/)
  t.throws(() => readKeptCheckpoints(''), /there is no file ""/)
})

t.test('what was sealed then and is still there holds; every way of it being gone does not', async (t) => {
  const { config, kept, directory } = await sealed(t)
  const copy = join(temporaryFolder(t), 'copy')
  cpSync(directory, copy, { recursive: true })
  const again = (): string[] => {
    rmSync(directory, { recursive: true, force: true })
    cpSync(copy, directory, { recursive: true })
    return readdirSync(directory)
  }
  const verify = async (against: Checkpoint[] = [kept]): Promise<VerifyReport> => await verifyDataDir(config, null, { against })
  t.match(await verify(), { ok: true, findings: [] })
  t.match(await verify([]), { ok: true, findings: [] })

  for (const name of again()) if (name.startsWith(kept.processId)) rmSync(join(directory, name))
  t.match(await verify([]), { ok: false }, 'an empty folder')
  await write(config, 'successor')
  t.equal((await verify([])).ok, true, 'a new trail verifies by itself')
  t.match(messages(await verify()), /seals file is missing[^]*which --against holds, is missing[^]*it was cut/, 'and not against what was kept')

  again()
  // With the key itself: the same process start, sealed anew with other events.
  for (const name of readdirSync(directory)) if (name.startsWith(kept.processId)) rmSync(join(directory, name))
  await write(config, kept.processId, { type: 'request.forged' })
  t.equal((await verify([])).ok, true, 'forged with the key')
  t.match(messages(await verify()), /is not the one that --against holds[^]*is not there/)

  again()
  const edits: Array<Partial<Checkpoint>> = [{ hash: 'f'.repeat(64) }, { seq: kept.seq - 1 }, { signature: kept.signature.replace(/./, (c) => c === 'a' ? 'b' : 'a') }, { at: kept.at + 1 }, { keyId: 'x' }]
  for (const edit of edits) {
    t.match(messages(await verify([{ ...kept, ...edit }])), /the signature of the checkpoint of \w+ does not hold/, JSON.stringify(edit))
  }
})

t.test('retention has removed it: said, and no proof that it is there', async (t) => {
  const { config, kept, storage } = await sealed(t)
  const clock = createTestClock()
  clock.advance(systemClock.now() - clock.now() + 40 * 86_400_000)
  await prepareAudit({ config: { ...config, auditRetentionDays: 30 }, storage, clock, log: silentLog, collections: [] })
  t.match(await verifyDataDir(config, null), { ok: true })
  t.match(messages(await verifyDataDir(config, null, { against: [kept] })), /is not here any more: retention removed it at \d{4}-/)
})

function messages ({ findings }: VerifyReport): string {
  return findings.map(({ message }) => message).join('\n')
}

interface Config { dataDir: string, auditSigningKey: string }

async function sealed (t: Test) {
  const storage = await openTestStorage(t, auditCollections)
  const config: Config = { dataDir: temporaryFolder(t), auditSigningKey }
  const audit = createAudit({ config, storage, clock: systemClock, log: silentLog, processId: 'keptone' })
  const told: Checkpoint[] = []
  audit.onCheckpoint((checkpoint) => { told.push(checkpoint) })
  for (let i = 0; i < 10; i++) await audit.durable(seen)
  await audit.close()
  const { revision: _revision, id: _id, trailId: _trailId, ...kept } = await newestCheckpoint(storage, null) as Checkpoint & { revision: number, id: string, trailId: string }
  t.same(told, [kept], 'whoever listens is told of it')
  t.match(await newestCheckpoint(storage, 'keptone'), kept)
  t.equal(await newestCheckpoint(storage, 'nobody'), null)
  return { storage, config, kept: kept as Checkpoint, directory: join(config.dataDir, 'audit') }
}

async function write (config: Config, processId: string, more = {}): Promise<void> {
  const audit = createAudit({ config, storage: null, clock: systemClock, log: silentLog, processId })
  for (let i = 0; i < 10; i++) await audit.durable({ ...seen, ...more })
  await audit.close()
}
