import { decodeLine, isTornRecord, splitLines } from './chain.ts'
import type { Line, OpenReason } from './chain.ts'
import type { FileLayer } from './files.ts'
import type { WrittenEvent } from './shapes.ts'

/** Events that a reader gets at a time. */
const CHUNK = 1_000

/** A new segment is begun behind this: small enough to be read whole, large enough to be rare. */
export const SEGMENT_BYTES = 16 * 1024 * 1024

const SEGMENT_NAME = /^([0-9a-z]{1,32})-(\d{1,9})\.log$/
const SEALS_NAME = /^([0-9a-z]{1,32})\.seals$/

/** The file of one segment; numbers rise from 0. */
export function segmentName (processId: string, segment: number): string {
  return `${processId}-${segment}.log`
}

/** A process start of which the directory holds segments (their numbers, rising) or at least the seals. */
interface ProcessFiles { processId: string, segments: number[] }

/** All process starts of the directory, by id. Names that are none of ours are passed over. */
export async function listProcesses (files: FileLayer, directory: string): Promise<ProcessFiles[]> {
  const found = new Map<string, ProcessFiles>()
  const entry = (processId: string): ProcessFiles => {
    let process = found.get(processId)
    if (process === undefined) found.set(processId, process = { processId, segments: [] })
    return process
  }
  for (const name of await files.list(directory)) {
    const segment = SEGMENT_NAME.exec(name)
    if (segment !== null) entry(segment[1] as string).segments.push(Number(segment[2]))
    const seals = SEALS_NAME.exec(name)
    if (seals !== null) entry(seals[1] as string)
  }
  for (const process of found.values()) process.segments.sort((a, b) => a - b)
  return [...found.values()].sort((a, b) => a.processId < b.processId ? -1 : 1)
}

export interface SegmentLines {
  lines: Line[]
  /** Byte offset behind each line. */
  ends: number[]
  /** Length of the unfinished last line, 0 when there is none. */
  tornBytes: number
  /** False where those bytes are no beginning of a line. */
  isTorn?: boolean
  /** The fault of the first bad line, which ends the reading; null when all are good. */
  problem: string | null
}

/**
 * Reads the good lines of a segment up to the first bad one, each chained to the one before; `from` is a
 * line's start.
 */
export function readLines (bytes: Buffer, from = 0): SegmentLines {
  const { spans, tornAt } = splitLines(from === 0 ? bytes : bytes.subarray(from))
  const read: SegmentLines = {
    lines: [],
    ends: [],
    tornBytes: bytes.length - from - tornAt,
    isTorn: isTornRecord(bytes.subarray(from + tornAt)),
    problem: null
  }
  for (const [start, end] of spans) {
    const line = decodeLine(bytes, start + from, end + from)
    const before = read.lines.at(-1)
    if (typeof line === 'string') read.problem = line
    else if (before !== undefined && line.prevHash !== before.hash) {
      read.problem = 'the record does not follow the one before'
    } else {
      read.lines.push(line)
      read.ends.push(end + 1 + from)
      continue
    }
    read.tornBytes = 0
    return read
  }
  return read
}

/**
 * The lines of a segment that count: behind a failed sync the next segment repeats the lines that were not
 * acknowledged, so those behind the line that its `open` names do not.
 */
export function countedLines (read: SegmentLines, next: Line | undefined): Line[] {
  if (next === undefined || (next.reason as OpenReason) !== 'error') return read.lines
  const last = read.lines.findIndex((line) => line.hash === next.prevHash)
  return last < 0
    ? read.lines.slice(0, next.prevHash === read.lines[0]?.prevHash ? 0 : undefined)
    : read.lines.slice(0, last + 1)
}

/** The event of a line, or null where the line is another kind of record. */
export function eventOf (line: Line): WrittenEvent | null {
  return line.kind === 'event' ? line.event as WrittenEvent : null
}

interface EventsWanted {
  files: FileLayer
  directory: string
  processId: string
  afterSeq: number
  untilSeq: number
  /** Earlier segments are not read: they hold none that is wanted. */
  fromSegment?: number
}

/** Events of one process in order, at most 1,000 at a time; `untilSeq` excluded. */
export async function * readEvents (options: EventsWanted): AsyncGenerator<WrittenEvent[]> {
  const { files, directory, processId, afterSeq, untilSeq, fromSegment = 0 } = options
  const log = (await listProcesses(files, directory)).find((process) => process.processId === processId)
  const segments = (log?.segments ?? []).filter((segment) => segment >= fromSegment)
  const reads = segments.map((segment) => async () =>
    readLines(await files.read(`${directory}/${segmentName(processId, segment)}`))
  )
  let next = reads[0] === undefined ? undefined : await reads[0]()
  for (let index = 0; next !== undefined; index++) {
    const read = next
    next = reads[index + 1] === undefined ? undefined : await reads[index + 1]!()
    if ((next?.lines[0]?.seq ?? Infinity) <= afterSeq + 1) continue
    const events = countedLines(read, next?.lines[0]).map(eventOf).filter((event) =>
      event !== null && event.seq > afterSeq && event.seq < untilSeq
    ) as WrittenEvent[]
    for (let at = 0; at < events.length; at += CHUNK) yield events.slice(at, at + CHUNK)
  }
}
