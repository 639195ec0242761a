import type { Line } from './chain.ts'
import type { FileLayer } from './files.ts'
import { countedLines, readLines, segmentName } from './segments.ts'
import type { SegmentLines } from './segments.ts'

/** Where the log of one process start is. */
export interface LogPlace { files: FileLayer, directory: string, processId: string }

/** Where a log ends, as far as it was read, with what closing it needs. */
export interface OpenEnd {
  segment: number
  /** Of the last event. */
  seq: number
  /** Of the last line; null before the first one, where what it follows is not known. */
  hash: string | null
  nextSeq: number
  /** The bytes of `segment` that count. */
  length: number
  closed: boolean
  /** The last segment there is, which may hold no line that counts; -1 without one. */
  lastSegment: number
}

/** The end of a log without a line. */
export const NOWHERE: Readonly<OpenEnd> =
  { segment: -1, seq: -1, hash: null, nextSeq: 0, length: 0, closed: false, lastSegment: -1 }

interface LinkedLines { segment: number, lines: Line[], problem: string | null }

/**
 * The lines of a log that count, segment by segment, as far as each follows the one before. `end` moves along, to
 * behind what is yielded. A problem lies behind the lines that come with it, and is the last that is said.
 */
export async function * linkedLines (
  place: LogPlace,
  segments: readonly number[],
  end: OpenEnd
): AsyncGenerator<LinkedLines> {
  let current = await readSegment(place, segments[0])
  for (const [index, segment] of segments.entries()) {
    if (current === undefined) return
    const next = await readSegment(place, segments[index + 1])
    const lines = countedLines(current, next?.lines[0])
    // Of the first one nobody knows what it follows; where none of its lines counts, the next one follows the same.
    end.hash ??= current.lines[0]?.prevHash ?? null
    const fault = faultOf(lines, end)
    if (fault !== null) return yield { segment, lines: [], problem: `segment ${segment}: ${fault}` }
    Object.assign(end, { lastSegment: segment }, endOf(lines.at(-1), segment, current, lines.length))
    const problem = problemBehind(lines, current, next)
    yield { segment, lines, problem: problem === null ? null : `segment ${segment}: ${problem}` }
    if (problem !== null) return
    current = next
  }
}

/** What a log's seals prove of it. */
export interface Sealed {
  /** The line that the log must hold, or follow where retention removed all before; null where nothing was sealed. */
  reaches: { segment: number, seq: number, hash: string } | null
  /** Hashes of lines that verified seals name. */
  lines: ReadonlySet<string>
}

/**
 * How many lines are the log's writer's: anybody can write a chain, but nobody one that leads to a line that was sealed
 * before. So a log that holds the newest of these counts as a whole, up to where its chain breaks; of one that does
 * not, the lines through the last that is sealed.
 */
export async function countProven (
  place: LogPlace,
  segments: readonly number[],
  { start, sealed: { reaches, lines: sealed } }: { start: OpenEnd, sealed: Sealed }
): Promise<{ lines: number, problem: string | null }> {
  if (reaches === null) return { lines: Infinity, problem: null }
  let read = 0
  let proven = 0
  for await (const { lines, problem } of linkedLines(place, segments, { ...start })) {
    for (const { hash, prevHash } of lines) {
      read++
      if (hash === reaches.hash || prevHash === reaches.hash) return { lines: Infinity, problem: null }
      if (sealed.has(hash)) proven = read
    }
    if (problem !== null) return { lines: proven, problem }
  }
  return { lines: proven, problem: `it does not hold the record of event ${reaches.seq}, which is sealed` }
}

/** Undefined where there is none; one that cannot be read is a problem of its own. */
export async function readSegment (
  { files, directory, processId }: LogPlace,
  segment: number | undefined
): Promise<SegmentLines | undefined> {
  if (segment === undefined) return undefined
  try {
    return readLines(await files.read(`${directory}/${segmentName(processId, segment)}`))
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === undefined) throw error
    return { lines: [], ends: [], tornBytes: 0, problem: `it cannot be read (${code})` }
  }
}

/** Why lines that are a chain in themselves are not the end's continuation. */
function faultOf (lines: readonly Line[], { hash, closed }: OpenEnd): string | null {
  if (lines[0] === undefined) return null
  if (hash !== null && lines[0].prevHash !== hash) return 'it does not follow the one before'
  const isGoingOn = closed || lines.slice(0, -1).some(({ kind }) => kind === 'close')
  return isGoingOn ? 'a record stands behind the end of the log' : null
}

/** What stands behind the lines of a segment that count. */
function problemBehind (lines: readonly Line[], read: SegmentLines, next: SegmentLines | undefined): string | null {
  // A fault behind the lines that were acknowledged does not count, as they are all that does.
  if (lines.length === read.lines.length && read.problem !== null) return read.problem
  return next === undefined && read.isTorn === false ? 'what stands at its end is no torn record' : null
}

/** Nothing where the segment holds no line that counts: the log ends in one before. */
function endOf (last: Line | undefined, segment: number, read: SegmentLines, count: number): Partial<OpenEnd> {
  if (last === undefined) return {}
  return {
    ...lastEvent(last),
    segment,
    hash: last.hash,
    length: read.ends[count - 1] as number,
    closed: last.kind === 'close'
  }
}

/** The last event through a line, and the number of the next. */
export function lastEvent ({ kind, seq }: Line): { seq: number, nextSeq: number } {
  const nextSeq = kind === 'event' ? seq + 1 : seq
  return { seq: nextSeq - 1, nextSeq }
}
