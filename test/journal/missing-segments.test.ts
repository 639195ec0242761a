import t from 'tap'
import { createAudit } from '../../src/audit/audit.ts'
import type { StoredCheckpoint } from '../../src/audit/collections.ts'
import { recoverAudit } from '../../src/audit/recovery.ts'
import { applyRetention } from '../../src/audit/retention.ts'
import { createSigner } from '../../src/audit/signing.ts'
import { verifyAudit } from '../../src/audit/verify.ts'
import type { FileLayer } from '../../src/journal/files.ts'
import { countedLines, eventOf, readLines } from '../../src/journal/segments.ts'
import { createTestClock } from '../../src/std/clock.ts'
import type { CollectionDefinition } from '../../src/storage/port.ts'
import { failure, seen, silentLog } from './disk.ts'
import { memoryDisk } from './memory.ts'
import { memoryStore } from './memory-store.ts'
import { turns } from '../time.ts'

/** Segments are missing: a full disk left their numbers out, or somebody took them. Only the chain tells which. */
const secret = 'a secret of the tests that is long enough'
const directory = 'mem/audit'
const EVENTS = 3
const signer = createSigner(secret)
const things: CollectionDefinition = { name: 'things', indexes: [] }
type Disk = Map<string, Buffer>

const pathOf = (segment: number): string => `${directory}/dead-${segment}.log`
const segmentsOf = (disk: Disk): number[] => [...disk.keys()]
  .map((path) => Number(/dead-(\d+)\.log$/.exec(path)?.[1] ?? NaN)).filter((number) => !isNaN(number)).sort((a, b) => a - b)

interface Written { disk: Disk, checkpoints: StoredCheckpoint[] }

t.test('recovery finds a segment missing exactly where verification does, wherever reading begins', async (t) => {
  const logs = await Promise.all([[], [0, 2]].map(async (full) => ({ full, written: await write(full) })))
  let cases = 0
  const failures: object[] = []
  for (const { full, written } of logs) {
    const segments = segmentsOf(written.disk)
    t.equal(segments.length, segments.at(-1)! + 1 - full.length, `full before ${full}: each time one number is left out`)
    for (let kept = segments.length; kept > 0; kept--) {
      const retained = await retain(written, segments.slice(-kept))
      t.equal(segmentsOf(retained.disk).length, kept)
      for (const mark of [0, ...segments, segments.at(-1)! + 1]) {
        for (const missing of [null, ...segmentsOf(retained.disk)]) {
          cases++
          const problem = await tryCase(retained, { mark, missing })
          if (problem !== null) failures.push({ problem, full, segments, kept, mark, missing })
        }
      }
    }
  }
  t.same(failures.slice(0, 5), [], `${failures.length} of ${cases} cases`)
})

/** A start on the log as it would be then. Returns what it did wrong. */
async function tryCase ({ disk: whole, checkpoints }: Written, { mark, missing }: { mark: number, missing: number | null }): Promise<string | null> {
  const { storage, documents } = memoryStore()
  for (const checkpoint of checkpoints) documents('auditCheckpoints').set(checkpoint.id, checkpoint)
  const effectsSeq = Math.max(-1, ...eventsOf(whole, (segment) => segment < mark).map(({ seq }) => seq))
  const disk = new Map(whole).set(`${directory}/dead.replayed`, Buffer.from(JSON.stringify({ seq: effectsSeq, effectsSeq, segment: mark, done: false })))
  if (missing !== null) disk.delete(pathOf(missing))
  const { files } = memoryDisk(disk)
  const findings = async (): Promise<string[]> => (await verifyAudit({ directory, signer, files, checkpoints })).findings.map(({ message }) => message)
  const found = await findings()
  const { broken } = await recoverAudit({ directory, signer, storage, clock: createTestClock(), log: silentLog, collections: [things], isLive: () => false, files })
  if (broken.length !== Math.min(1, found.length)) return `verification finds ${found}, recovery ${broken.map(({ problem }) => problem)}`
  const after = await findings()
  if (after.length !== found.length) return `recovery made ${after} of ${found}`
  if (missing !== null) return null
  const lacking = eventsOf(whole, (segment) => segment >= mark).filter(({ target }) => target != null && !documents('things').has(target))
  return lacking.length === 0 ? null : `${lacking.length} acknowledged changes were not made`
}

function eventsOf (disk: Disk, isWanted: (segment: number) => boolean): Array<{ seq: number, target?: string | null }> {
  const segments = segmentsOf(disk)
  return segments.filter(isWanted).flatMap((segment) => {
    const following = disk.get(pathOf(segments.find((one) => one > segment) ?? -1))
    const next = following === undefined ? undefined : readLines(following).lines[0]
    return countedLines(readLines(disk.get(pathOf(segment))!), next).map(eventOf).filter((event) => event !== null)
  })
}

/** A log with one segment for each event, whose process was killed; its disk is full for a moment before some of them. */
async function write (full: readonly number[]): Promise<Written> {
  const { storage, documents } = memoryStore()
  const memory = memoryDisk()
  const clock = createTestClock()
  let isFull = false
  const files: FileLayer = {
    ...memory.files,
    open (path, mode) {
      const file = memory.files.open(path, mode)
      const isRefused = (): boolean => isFull && path.endsWith('.log')
      return { ...file, write: async (bytes, position) => isRefused() ? await Promise.reject(failure('ENOSPC')) : await file.write(bytes, position) }
    }
  }
  const audit = createAudit({ config: { dataDir: 'mem', auditSigningKey: secret }, storage, clock, log: silentLog, processId: 'dead', files, segmentBytes: 1 })
  for (let i = 0; i < EVENTS; i++) {
    const id = `thing${i}`
    const durable = (): Promise<boolean> => audit.durable({ ...seen, target: id, effects: [{ collection: 'things', op: 'put', id, doc: { id } }] }).then(() => true, () => false)
    isFull = full.includes(i)
    if (isFull) await durable()
    isFull = false
    while (!await durable()) {
      clock.advance(500)
      await turns()
    }
    await audit.sealed()
  }
  return { disk: memory.now(), checkpoints: [...documents('auditCheckpoints').values()] as StoredCheckpoint[] }
}

/** The log behind a retention that kept these segments. */
async function retain ({ disk, checkpoints }: Written, kept: readonly number[]): Promise<Written> {
  const done = `${directory}/dead.replayed`
  const memory = memoryDisk(new Map(disk).set(done, Buffer.from(JSON.stringify({ seq: -1, effectsSeq: -1, segment: 0, done: true }))))
  const bytesMax = kept.reduce((sum, segment) => sum + disk.get(pathOf(segment))!.length, 0)
  await applyRetention({ directory, signer, clock: createTestClock(), isLive: () => false, files: memory.files, bytesMax, days: 1e9 })
  const left = memory.now()
  left.delete(done)
  return { disk: left, checkpoints }
}
