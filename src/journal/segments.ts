import { decodeLine, splitLines } from './chain.ts'
import type { Line, OpenReason } from './chain.ts'
import { randomText } from '../std/id.ts'
import { isErrno, replaceFile } from './files.ts'
import type { FileLayer } from './files.ts'
import type { AuditEvent, StoreEffect } from '../audit/shapes.ts'

/** An event as its line holds it: with the effects that only recovery reads. */
export type WrittenEvent = AuditEvent & { effects?: StoreEffect[] }

/** A new segment is begun behind this: small enough to be read whole, large enough to be rare. */
export const SEGMENT_BYTES = 16 * 1024 * 1024

const SEGMENT_NAME = /^([0-9a-z]{1,32})-(\d{1,9})\.log$/
const SIDE_NAME = /^([0-9a-z]{1,32})\.(seals|replayed)$/

/** The file of one segment; numbers rise from 0. */
export function segmentName (processId: string, segment: number): string {
  return `${processId}-${segment}.log`
}

/** What the directory holds of each process start: segment numbers rising, and whether its seals are there. */
export interface ProcessFiles { processId: string, segments: number[], seals: boolean }

/** All process starts of the directory, by id. Names that are none of ours are passed over. */
export async function listProcesses (files: FileLayer, directory: string): Promise<ProcessFiles[]> {
  const found = new Map<string, ProcessFiles>()
  const entry = (processId: string): ProcessFiles => {
    let process = found.get(processId)
    if (process === undefined) found.set(processId, process = { processId, segments: [], seals: false })
    return process
  }
  for (const name of await files.list(directory)) {
    const segment = SEGMENT_NAME.exec(name)
    if (segment !== null) entry(segment[1] as string).segments.push(Number(segment[2]))
    const side = SIDE_NAME.exec(name)
    if (side !== null && side[2] === 'seals') entry(side[1] as string).seals = true
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
  /** What is wrong with the first bad line, which ends the reading; null when all are good. */
  problem: string | null
}

/**
 * Reads the good lines of a segment up to the first bad one, each chained to the one before; `from` is a
 * line's start.
 */
export function readLines (bytes: Buffer, from = 0): SegmentLines {
  const { spans, tornAt } = splitLines(from === 0 ? bytes : bytes.subarray(from))
  const read: SegmentLines = { lines: [], ends: [], tornBytes: bytes.length - from - tornAt, problem: null }
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
 * The lines of a segment that count: behind a failed sync the next segment repeats what was not acknowledged, so what
 * stands behind the line that its `open` names does not.
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

/** Names the directory in the store's checkpoints. */
export const TRAIL_ID_FILE = 'trail.id'

/** The name, or null where there is none yet or it is damaged. @throws the disk's error */
export async function readTrailId (files: FileLayer, directory: string): Promise<string | null> {
  try {
    const text = (await files.read(`${directory}/${TRAIL_ID_FILE}`)).toString().trim()
    return /^[0-9a-z]{16}$/.test(text) ? text : null
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return null
    throw error
  }
}

/**
 * The directory's name, made by whoever comes first. Processes that start together may both write: the last
 * one stays, and a checkpoint is written again within a minute.
 */
export async function ensureTrailId (files: FileLayer, directory: string): Promise<string> {
  const found = await readTrailId(files, directory)
  if (found !== null) return found
  await replaceFile(files, directory, TRAIL_ID_FILE, Buffer.from(randomText(16))).catch((error: unknown) => {
    // A sibling is writing it at this moment.
    if (!isErrno(error, 'EEXIST', 'ENOENT')) throw error
  })
  return await readTrailId(files, directory) ?? ''
}
