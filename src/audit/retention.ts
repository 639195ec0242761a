/**
 * Retention: whole segments that are sealed and in the store go when they are old, or when all of them are too many.
 *
 * The signed `removed` checkpoint is written before the files go, and names the last line that went: the
 * chain that is left begins behind it, so the rest still verifies and a segment that somebody else removes
 * still is a finding. The seals stay, and so does a log that a person accepted as it is.
 */
import type { Clock } from '../std/clock.ts'
import type { Storage } from '../storage/port.ts'
import { auditEvents } from '../journal/collections.ts'
import type { StoredAuditEvent } from '../journal/collections.ts'
import { ACCEPTED } from './acceptance.ts'
import { createSeals, readSeals, sealsName } from './checkpoints.ts'
import type { Seals } from './checkpoints.ts'
import { systemFiles } from '../journal/files.ts'
import type { FileLayer } from '../journal/files.ts'
import { readReplayed } from '../journal/replay-mark.ts'
import { countedLines, listProcesses, readLines, segmentName } from '../journal/segments.ts'
import type { Signer } from './signing.ts'

/** Kept unless told otherwise: a year, and 10 GiB (of each living process, and of all dead ones together). */
export const RETENTION_DAYS = 365
const RETENTION_BYTES_MAX = 10 * 1024 ** 3
/** Of the index that go at once: the rest goes an hour later. */
const INDEX_PORTION = 10_000
const INDEX_PORTIONS_MAX = 20
const DAY_MS = 86_400_000

interface RetentionOptions {
  directory: string
  signer: Signer
  clock: Clock
  /** Days since a segment was last written. */
  days?: number | undefined
  /** For all segments of the directory together; the oldest go first. */
  bytesMax?: number | undefined
  /** Logs of living processes are left alone. */
  isLive: (processId: string) => boolean
  files?: FileLayer
}

interface Candidate { processId: string, segment: number, bytes: number, modifiedMs: number }

/** Returns the names of the segments that went. Only logs that recovery has closed and brought in are touched. */
export async function applyRetention (options: RetentionOptions): Promise<string[]> {
  const files = options.files ?? systemFiles
  const { directory, clock, days = RETENTION_DAYS, bytesMax = RETENTION_BYTES_MAX } = options
  const candidates: Candidate[] = []
  let bytes = 0
  for (const { processId, segments } of await listProcesses(files, directory)) {
    const { done, isAccepted } = await readReplayed(files, directory, processId)
    const removable = !options.isLive(processId) && done && isAccepted !== true
    for (const segment of segments) {
      const path = `${directory}/${segmentName(processId, segment)}`
      const size = await files.size(path)
      bytes += size
      if (removable) candidates.push({ processId, segment, bytes: size, modifiedMs: await files.modifiedMs(path) })
    }
  }
  // Within one log in order, whatever the files' times say.
  candidates.sort((a, b) => a.processId === b.processId ? a.segment - b.segment : a.modifiedMs - b.modifiedMs)
  const through = new Map<string, number>()
  const kept = new Set<string>()
  for (const candidate of candidates) {
    const tooOld = clock.now() - candidate.modifiedMs > days * DAY_MS
    if ((!tooOld && bytes <= bytesMax) || kept.has(candidate.processId)) {
      kept.add(candidate.processId)
      continue
    }
    through.set(candidate.processId, candidate.segment)
    bytes -= candidate.bytes
  }
  const removed: string[] = []
  for (const [processId, segment] of through) {
    removed.push(...await removeThrough({ ...options, files, processId, segment }))
  }
  return removed
}

/**
 * The index goes with the segments: older events leave the store too.
 * @throws NEKO_ERR_STORE_UNAVAILABLE
 */
export async function retainIndex (storage: Storage, clock: Clock, days = RETENTION_DAYS): Promise<number> {
  const events = storage.collection<StoredAuditEvent>(auditEvents)
  const where = { at: { lt: clock.now() - days * DAY_MS } }
  let removed = 0
  for (let portion = 0; portion < INDEX_PORTIONS_MAX; portion++) {
    const gone = await events.deleteWhere(where, INDEX_PORTION)
    removed += gone
    if (gone < INDEX_PORTION) break
  }
  return removed
}

interface OwnRetention extends Pick<RetentionOptions, 'days' | 'bytesMax'> {
  files: FileLayer
  directory: string
  processId: string
  /** The segment being written, which stays. */
  currentSegment: number
  seals: Seals
  clock: Clock
}

/**
 * The same for the log of the process that calls, which alone may write its seals: segments that are in the store
 * with their effects settled.
 */
export async function retainOwn (options: OwnRetention): Promise<string[]> {
  const {
    files,
    directory,
    processId,
    currentSegment,
    seals,
    clock,
    days = RETENTION_DAYS,
    bytesMax = RETENTION_BYTES_MAX
  } = options
  const segments =
    (await listProcesses(files, directory)).find((process) => process.processId === processId)?.segments ?? []
  const { segment: settledSegment } = await readReplayed(files, directory, processId)
  const sizes = await Promise.all(
    segments.map((segment) => files.size(`${directory}/${segmentName(processId, segment)}`))
  )
  let bytes = sizes.reduce((sum, size) => sum + size, 0)
  let through = -1
  for (const [index, segment] of segments.entries()) {
    if (segment >= currentSegment || segment >= settledSegment) break
    const ageMs = clock.now() - await files.modifiedMs(`${directory}/${segmentName(processId, segment)}`)
    if (ageMs <= days * DAY_MS && bytes <= bytesMax) break
    through = segment
    bytes -= sizes[index] as number
  }
  return through < 0
    ? []
    : await removeSegments({
      files,
      directory,
      processId,
      segment: through,
      seals,
      at: clock.now(),
      covered: -1
    })
}

async function removeThrough (
  options: RetentionOptions & { files: FileLayer, processId: string, segment: number }
): Promise<string[]> {
  const { files, directory, processId, segment, signer, clock } = options
  // Missing seals are evidence too.
  const bytes = await files.read(`${directory}/${sealsName(processId)}`).catch(() => Buffer.alloc(0))
  const read = readSeals(bytes, processId, signer)
  if (read.checkpoints.length === 0) return []
  // A damaged file is evidence: nothing is written behind it, and nothing removed on its word.
  if (read.problems.length > 0) return []
  const length = read.tornAt < 0 ? bytes.length : read.tornAt
  const seals = createSeals({
    files,
    directory,
    processId,
    signer,
    resume: { number: read.checkpoints.length, length }
  })
  try {
    return await removeSegments({
      files,
      directory,
      processId,
      segment,
      seals,
      at: clock.now(),
      covered: read.checkpoints.findLast((seal) => seal.kind === 'removed')?.segment ?? -1
    })
  } finally {
    seals.close()
  }
}

interface Removal {
  files: FileLayer
  directory: string
  processId: string
  segment: number
  seals: Seals
  at: number
  covered: number
}

async function removeSegments (
  { files, directory, processId, segment, seals, at, covered }: Removal
): Promise<string[]> {
  const segments =
    (await listProcesses(files, directory)).find((process) => process.processId === processId)?.segments ?? []
  const through = segment > covered
    ? await beforeAcceptance({ files, directory, processId, segments, segment, covered })
    : segment
  if (through > covered) {
    const last = await lastLine(files, directory, processId, segments, through)
    if (last === null) return []
    await seals.append({ kind: 'removed', segment: through, seq: last.seq, hash: last.hash, at })
  }
  const names = segments.filter((number) => number <= through).map((number) => segmentName(processId, number))
  for (const name of names) await files.remove(`${directory}/${name}`)
  await files.syncDirectory(directory)
  return names
}

/**
 * The last segment that may go: one that holds an acceptance stays, and what follows it, since without it the log that
 * somebody accepted is a finding again.
 */
async function beforeAcceptance (
  { files, directory, processId, segments, segment, covered }:
  Pick<Removal, 'files' | 'directory' | 'processId' | 'segment' | 'covered'> & { segments: readonly number[] }
): Promise<number> {
  let through = covered
  for (const number of segments.filter((one) => one > covered && one <= segment)) {
    if ((await files.read(`${directory}/${segmentName(processId, number)}`)).includes(`"type":"${ACCEPTED}"`)) break
    through = number
  }
  return through
}

async function lastLine (
  files: FileLayer,
  directory: string,
  processId: string,
  segments: number[],
  segment: number
): Promise<{ seq: number, hash: string } | null> {
  const following = segments.find((number) => number > segment)
  const next = following === undefined
    ? undefined
    : readLines(await files.read(`${directory}/${segmentName(processId, following)}`)).lines[0]
  const read = readLines(await files.read(`${directory}/${segmentName(processId, segment)}`))
  const last = countedLines(read, next).at(-1)
  // A broken chain is left for who investigates.
  if (last === undefined || (next !== undefined && next.prevHash !== last.hash)) return null
  return { hash: last.hash, seq: last.kind === 'event' ? last.seq : last.seq - 1 }
}
