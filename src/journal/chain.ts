import { hash } from 'node:crypto'

/**
 * The hash chain, as pure functions over text and bytes.
 *
 * A segment is a text file of lines: `{"hash":H,"prevHash":P,"kind":K,"seq":S,...}`. H is the SHA-256 of
 * every byte of its line behind it, and P is the H of the line before, so an edit shows at its own line and a
 * swap or a cut at the next. Bytes are hashed, never a re-serialised object: two spellings of one JSON value
 * must not both verify.
 */
export const GENESIS = '0'.repeat(64)

/**
 * open: first line of a segment. event: one AuditEvent. close: last line of a process's last segment.
 * `seq` of open and close is that of the next event.
 */
type LineKind = 'open' | 'event' | 'close'

/**
 * Why a segment was begun. Behind `error` the segment before may hold lines that were never acknowledged:
 * they do not count.
 */
export type OpenReason = 'start' | 'rotate' | 'error'

export interface Line { hash: string, prevHash: string, kind: LineKind, seq: number, [key: string]: unknown }

const HEAD = Buffer.from('{"hash":"')
const HASH_END = HEAD.length + 64
/** Where the hashed bytes of a line begin. */
const BODY = HASH_END + 2

/** `fields` is JSON text of further members, without braces and not empty. Returns the line with its newline. */
export function encodeLine (
  prevHash: string,
  kind: LineKind,
  seq: number,
  fields: string
): { hash: string, text: string } {
  const body = `"prevHash":"${prevHash}","kind":"${kind}","seq":${seq},${fields}}`
  const digest = hash('sha256', body)
  return { hash: digest, text: `{"hash":"${digest}",${body}\n` }
}

/** The line at [start, end), newline excluded, or what is wrong with it. */
export function decodeLine (bytes: Buffer, start: number, end: number): Line | string {
  if (end - start < BODY + 2 || HEAD.compare(bytes, start, start + HEAD.length) !== 0) return 'the line is no record'
  const digest = bytes.toString('latin1', start + HEAD.length, start + HASH_END)
  if (bytes[start + HASH_END] !== 0x22 || bytes[start + HASH_END + 1] !== 0x2c) return 'the line is no record'
  if (hash('sha256', bytes.subarray(start + BODY, end)) !== digest) return 'the record is not what was hashed'
  try {
    return JSON.parse(bytes.toString('utf8', start, end)) as Line
  } catch {
    return 'the record is no JSON'
  }
}

/**
 * Whole lines of a segment as [start, end) pairs; `tornAt` is where an unfinished last line begins, else the
 * length.
 */
export function splitLines (bytes: Buffer): { spans: Array<[start: number, end: number]>, tornAt: number } {
  const spans: Array<[number, number]> = []
  let start = 0
  for (;;) {
    const end = bytes.indexOf(0x0a, start)
    if (end < 0) return { spans, tornAt: start }
    spans.push([start, end])
    start = end + 1
  }
}

/** Longer than any record: 1 MiB of text at most, in three bytes a letter, with what stands around it. */
const RECORD_BYTES_MAX = 4 * 1_048_576

/** True for what a writer that died may leave behind its last line: the beginning of one record, or nothing. */
export function isTornRecord (bytes: Buffer): boolean {
  return isUnfinished(bytes, HEAD, RECORD_BYTES_MAX)
}

/** The beginning of one line that starts with `head`; after a power cut some file systems show zeros in its place. */
export function isUnfinished (bytes: Buffer, head: Buffer, bytesMax: number): boolean {
  const length = Math.min(head.length, bytes.length)
  if (bytes.length > bytesMax) return false
  return head.compare(bytes, 0, length, 0, length) === 0 || bytes.every((byte) => byte === 0)
}
