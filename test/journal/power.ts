import { createAudit } from '../../src/audit/audit.ts'
import { recoverAudit } from '../../src/audit/recovery.ts'
import { createSigner } from '../../src/audit/signing.ts'
import { verifyAudit } from '../../src/audit/verify.ts'
import { systemClock } from '../../src/std/clock.ts'
import type { CollectionDefinition, Document } from '../../src/storage/port.ts'
import { seen, silentLog } from './disk.ts'
import { memoryDisk } from './memory.ts'
import { memoryStore } from './memory-store.ts'

const secret = 'a secret of the tests that is long enough'
const things: CollectionDefinition = { name: 'things', indexes: [] }
const directory = 'mem/audit'
/** Of the bytes written and not synced: none, some, all. */
const KEEP = [0, 0.1, 0.5, 0.93, 1]

interface Cut { disk: Map<string, Buffer>, acknowledged: number, at: string }

export interface PowerReport { points: number, problems: string[] }

/**
 * Records a writer's every step on a disk that knows what was synced, cuts the power at each of them, and recovers what
 * would be found. Within every recovery the power is cut once more.
 * @param changes how many acknowledged changes the writer makes; each is about two steps, each step five cuts.
 * @param every takes only every n-th cut.
 */
export async function cutPower (changes: number, every: number): Promise<PowerReport> {
  const cuts: Cut[] = []
  const acknowledged: string[] = []
  const memory = memoryDisk()
  let count = 0
  memory.onStep = () => {
    for (const keep of KEEP) {
      if (count++ % every === 0) cuts.push({ disk: memory.afterPowerCut(keep), acknowledged: acknowledged.length, at: `step ${Math.floor(count / KEEP.length)}, keeping ${keep}` })
    }
  }
  const audit = createAudit({
    config: { dataDir: 'mem', auditSigningKey: secret },
    storage: null,
    clock: systemClock,
    log: silentLog,
    processId: 'writer',
    files: memory.files,
    segmentBytes: 8_000
  })
  for (let i = 0; i < changes; i++) {
    if (i % 4 === 0) audit.record(seen)
    const id = `t${i}`
    await audit.durable({ category: 'data', type: 'thing.put', actor: 'user:test', target: id, outcome: 'ok', effects: [{ collection: 'things', op: 'put', id, doc: { id } }] })
    acknowledged.push(id)
    // A checkpoint after this many, in the middle of the run.
    if (i === Math.floor(changes / 2)) for (let more = 0; more < 1_000; more++) audit.record(seen)
  }
  await audit.close()
  const problems: string[] = []
  for (const cut of cuts) problems.push(...(await recovered(cut, acknowledged)).map((problem) => `${cut.at}: ${problem}`))
  return { points: cuts.length, problems }
}

async function recovered (cut: Cut, acknowledged: string[]): Promise<string[]> {
  const { storage, documents } = memoryStore()
  const signer = createSigner(secret)
  const options = { directory, signer, storage, clock: systemClock, log: silentLog, collections: [things], isLive: () => false }
  const problems: string[] = []
  // What the store was told by then: it never knows of a checkpoint that is not synced.
  const during: Array<{ disk: Map<string, Buffer>, told: Array<[string, Document]> }> = []
  const first = memoryDisk(cut.disk)
  first.onStep = () => { during.push({ disk: first.afterPowerCut(0.5), told: [...documents('auditCheckpoints')] }) }
  problems.push(...(await recoverAudit({ ...options, files: first.files }))
    .broken.map(({ problem }) => `it is broken: ${problem}`))
  const middle = during[cut.acknowledged % Math.max(1, during.length)]
  const disk = middle === undefined ? first : memoryDisk(middle.disk)
  if (middle !== undefined) {
    documents('auditCheckpoints').clear()
    for (const [id, checkpoint] of middle.told) documents('auditCheckpoints').set(id, checkpoint)
  }
  problems.push(...(await recoverAudit({ ...options, files: disk.files }))
    .broken.map(({ problem }) => `it is broken after a second cut: ${problem}`))

  const lost = acknowledged.slice(0, cut.acknowledged).filter((id) => !documents('things').has(id))
  if (lost.length > 0) problems.push(`${lost.length} acknowledged changes are lost, first ${lost[0]}`)
  const targets = [...documents('auditEvents').values()].map((event) => (event as unknown as { target: string | null }).target).filter((target) => target !== null)
  if (new Set(targets).size !== targets.length) problems.push('an event is there twice')
  const report = await verifyAudit({ directory, signer, checkpoints: [], files: disk.files })
  problems.push(...report.findings.map((finding) => `${finding.file}:${finding.line} ${finding.message}`))
  if (report.unsealed > 0) problems.push('recovery left events unsealed')
  return problems
}
