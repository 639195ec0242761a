import t from 'tap'
import { createAudit } from '../../src/audit/audit.ts'
import { applyRetention } from '../../src/audit/retention.ts'
import { auditCollections, newestCheckpoints } from '../../src/audit/collections.ts'
import type { StoredCheckpoint } from '../../src/audit/collections.ts'
import { recoverAudit } from '../../src/audit/recovery.ts'
import { createSigner } from '../../src/audit/signing.ts'
import type { Signer } from '../../src/audit/signing.ts'
import { verifyAudit } from '../../src/audit/verify.ts'
import type { VerifyReport } from '../../src/audit/verify-report.ts'
import { createTestClock, systemClock } from '../../src/std/clock.ts'
import { scaled } from '../scale.ts'
import { openTestStorage } from '../storage.ts'
import type { Test } from 'tap'
import { seen, silentLog } from '../journal/disk.ts'
import { memoryDisk } from '../journal/memory.ts'
import { memoryStore } from '../journal/memory-store.ts'

const EDITS = scaled(2_500, 10_000)
const secret = 'a secret of the tests that is long enough'
const signer = remembering(createSigner(secret))
const config = { dataDir: 'mem', auditSigningKey: secret }
const directory = 'mem/audit'

type Disk = Map<string, Buffer>
/** What was done: the file, and the first line (from 1) at which it can be seen. */
interface Edit { disk: Disk, file: string, line: number, what: string }

t.test(`every one of ${EDITS} random edits of sealed logs is found, and where it is`, async (t) => {
  t.setTimeout(90_000)
  const { disk, checkpoints } = await sealedTrail(t)
  const clean = await verify(disk, checkpoints)
  t.same(clean.findings, [], 'the unedited trail verifies')
  t.ok(clean.events >= 60 && clean.segments >= 4 && clean.processes === 2, `${clean.events} events in ${clean.segments} segments`)

  const random = seeded(20_261_121)
  const missed: string[] = []
  const misplaced: string[] = []
  const kinds = new Map<string, number>()
  for (let i = 0; i < EDITS; i++) {
    const edit = randomEdit(disk, random)
    if (edit === null) {
      i--
      continue
    }
    kinds.set(edit.what, (kinds.get(edit.what) ?? 0) + 1)
    const report = await verify(edit.disk, checkpoints)
    if (report.ok) missed.push(`${edit.what} ${edit.file}:${edit.line}`)
    else if (!isLocated(report, edit)) misplaced.push(`${edit.what} ${edit.file}:${edit.line} told as ${JSON.stringify(report.findings[0])}`)
  }
  t.comment(Object.fromEntries(kinds))
  t.same(missed.slice(0, 10), [], `${EDITS - missed.length} of ${EDITS} edits were found`)
  t.same(misplaced.slice(0, 10), [], `${EDITS - misplaced.length} of ${EDITS} edits were located`)
})

t.test('a cut behind the last checkpoint is only named, a cut before it is found without a store', async (t) => {
  const memory = memoryDisk()
  const audit = createAudit({ config, storage: null, clock: systemClock, log: silentLog, processId: 'open', files: memory.files })
  for (let i = 0; i < 1_050; i++) audit.record(seen)
  await audit.drained()
  await audit.sealed()
  for (let i = 0; i < 20; i++) audit.record(seen)
  await audit.drained()
  const disk = memory.now()
  const log = disk.get(`${directory}/open-0.log`)!

  const torn = await verify(new Map(disk).set(`${directory}/open-0.log`, log.subarray(0, log.length - 30)), [])
  t.ok(torn.ok, 'a torn tail is no failure')
  t.ok(torn.notes.some((note) => /torn/.test(note.message)), 'but named')
  t.ok(torn.unsealed > 0, 'and so are the unsealed events')

  const cut = await verify(new Map(disk).set(`${directory}/open-0.log`, log.subarray(0, log.indexOf('"seq":900'))), [])
  t.notOk(cut.ok, 'a tail cut through what is sealed is found')
  t.ok(cut.findings.some((finding) => /cut/.test(finding.message)))
})

t.test('retention drops old segments and the rest still verifies; one that somebody else drops is found', async (t) => {
  const { disk, checkpoints, storage } = await sealedTrail(t)
  const memory = memoryDisk(disk)
  await recoverAudit({ directory, signer, storage, clock: systemClock, log: silentLog, collections: [], isLive: () => false, files: memory.files })
  const sizes = [...memory.now()].filter(([path]) => path.endsWith('.log')).map(([, content]) => content.length)
  const bytesMax = sizes.reduce((sum, size) => sum + size, 0) - 1
  const removed = await applyRetention({ directory, signer, clock: systemClock, isLive: () => false, files: memory.files, bytesMax, days: 1e9 })
  t.equal(removed.length, 1, 'the oldest segment went')
  const verified = await verify(memory.now(), checkpoints)
  t.same(verified.findings, [], 'the rest verifies')
  t.ok(verified.notes.some((note) => /retention/.test(note.message)), 'what went is named')

  const processId = removed[0]!.split('-')[0]
  const next = memory.now()
  next.delete(`${directory}/${processId}-1.log`)
  t.notOk((await verify(next, checkpoints)).ok, 'another missing segment is found')

  const all = await applyRetention({ directory, signer, clock: systemClock, isLive: () => false, files: memory.files, bytesMax: 0, days: 1e9 })
  t.ok(all.length >= 3)
  t.ok((await verify(memory.now(), await newestCheckpoints(storage))).ok, 'with all segments gone the seals still verify')
})

t.test('a process drops old segments of its own log, once the store has them', async (t) => {
  const { storage } = memoryStore()
  const clock = createTestClock()
  const memory = memoryDisk()
  const audit = createAudit({ config: { ...config, auditRetentionDays: 1e6, auditRetentionBytes: 6_000 }, storage, clock, log: silentLog, processId: 'own', files: memory.files, segmentBytes: 2_000 })
  for (let i = 0; i < 40; i++) await audit.durable(seen)
  t.same(await audit.retain(), [], 'nothing goes that the store may not have')
  await audit.flush()
  clock.advance(301_000)
  await audit.durable(seen)
  await audit.flush()
  const removed = await audit.retain()
  t.ok(removed.length > 3, `${removed.length} segments went`)
  await audit.durable(seen)
  await audit.close()
  const verified = await verify(memory.now(), [])
  t.same(verified.findings, [])
  t.ok(verified.events < 20)
})

/** Two process starts, several small segments each, one closed by itself and one by recovery. */
async function sealedTrail (t: Test): Promise<{ disk: Disk, checkpoints: StoredCheckpoint[], storage: Awaited<ReturnType<typeof openTestStorage>> }> {
  const storage = await openTestStorage(t, auditCollections)
  const memory = memoryDisk()
  for (const processId of ['closed', 'killed']) {
    const audit = createAudit({ config, storage, clock: systemClock, log: silentLog, processId, files: memory.files, segmentBytes: 4_000 })
    for (let i = 0; i < 35; i++) await audit.durable({ ...seen, details: { i } })
    if (processId === 'closed') await audit.close()
  }
  await recoverAudit({ directory, signer, storage, clock: systemClock, log: silentLog, collections: [], isLive: (id) => id === 'closed', files: memory.files })
  return { disk: memory.now(), checkpoints: await newestCheckpoints(storage), storage }
}

async function verify (disk: Disk, checkpoints: StoredCheckpoint[]): Promise<VerifyReport> {
  return await verifyAudit({ directory, signer, checkpoints, files: memoryDisk(disk).files })
}

/** A flipped bit must be told at its own line; the others there or at the line behind, where the chain no longer fits. */
function isLocated (report: VerifyReport, edit: Edit): boolean {
  // A flipped newline joins its line with the next one.
  if (edit.what === 'bit flip') return report.findings.some(({ file, line }) => file === edit.file && line === edit.line)
  const [processId, number] = edit.file.split(/[-.]/) as [string, string]
  const following = `${processId}-${Number(number) + 1}.log`
  return report.findings.some(({ file, line }) => (file === edit.file && (line === null || Math.abs(line - edit.line) <= 1)) || (file === following && line === 1) ||
    // What is missing at the end of everything is told at the file that is now the last one.
    (line === null && file.startsWith(processId)))
}

function randomEdit (disk: Disk, random: (below: number) => number): Edit | null {
  const paths = [...disk.keys()].filter((path) => /\.(log|seals)$/.test(path))
  const path = paths[random(paths.length)] as string
  const content = disk.get(path) as Buffer
  const file = path.slice(directory.length + 1)
  const lines = content.toString('latin1').split(/(?<=\n)/)
  const edited = (what: string, line: number, bytes: Buffer | string): Edit | null => {
    const now = typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes
    return now.equals(content) ? null : { disk: new Map(disk).set(path, now), file, line, what }
  }
  const at = random(lines.length)
  switch (random(7)) {
    case 0: case 1: {
      const position = random(content.length)
      const bytes = Buffer.from(content)
      bytes[position] = bytes[position]! ^ (1 << random(8))
      return edited('bit flip', content.subarray(0, position).toString('latin1').split('\n').length, bytes)
    }
    case 2: return edited('record taken out', at + 1, lines.toSpliced(at, 1).join(''))
    case 3: {
      const other = random(lines.length)
      return edited('records swapped', Math.min(at, other) + 1, lines.with(at, lines[other]!).with(other, lines[at]!).join(''))
    }
    case 4: {
      const length = random(content.length)
      return edited('tail cut', content.subarray(0, length).toString('latin1').split('\n').length, content.subarray(0, length))
    }
    case 5: return edited('record repeated', at + 2, lines.toSpliced(at + 1, 0, lines[at]!).join(''))
    default: {
      const without = new Map(disk)
      without.delete(path)
      return { disk: without, file, line: 1, what: 'file deleted' }
    }
  }
}

/** The same signature over the same bytes need not be computed for each edit. */
function remembering (signer: Signer): Signer {
  const known = new Map<string, boolean>()
  return {
    ...signer,
    verify (text, signature) {
      const key = `${signature} ${typeof text === 'string' ? text : text.toString('latin1')}`
      const found = known.get(key) ?? signer.verify(text, signature)
      if (known.size < 100_000) known.set(key, found)
      return found
    }
  }
}

/** mulberry32: the same edits in every run. */
function seeded (seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296) * below)
  }
}
