/**
 * Offline verification: does the trail in a directory hold what was sealed?
 *
 * Owns: nothing; only reads. In: segments, seals, the signing key, and if there is a store its newest
 * checkpoints, which somebody who edits the files may not reach. Out: findings (an edit, a swap, a cut, a missing
 * piece; each with file, line and seq) and notes (no failures: an unsealed or torn tail, a segment being written,
 * records that retention removed).
 *
 * May run beside the server: the store is read before the seals, and the seals before the segments, and each
 * is written in the opposite order, so that what is sealed is already there.
 */
import type { Config } from '../config/config.ts'
import type { Storage } from '../storage/port.ts'
import { auditDirectory, auditSigner } from './audit.ts'
import { decodeLine, GENESIS, splitLines } from '../journal/chain.ts'
import type { Line } from '../journal/chain.ts'
import { holdsCheckpoint, readSeals, sealsName } from './checkpoints.ts'
import type { Checkpoint } from './checkpoints.ts'
import type { StoredCheckpoint } from './collections.ts'
import { isErrno, systemFiles } from '../journal/files.ts'
import type { FileLayer } from '../journal/files.ts'
import { ownOf, placeOf, readStore } from './trail-registry.ts'
import { listProcesses, segmentName } from '../journal/segments.ts'
import type { Signer } from './signing.ts'
import { readTrailId, TRAIL_ID_FILE } from './trail-id.ts'

export interface Finding {
  file: string
  /** From 1; null when it is about the file as a whole. */
  line: number | null
  /** The event's place in the chain, where one can be told. */
  seq: number | null
  message: string
}

export interface VerifyReport {
  /** True when every sealed record holds: `neko audit verify` exits 0, else 1. */
  ok: boolean
  processes: number
  segments: number
  events: number
  /** Events behind the last checkpoint of their process: chained, but not yet signed for. */
  unsealed: number
  checkpoints: number
  findings: Finding[]
  notes: Finding[]
}

export interface VerifyOptions {
  directory: string
  signer: Signer
  /** The store's checkpoints of this directory's logs, read before this is called; [] without a store. */
  checkpoints: StoredCheckpoint[]
  /** The trails that the store knows of this directory. */
  trailIds?: ReadonlySet<string>
  files?: FileLayer
}

/** Findings kept, so that a file of garbage does not fill memory; the first ones locate it. */
const FINDINGS_MAX = 1_000

/**
 * For `neko audit verify`: the data directory against the store, read in this order. A store that cannot answer
 * is no word against the files: they are judged alone then, and a note says so. null: there is no store to ask, as
 * `why` says.
 * @throws the errors of reading the directory
 */
export async function verifyDataDir (
  config: Pick<Config, 'dataDir' | 'auditSigningKey'>,
  storage: Storage | null,
  why = 'none was given'
): Promise<VerifyReport> {
  const directory = auditDirectory(config.dataDir)
  const answer = await readStoreOf(storage, config.dataDir, why)
  if (typeof answer !== 'string') {
    const processIds = new Set((await listProcesses(systemFiles, directory)).map(({ processId }) => processId))
    const known = ownOf(answer, await readTrailId(systemFiles, directory), processIds)
    return await verifyAudit({ directory, signer: auditSigner(config), ...known })
  }
  const report = await verifyAudit({ directory, signer: auditSigner(config), checkpoints: [] })
  note(report, 'store', null, null, `the files were not compared with the store: ${answer}`)
  // Nothing that holds is no proof that nothing is missing.
  if (report.processes === 0) find(report, 'audit', null, null, 'there is no log here and no store to ask for one')
  report.ok = report.findings.length === 0
  return report
}

async function readStoreOf (
  storage: Storage | null,
  dataDir: string,
  why: string
): Promise<Awaited<ReturnType<typeof readStore>> | string> {
  if (storage === null) return why
  try {
    return await readStore(storage, placeOf(dataDir))
  } catch (error) {
    if (!isStoreError(error)) throw error
    return (error as Error).message
  }
}

/** Something is wrong with the store, and not with the files. */
export function isStoreError (error: unknown): boolean {
  const { code } = error as { code?: unknown }
  return typeof code === 'string' && (code.startsWith('NEKO_ERR_STORE_') || code === 'NEKO_ERR_TIMEOUT')
}

/** @throws the errors of reading the directory */
export async function verifyAudit (
  { directory, signer, checkpoints, trailIds, files = systemFiles }: VerifyOptions
): Promise<VerifyReport> {
  const report: VerifyReport = {
    ok: true,
    processes: 0,
    segments: 0,
    events: 0,
    unsealed: 0,
    checkpoints: 0,
    findings: [],
    notes: []
  }
  const stored = new Map(checkpoints.map((checkpoint) => [checkpoint.processId, checkpoint]))
  const present = (await listProcesses(files, directory)).map(({ processId }) => processId)
  verifyTrails({
    report,
    trailId: await readTrailId(files, directory),
    trailIds: trailIds ?? new Set(),
    lost: checkpoints.filter(({ processId }) => !present.includes(processId))
  })
  for (const processId of new Set([...stored.keys(), ...present])) {
    report.processes++
    await verifyProcess({ files, directory, signer, report, processId, stored: stored.get(processId) ?? null })
  }
  report.ok = report.findings.length === 0
  return report
}

/** The name of the directory's trail is not signed: the store says whether it is the right one, and the only one. */
function verifyTrails (
  { report, trailId, trailIds, lost }: {
    report: VerifyReport,
    trailId: string | null,
    trailIds: ReadonlySet<string>,
    lost: StoredCheckpoint[]
  }
): void {
  if (trailIds.size === 0) return
  if (trailId === null) {
    find(
      report,
      TRAIL_ID_FILE,
      null,
      null,
      `the file is missing or damaged; the store knows ${[...trailIds].join(', ')} of this directory`
    )
  } else if (!trailIds.has(trailId)) {
    find(
      report,
      TRAIL_ID_FILE,
      null,
      null,
      `the store does not know the trail ${trailId}: it knows ${[...trailIds].join(', ')} of this directory`
    )
  }
  for (const id of trailIds) {
    if (id === trailId) continue
    const logs = lost.filter((checkpoint) => checkpoint.trailId === id).length
    if (logs === 0) {
      find(
        report,
        TRAIL_ID_FILE,
        null,
        null,
        `the trail ${id} was begun in this directory, which now names another: the file was changed or removed`
      )
    } else {
      find(
        report,
        TRAIL_ID_FILE,
        null,
        null,
        `the trail ${id}, of which the store knows ${logs} logs that are not here, was begun in this directory: ` +
          'its files were removed, or the store was restored without them'
      )
    }
  }
}

interface ProcessCheck {
  files: FileLayer
  directory: string
  signer: Signer
  report: VerifyReport
  processId: string
  stored: Checkpoint | null
}

/** Where a walk along one chain stands. */
interface Walk {
  /** Hash that the next line must name; null behind a line that could not be read. */
  prevHash: string | null
  nextSeq: number
  closed: boolean
  /** Checkpoints whose line has not been met, by hash. */
  wanted: Map<string, Checkpoint>
  sealedSeq: number
}

async function verifyProcess (check: ProcessCheck): Promise<void> {
  const { files, directory, report, processId } = check
  const seals = await verifySeals(check)
  const removed = seals.findLast((seal) => seal.kind === 'removed')
  const segments =
    (await listProcesses(files, directory)).find((process) => process.processId === processId)?.segments ?? []
  const walk: Walk = {
    prevHash: removed?.hash ?? GENESIS,
    nextSeq: (removed?.seq ?? -1) + 1,
    closed: false,
    wanted: new Map(
      seals.filter((seal) =>
        seal.kind !== 'open' && seal.kind !== 'removed' && seal.segment > (removed?.segment ?? -1)
      ).map((seal) => [seal.hash, seal])
    ),
    sealedSeq: removed?.seq ?? -1
  }
  if (removed !== undefined) {
    note(
      report,
      sealsName(processId),
      null,
      removed.seq,
      `retention removed the segments up to ${removed.segment}`
    )
  }
  const present = segments.filter((segment) => segment > (removed?.segment ?? -1))
  const closedBySeal = seals.some((seal) => seal.kind === 'close')
  let bytes = present[0] === undefined ? null : await readSegment(check, present[0])
  for (const [index, segment] of present.entries()) {
    const following = present[index + 1]
    const nextBytes = following === undefined ? null : await readSegment(check, following)
    if (bytes !== null) walkSegment({ report, walk, processId, segment, bytes, nextBytes, closedBySeal })
    bytes = nextBytes
  }
  conclude(check, walk, present.at(-1))
}

async function verifySeals (check: ProcessCheck): Promise<Checkpoint[]> {
  const { files, directory, report, processId, signer, stored } = check
  const file = sealsName(processId)
  let bytes: Buffer
  try {
    bytes = await files.read(`${directory}/${file}`)
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw error
    find(report, file, null, null, 'the seals file is missing')
    bytes = Buffer.alloc(0)
  }
  const read = readSeals(bytes, processId, signer)
  for (const problem of read.problems) find(report, file, problem.line, null, problem.message)
  if (read.tornAt >= 0) note(report, file, null, null, 'the last checkpoint is torn: its writing was cut off')
  report.checkpoints += read.checkpoints.length
  const newest = read.checkpoints.at(-1)
  if (stored === null) return read.checkpoints
  if (!holdsCheckpoint(signer, stored)) {
    find(report, 'store', null, stored.seq, `the signature of the checkpoint of ${processId} does not hold`)
  } else if (stored.number > (newest?.number ?? -1)) {
    find(
      report,
      file,
      read.checkpoints.length + 1,
      stored.seq,
      `checkpoint ${stored.number}, which the store holds, is missing`
    )
    return [...read.checkpoints, stored]
  } else if (read.checkpoints.find((seal) => seal.number === stored.number)?.hash !== stored.hash) {
    find(
      report,
      file,
      stored.number + 1,
      stored.seq,
      `checkpoint ${stored.number} is not the one that the store holds`
    )
  }
  return read.checkpoints
}

async function readSegment (
  { files, directory, report, processId }: ProcessCheck,
  segment: number
): Promise<Buffer | null> {
  try {
    return await files.read(`${directory}/${segmentName(processId, segment)}`)
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw error
    note(report, segmentName(processId, segment), null, null, 'the segment was removed while verifying: run again')
    return null
  }
}

interface SegmentCheck {
  report: VerifyReport
  walk: Walk
  processId: string
  segment: number
  bytes: Buffer
  nextBytes: Buffer | null
  closedBySeal: boolean
}

function walkSegment (check: SegmentCheck): void {
  const { report, walk, bytes, nextBytes } = check
  const file = segmentName(check.processId, check.segment)
  const { spans, tornAt } = splitLines(bytes)
  const next = firstLine(nextBytes)
  const abandonedBehind = next?.reason === 'error' ? next.prevHash : null
  report.segments++
  // A segment that a failed disk left without one acknowledged line.
  if (abandonedBehind !== null && abandonedBehind === walk.prevHash) {
    return note(report, file, null, walk.nextSeq, 'nothing here was acknowledged: the disk had failed')
  }
  for (const [index, [start, end]] of spans.entries()) {
    step(check, file, index, decodeLine(bytes, start, end))
    if (abandonedBehind !== null && walk.prevHash === abandonedBehind) {
      if (end + 1 < bytes.length) {
        note(
          report,
          file,
          index + 2,
          walk.nextSeq,
          'what follows was never acknowledged: the disk had failed'
        )
      }
      return
    }
  }
  if (tornAt === bytes.length) return
  if (nextBytes !== null || walk.closed || check.closedBySeal) {
    find(report, file, spans.length + 1, walk.nextSeq, 'the record is torn, and the log went on after it')
  } else {
    note(
      report,
      file,
      spans.length + 1,
      walk.nextSeq,
      'the last record is torn: it was being written and never acknowledged'
    )
  }
}

/**
 * One line against what the chain expects; then the walk goes on from that line, so that one edit is one
 * finding or two.
 */
function step (
  { report, walk, processId, segment }: SegmentCheck,
  file: string,
  index: number,
  line: Line | string
): void {
  if (typeof line === 'string') {
    find(report, file, index + 1, walk.nextSeq, line)
    walk.prevHash = null
    return
  }
  if (walk.closed) find(report, file, index + 1, line.seq, 'a record stands behind the end of the log')
  else if (walk.prevHash !== null && line.prevHash !== walk.prevHash) {
    find(
      report,
      file,
      index + 1,
      line.seq,
      'the record does not follow the one before: something was swapped, inserted or taken out'
    )
  } else if (walk.prevHash !== null && line.seq !== walk.nextSeq) {
    find(
      report,
      file,
      index + 1,
      line.seq,
      `the record's number is ${line.seq} where ${walk.nextSeq} belongs`
    )
  }
  if ((line.kind === 'open') !== (index === 0)) {
    find(report, file, index + 1, line.seq, 'the segment does not begin where it should')
  }
  if (line.kind === 'open' && (line.processId !== processId || line.segment !== segment)) {
    find(report, file, index + 1, line.seq, 'the segment belongs elsewhere')
  }
  if (line.kind === 'event') report.events++
  walk.closed = line.kind === 'close'
  walk.prevHash = line.hash
  walk.nextSeq = line.kind === 'event' ? line.seq + 1 : line.seq
  const sealed = walk.wanted.get(line.hash)
  if (sealed !== undefined) {
    walk.wanted.delete(line.hash)
    walk.sealedSeq = Math.max(walk.sealedSeq, sealed.seq)
  }
}

function conclude ({ report, processId }: ProcessCheck, walk: Walk, lastSegment: number | undefined): void {
  const file = lastSegment === undefined ? sealsName(processId) : segmentName(processId, lastSegment)
  // The newest that is missing tells where the log should reach, the oldest where it was left.
  const missing = [...walk.wanted.values()].sort((a, b) => a.seq - b.seq)
  const oldest = missing[0]
  const newest = missing.at(-1)
  if (oldest !== undefined && newest !== undefined) {
    if (newest.seq >= walk.nextSeq) {
      find(
        report,
        file,
        null,
        walk.nextSeq,
        `the log ends before event ${walk.nextSeq}, but is sealed through ${newest.seq}: it was cut`
      )
    } else {
      find(
        report,
        segmentName(processId, oldest.segment),
        null,
        oldest.seq,
        `the record that checkpoint ${oldest.number} seals is not there`
      )
    }
  }
  const unsealed = walk.nextSeq - 1 - walk.sealedSeq
  if (unsealed <= 0) return
  report.unsealed += unsealed
  note(report, file, null, walk.sealedSeq + 1, `${unsealed} events behind the last checkpoint are not sealed yet`)
}

function firstLine (bytes: Buffer | null): Line | null {
  const end = bytes?.indexOf(0x0a) ?? -1
  const line = bytes === null || end < 0 ? 'none' : decodeLine(bytes, 0, end)
  return typeof line === 'string' ? null : line
}

function find (report: VerifyReport, file: string, line: number | null, seq: number | null, message: string): void {
  if (report.findings.length < FINDINGS_MAX) report.findings.push({ file, line, seq, message })
}

function note (report: VerifyReport, file: string, line: number | null, seq: number | null, message: string): void {
  if (report.notes.length < FINDINGS_MAX) report.notes.push({ file, line, seq, message })
}
