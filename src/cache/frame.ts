/**
 * One answer as bytes in Redis: the length of a header, the header (JSON), the body as it is. Pure.
 *
 * What comes back is untrusted in shape: another version of ours may have written it, or a stranger with access to
 * Redis. What does not parse is no answer.
 */
import type { Json } from '../std/json.ts'
import { FRESH_MS_MAX, REFERENCES_MAX, STALE_MS_MAX } from './bounds.ts'

export interface Frame {
  /** By Redis' clock, microseconds: when the computation had not begun yet. */
  asOfMicros: number
  /** Of Redis, when that was its time. */
  run: string
  freshForMs: number
  staleForMs: number
  references: readonly string[]
  /** What the owner of the values keeps beside the body. */
  about: Json
  body: Uint8Array
}

/** 256 references and what is said about the body take a tenth of it. */
const HEADER_BYTES_MAX = 256 * 1024
const LENGTH_BYTES = 4

export function writeFrame ({ body, ...header }: Frame): Buffer {
  const text = Buffer.from(JSON.stringify(header))
  const length = Buffer.alloc(LENGTH_BYTES)
  length.writeUInt32BE(text.length)
  return Buffer.concat([length, text, body])
}

/** The body is a copy of its own: a part of what the socket delivered would keep all of that alive. */
export function readFrame (bytes: Buffer): Frame | null {
  const header = readHeader(bytes)
  if (header === null) return null
  const from = LENGTH_BYTES + bytes.readUInt32BE()
  const body = Buffer.allocUnsafeSlow(bytes.length - from)
  bytes.copy(body, 0, from)
  return { ...header, body }
}

function readHeader (bytes: Buffer): Omit<Frame, 'body'> | null {
  if (bytes.length < LENGTH_BYTES) return null
  const length = bytes.readUInt32BE()
  if (length > HEADER_BYTES_MAX || LENGTH_BYTES + length > bytes.length) return null
  let header: unknown
  try {
    header = JSON.parse(bytes.toString('utf8', LENGTH_BYTES, LENGTH_BYTES + length))
  } catch {
    return null
  }
  return isHeader(header) ? header : null
}

function isHeader (value: unknown): value is Omit<Frame, 'body'> {
  if (typeof value !== 'object' || value === null) return false
  const { asOfMicros, run, freshForMs, staleForMs, references, about } = value as Partial<Record<keyof Frame, unknown>>
  return Number.isSafeInteger(asOfMicros) && typeof run === 'string' &&
    isWithin(freshForMs, FRESH_MS_MAX) && isWithin(staleForMs, STALE_MS_MAX) &&
    Array.isArray(references) && references.length <= REFERENCES_MAX &&
    references.every((reference) => typeof reference === 'string') && about !== undefined
}

function isWithin (ms: unknown, max: number): boolean {
  return typeof ms === 'number' && ms >= 0 && ms <= max
}
