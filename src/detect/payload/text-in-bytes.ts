import { SHORT_BYTES_MAX } from './bounds.ts'
import type { PlaceKind } from './findings.ts'
import { inspectValue } from './inspection.ts'
import type { Inspection } from './inspection.ts'

/**
 * Bytes that reach a handler as a text, not as a file: control characters before an attack or between its words keep
 * nobody from using it. Text is given byte by byte (Latin-1), or decoded. Linear.
 */
export function inspectTextInBytes (
  inspection: Inspection,
  kind: PlaceKind,
  place: string,
  bytes: string,
  field: string
): void {
  // Text in UTF-16 that is read byte by byte.
  const text = bytes.replaceAll('\0', '')
  if (isPadded(text)) return inspectValue(inspection, kind, place, text.replace(CONTROLS, ' ').trim(), field, 0)
  inspectCertain(inspection, kind, place, bytes, field)
}

/**
 * The same for bytes that may as well be compressed: short pieces of text come about among them by chance, so only what
 * has no other reading counts, and in many bytes only longer pieces (of random ones, one body in 500 were accused).
 */
export function inspectCertain (
  inspection: Inspection,
  kind: PlaceKind,
  place: string,
  bytes: string,
  field: string
): void {
  const text = bytes.replaceAll('\0', '')
  const pieces = piecesOf(text, text.length > SHORT_BYTES_MAX ? LONG_PIECE_CHARACTERS : PIECE_CHARACTERS)
  if (pieces.length === 0) return
  const before = inspection.findings.length
  inspectValue(inspection, kind, place, pieces.join(' '), field, 0)
  const found = inspection.findings.splice(before)
  inspection.findings.push(...found.filter(({ grade }) => grade === 'certain'))
}

const CONTROLS = /[\u0001-\u0008\u000b\u000c\u000e-\u001f\u007f]+/g
const PIECE_CHARACTERS = 5
const LONG_PIECE_CHARACTERS = 8

/** Pieces of ASCII text, of n characters at least: each holds an n-th character, so most others are not looked at. */
function piecesOf (text: string, least: number): string[] {
  const pieces: string[] = []
  let after = 0
  for (let at = least - 1; at < text.length; at += least) {
    if (!isText(text.charCodeAt(at))) continue
    let from = at
    while (from > after && isText(text.charCodeAt(from - 1))) from--
    let to = at + 1
    while (to < text.length && isText(text.charCodeAt(to))) to++
    if (to - from >= least) pieces.push(text.slice(from, to))
    after = at = to
  }
  return pieces
}

/** The blanks of SQL are text too: a vertical tab and a form feed. */
function isText (code: number): boolean {
  return (code > 31 && code < 127) || (code > 8 && code < 14)
}

/**
 * Text with control characters in it: of the first bytes that are no ASCII text, at most one in four is beyond ASCII.
 * Half of all bytes of a compressed file are.
 */
function isPadded (text: string): boolean {
  let controls = 0
  let beyond = 0
  const length = Math.min(text.length, SHORT_BYTES_MAX)
  for (let at = 0; at < length; at++) {
    const code = text.charCodeAt(at)
    if (code > 127 && (code < 256 || code === 0xfffd)) beyond++
    else if (code < 9 || (code > 13 && code < 32) || code === 127) controls++
  }
  return beyond * 3 <= controls
}
