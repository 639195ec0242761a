/**
 * Verification of one process start's log: the walk along its chain, with the seals and whatever other checkpoints of
 * it there are. Owns nothing; only reads. In: segments and seals. Out: findings and notes in the report.
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { decodeLine, GENESIS, isTornRecord, splitLines } from '../journal/chain.ts'
import type { Line } from '../journal/chain.ts'
import { isErrno } from '../journal/files.ts'
import type { FileLayer } from '../journal/files.ts'
import { listProcesses, segmentName } from '../journal/segments.ts'
import type { WrittenEvent } from '../journal/shapes.ts'
import { holdsCheckpoint, readSeals, sealsName } from './checkpoints.ts'
import type { Checkpoint } from './checkpoints.ts'
import type { Signer } from './signing.ts'
import { find, note } from './verify-report.ts'
import type { VerifyReport } from './verify-report.ts'

/** A checkpoint that lies elsewhere than in the seals, and holds them to what was sealed. */
export interface Witness {
  checkpoint: Checkpoint
  /** Where it lies, in words of a finding. */
  from: 'the store' | '--against'
}

interface ProcessCheck {
  files: FileLayer
  directory: string
  signer: Signer
  report: VerifyReport
  processId: string
  witnesses: readonly Witness[]
  /** Its process runs: it may have begun its seals and not yet its log. */
  isLive: boolean
  /** Told of each acknowledged event of the log, in order. */
  onEvent?: ((event: WrittenEvent) => void) | undefined
}

/** How far a log reaches, for who compares something with it. */
export interface LogExtent {
  /** When it was begun, ms, as its first seal says; null where there is none. */
  sinceMs: number | null
  /** The last event that retention removed, -1 when none. */
  removedSeq: number
  lastSeq: number
  /** The last event that a seal covers, whose line is here. */
  sealedSeq: number
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

/** One process start: its seals, then its segments in order. @throws the errors of reading the directory */
export async function verifyLog (check: ProcessCheck): Promise<LogExtent> {
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
        seal.hash !== GENESIS && seal.kind !== 'removed' && seal.segment > (removed?.segment ?? -1)
      ).map((seal) => [seal.hash, seal])
    ),
    sealedSeq: removed?.seq ?? -1
  }
  if (removed !== undefined) {
    const place = { file: sealsName(processId), seq: removed.seq }
    note(report, place, `retention removed the segments up to ${removed.segment}`)
    findRemoved(check, removed)
  }
  const present = segments.filter((segment) => segment > (removed?.segment ?? -1))
  const isClosed = seals.some((seal) => seal.kind === 'close')
  if (present.length === 0 && !check.isLive && !isClosed && removed === undefined && seals.length > 0) {
    find(report, { file: segmentName(processId, 0) }, 'the log was begun, as its seals say, and is not there')
  }
  let bytes = present[0] === undefined ? null : await readSegment(check, present[0])
  for (const [index, segment] of present.entries()) {
    const following = present[index + 1]
    const nextBytes = following === undefined ? null : await readSegment(check, following)
    if (bytes !== null) {
      await walkSegment({ report, walk, processId, segment, bytes, nextBytes, isClosed, onEvent: check.onEvent })
    }
    bytes = nextBytes
  }
  conclude(check, walk, present.at(-1))
  return {
    sinceMs: seals[0]?.at ?? null,
    removedSeq: removed?.seq ?? -1,
    lastSeq: walk.nextSeq - 1,
    sealedSeq: walk.sealedSeq
  }
}

async function verifySeals (check: ProcessCheck): Promise<Checkpoint[]> {
  const { files, directory, report, processId, signer, witnesses } = check
  const file = sealsName(processId)
  let bytes: Buffer
  let isThere = true
  try {
    bytes = await files.read(`${directory}/${file}`)
  } catch (error) {
    find(report, { file }, isErrno(error, 'ENOENT') ? 'the seals file is missing' : unreadable(error))
    bytes = Buffer.alloc(0)
    isThere = false
  }
  const read = readSeals(bytes, processId, signer)
  if (isThere && !check.isLive && read.checkpoints.length === 0 && read.problems.length === 0) {
    find(report, { file }, 'the seals file holds no checkpoint')
  }
  for (const problem of read.problems) find(report, { file, line: problem.line }, problem.message)
  if (read.tornAt >= 0) note(report, { file }, 'the last checkpoint is torn: its writing was cut off')
  report.checkpoints += read.checkpoints.length
  return [...read.checkpoints, ...witnesses.filter((witness) => isMissing(check, read.checkpoints, witness))
    .map(({ checkpoint }) => checkpoint)]
}

/** True for a checkpoint that holds and that the seals lack; a wrong one, or another in its place, is a finding. */
function isMissing (
  { report, processId, signer }: ProcessCheck,
  seals: readonly Checkpoint[],
  { checkpoint, from }: Witness
): boolean {
  const { number, seq, hash } = checkpoint
  const file = sealsName(processId)
  if (!holdsCheckpoint(signer, checkpoint)) {
    const place = from === 'the store' ? 'store' : from
    find(report, { file: place, seq }, `the signature of the checkpoint of ${processId} does not hold`)
    return false
  }
  if (number > (seals.at(-1)?.number ?? -1)) {
    find(report, { file, line: seals.length + 1, seq }, `checkpoint ${number}, which ${from} holds, is missing`)
    return true
  }
  if (seals.find((seal) => seal.number === number)?.hash === hash) return false
  find(report, { file, line: number + 1, seq }, `checkpoint ${number} is not the one that ${from} holds`)
  return from === '--against'
}

/** Whoever shows a checkpoint asks whether what it sealed is still there, whoever removed it. */
function findRemoved ({ report, witnesses }: ProcessCheck, removed: Checkpoint): void {
  for (const { checkpoint: { number, segment, seq }, from } of witnesses) {
    if (from !== '--against' || segment > removed.segment) continue
    const when = new Date(removed.at).toISOString()
    const message = `what checkpoint ${number} sealed is not here any more: retention removed it at ${when}`
    find(report, { file: from, seq }, message)
  }
}

async function readSegment (
  { files, directory, report, processId }: ProcessCheck,
  segment: number
): Promise<Buffer | null> {
  try {
    return await files.read(`${directory}/${segmentName(processId, segment)}`)
  } catch (error) {
    const file = segmentName(processId, segment)
    if (!isErrno(error, 'ENOENT')) find(report, { file }, unreadable(error))
    else note(report, { file }, 'the segment was removed while verifying: run again')
    return null
  }
}

/** @throws what is no error of the disk */
function unreadable (error: unknown): string {
  const { code } = error as NodeJS.ErrnoException
  if (code === undefined) throw error
  return `the file cannot be read (${code})`
}

/** A server verifies too, before it signs an acceptance: its requests take turns with the lines. */
const LINES_A_TURN = 2_000

interface SegmentCheck {
  report: VerifyReport
  walk: Walk
  processId: string
  segment: number
  bytes: Buffer
  nextBytes: Buffer | null
  isClosed: boolean
  onEvent: ProcessCheck['onEvent']
}

async function walkSegment (check: SegmentCheck): Promise<void> {
  const { report, walk, bytes, nextBytes } = check
  const file = segmentName(check.processId, check.segment)
  const { spans, tornAt } = splitLines(bytes)
  const next = firstLine(nextBytes)
  const abandonedBehind = next?.reason === 'error' ? next.prevHash : null
  report.segments++
  // A segment that a failed disk left without one acknowledged line.
  if (abandonedBehind !== null && abandonedBehind === walk.prevHash) {
    return note(report, { file, seq: walk.nextSeq }, 'nothing here was acknowledged: the disk had failed')
  }
  for (const [index, [start, end]] of spans.entries()) {
    if (index % LINES_A_TURN === LINES_A_TURN - 1) await nextTurn()
    step(check, file, index, decodeLine(bytes, start, end))
    if (abandonedBehind !== null && walk.prevHash === abandonedBehind) {
      if (end + 1 < bytes.length) {
        const place = { file, line: index + 2, seq: walk.nextSeq }
        note(report, place, 'what follows was never acknowledged: the disk had failed')
      }
      return
    }
  }
  if (tornAt === bytes.length) return
  const last = { file, line: spans.length + 1, seq: walk.nextSeq }
  if (nextBytes !== null || walk.closed || check.isClosed) {
    find(report, last, 'the record is torn, and the log went on after it')
  } else if (!isTornRecord(bytes.subarray(tornAt))) {
    find(report, last, 'what stands at the end is no torn record: it was overwritten')
  } else {
    note(report, last, 'the last record is torn: it was being written and never acknowledged')
  }
}

/**
 * One line against what the chain expects; then the walk goes on from that line, so that one edit is one
 * finding or two.
 */
function step (
  { report, walk, processId, segment, onEvent }: SegmentCheck,
  file: string,
  index: number,
  line: Line | string
): void {
  if (typeof line === 'string') {
    find(report, { file, line: index + 1, seq: walk.nextSeq }, line)
    walk.prevHash = null
    return
  }
  const place = { file, line: index + 1, seq: line.seq }
  if (walk.closed) find(report, place, 'a record stands behind the end of the log')
  else if (walk.prevHash !== null && line.prevHash !== walk.prevHash) {
    find(report, place, 'the record does not follow the one before: something was swapped, inserted or taken out')
  } else if (walk.prevHash !== null && line.seq !== walk.nextSeq) {
    find(report, place, `the record's number is ${line.seq} where ${walk.nextSeq} belongs`)
  }
  if ((line.kind === 'open') !== (index === 0)) {
    find(report, place, 'the segment does not begin where it should')
  }
  if (line.kind === 'open' && (line.processId !== processId || line.segment !== segment)) {
    find(report, place, 'the segment belongs elsewhere')
  }
  if (line.kind === 'event') {
    report.events++
    onEvent?.(line.event as WrittenEvent)
  }
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
      const message = `the log ends before event ${walk.nextSeq}, but is sealed through ${newest.seq}: it was cut`
      find(report, { file, seq: walk.nextSeq }, message)
    }
    // What was rewritten before the cut is said too: somebody may know why it was cut.
    if (oldest.seq < walk.nextSeq) {
      const place = { file: segmentName(processId, oldest.segment), seq: oldest.seq }
      find(report, place, `the record that checkpoint ${oldest.number} seals is not there`)
    }
  }
  const unsealed = walk.nextSeq - 1 - walk.sealedSeq
  if (unsealed <= 0) return
  report.unsealed += unsealed
  note(report, { file, seq: walk.sealedSeq + 1 }, `${unsealed} events behind the last checkpoint are not sealed yet`)
}

function firstLine (bytes: Buffer | null): Line | null {
  const end = bytes?.indexOf(0x0a) ?? -1
  const line = bytes === null || end < 0 ? 'none' : decodeLine(bytes, 0, end)
  return typeof line === 'string' ? null : line
}
