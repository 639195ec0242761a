import { words } from '../../std/words.ts'
import { LOOK_ALIKES } from './look-alikes.ts'

/**
 * Bytes as lenient readers would decode them, written from one buffer into another: percent signs, character
 * references, backslash escapes. Every function is one loop that never steps back further than it has looked ahead,
 * and none makes a text longer.
 */

/** How one pass reads: what its text is wrapped in. */
export interface DecodingPass {
  /** `+` is a blank: a query, or a form. */
  plusIsBlank: boolean
  /** A percent-encoded line break is the ordinary way to send one: the first pass over a form. */
  lineBreaksAreOrdinary: boolean
  /** `\n` and `\\` are escapes: the first pass over a body, which may be JSON, and over what stood in base64. */
  hasControlEscapes: boolean
}

/** Stands for a line break that was percent-encoded where a line break has no business. A blank to every pattern. */
export const SMUGGLED_BREAK = 11
/** Stands for a `+` that is read as a blank: base64 that lost its `+` so is still base64. A blank to every pattern. */
export const PLUS_BLANK = 12

const HEX = new Int8Array(256).fill(-1)
for (let digit = 0; digit < 10; digit++) HEX[48 + digit] = digit
for (let digit = 0; digit < 6; digit++) { HEX[65 + digit] = 10 + digit; HEX[97 + digit] = 10 + digit }

const [NUL, TAB, LINE_FEED, CARRIAGE_RETURN] = [0, 9, 10, 13]
const [QUOTE, HASH, PERCENT, AMPERSAND, APOSTROPHE, PLUS, SLASH, SEMICOLON] = [34, 35, 37, 38, 39, 43, 47, 59]
const [BACKSLASH, OPENING_BRACE, CLOSING_BRACE] = [92, 123, 125]
const [SMALL_N, SMALL_R, SMALL_T, SMALL_U, SMALL_X] = [110, 114, 116, 117, 120]
/** Makes an ASCII letter small. */
const SMALL = 32

/** 1 for the bytes that a pass must look at. */
const SPECIAL = new Uint8Array(256)
for (const byte of [NUL, PERCENT, AMPERSAND, PLUS, BACKSLASH]) SPECIAL[byte] = 1

/** References that attacks are written with: what each stands for, and its names in lower case. */
const NAMES: Record<string, string> = {
  '<': 'lt',
  '>': 'gt',
  '"': 'quot',
  "'": 'apos',
  '&': 'amp',
  '(': 'lpar',
  ')': 'rpar',
  ':': 'colon',
  '\t': 'tab',
  '\n': 'newline',
  '{': 'lbrace lcub',
  '}': 'rbrace rcub',
  $: 'dollar',
  '/': 'sol',
  '\\': 'bsol',
  '.': 'period',
  ',': 'comma',
  '=': 'equals',
  ' ': 'nbsp',
  ';': 'semi',
  '`': 'grave',
  '#': 'num',
  '!': 'excl',
  '[': 'lsqb',
  ']': 'rsqb',
  '%': 'percnt',
  '+': 'plus',
  _: 'lowbar',
  '*': 'ast',
  '@': 'commat',
  '?': 'quest',
  '|': 'verbar'
}
const NAME_CHARACTERS_MAX = 8
/** Characters by the hash of their names. */
const NAMED = new Map<number, number>()
for (const [character, names] of Object.entries(NAMES)) {
  for (const name of words(names)) {
    let hash = 0
    for (let at = 0; at < name.length; at++) hash = Math.imul(hash, 31) + name.charCodeAt(at) | 0
    NAMED.set(hash, character.charCodeAt(0))
  }
}

/** What a pass has written, and whether it found anything to decode. */
export interface Decoded { length: number, hasDecoded: boolean }

/** One object for all passes, so that none allocates; passes do not nest. */
const decoded: Decoded = { length: 0, hasDecoded: false }
/** Where the pass stands. */
const cursor = { at: 0 }

/**
 * Decodes `length` bytes of `source` into `target`, which is at least as long or the same buffer. What is returned
 * holds until the next call.
 */
export function decodePass (source: Uint8Array, length: number, target: Uint8Array, pass: DecodingPass): Decoded {
  let hasDecoded = false
  let out = 0
  for (let at = 0; at < length;) {
    const byte = source[at] as number
    if (SPECIAL[byte] === 0) {
      target[out++] = byte
      at++
      continue
    }
    if (byte === NUL) {
      // Text of two bytes a character is ASCII without its zeros.
      hasDecoded = true
      at++
      continue
    }
    cursor.at = at
    const code = decodedAt(source, length, byte, pass)
    if (cursor.at === at) {
      target[out++] = byte
      at++
      continue
    }
    hasDecoded = true
    // An escaped NUL goes like a raw one. Two characters come in one number; an escape is longer than both.
    if (code > 0xff) target[out++] = code >> 8
    if (code !== NUL) target[out++] = code & 0xff
    at = cursor.at
  }
  decoded.length = out
  decoded.hasDecoded = hasDecoded
  return decoded
}

/**
 * The byte that the escape at the cursor stands for, or two, packed; the cursor moves behind it, or stays where there
 * is none.
 */
function decodedAt (source: Uint8Array, length: number, byte: number, pass: DecodingPass): number {
  if (byte === PERCENT) return percentAt(source, length, pass.lineBreaksAreOrdinary)
  if (byte === AMPERSAND) return referenceAt(source, length)
  if (byte === BACKSLASH) return escapeAt(source, length, pass.hasControlEscapes)
  if (!pass.plusIsBlank) return byte
  cursor.at++
  return PLUS_BLANK
}

/** `count` hex digits at `at`, or -1. */
function hexNumber (source: Uint8Array, length: number, at: number, count: number): number {
  if (at + count > length) return -1
  let number = 0
  for (let step = 0; step < count; step++) {
    const digit = HEX[source[at + step] as number] as number
    if (digit < 0) return -1
    number = number * 16 + digit
  }
  return number
}

function percentAt (source: Uint8Array, length: number, lineBreaksAreOrdinary: boolean): number {
  const at = cursor.at
  if (at + 1 < length && ((source[at + 1] as number) | SMALL) === SMALL_U) {
    const point = hexNumber(source, length, at + 2, 4)
    if (point < 0) return 0
    cursor.at = at + 6
    return byteOf(point)
  }
  const value = hexNumber(source, length, at + 1, 2)
  if (value < 0) return 0
  cursor.at = at + 3
  // Overlong UTF-8 of ASCII (`%c0%ae` for a dot), which a lax decoder accepts.
  if ((value === 0xc0 || value === 0xc1) && source[at + 3] === PERCENT) {
    const next = hexNumber(source, length, at + 4, 2)
    if (next >= 0x80 && next < 0xc0) {
      cursor.at = at + 6
      return (value & 1) << 6 | next & 0x3f
    }
  }
  return (value === LINE_FEED || value === CARRIAGE_RETURN) && !lineBreaksAreOrdinary ? SMUGGLED_BREAK : value
}

function referenceAt (source: Uint8Array, length: number): number {
  const at = cursor.at
  if (source[at + 1] === HASH && at + 2 < length) return numericReferenceAt(source, length)
  let hash = 0
  let end = at + 1
  const endMax = Math.min(length, at + 1 + NAME_CHARACTERS_MAX)
  for (; end < endMax; end++) {
    const letter = (source[end] as number) | SMALL
    if (letter < 97 || letter > 122) break
    hash = Math.imul(hash, 31) + letter | 0
  }
  if (end >= length || source[end] !== SEMICOLON) return 0
  const code = NAMED.get(hash)
  if (code === undefined) return 0
  cursor.at = end + 1
  return code
}

function numericReferenceAt (source: Uint8Array, length: number): number {
  const at = cursor.at
  const hex = ((source[at + 2] as number) | SMALL) === SMALL_X
  const first = at + (hex ? 3 : 2)
  let point = 0
  let end = first
  for (const endMax = Math.min(length, first + 8); end < endMax; end++) {
    const digit = HEX[source[end] as number] as number
    if (digit < 0 || (!hex && digit > 9)) break
    point = point * (hex ? 16 : 10) + digit
  }
  if (end === first) return 0
  cursor.at = source[end] === SEMICOLON ? end + 1 : end
  return byteOf(point)
}

/** Quotes, backslashes and what a JSON string may be written with. */
function escapeAt (source: Uint8Array, length: number, hasControlEscapes: boolean): number {
  const at = cursor.at
  if (at + 1 >= length) return 0
  const next = source[at + 1] as number
  if ((next | SMALL) === SMALL_U) {
    if (source[at + 2] === OPENING_BRACE) return bracedEscapeAt(source, length)
    const point = hexNumber(source, length, at + 2, 4)
    if (point < 0) return 0
    cursor.at = at + 6
    return byteOf(point)
  }
  if ((next | SMALL) === SMALL_X) {
    const point = hexNumber(source, length, at + 2, 2)
    if (point < 0) return 0
    cursor.at = at + 4
    return point
  }
  if (next === QUOTE || next === APOSTROPHE || next === SLASH) {
    cursor.at = at + 2
    return next
  }
  const control = hasControlEscapes ? controlOf(next) : NUL
  if (control !== NUL) cursor.at = at + 2
  return control
}

/** What a letter or a backslash stands for behind a backslash; NUL for any other byte. */
function controlOf (byte: number): number {
  if (byte === SMALL_N || byte === SMALL_R) return LINE_FEED
  if (byte === SMALL_T) return TAB
  return byte === BACKSLASH ? BACKSLASH : NUL
}

function bracedEscapeAt (source: Uint8Array, length: number): number {
  const first = cursor.at + 3
  let point = 0
  let end = first
  for (const endMax = Math.min(length, first + 8); end < endMax; end++) {
    const digit = HEX[source[end] as number] as number
    if (digit < 0) break
    point = point * 16 + digit
  }
  if (end === first || source[end] !== CLOSING_BRACE) return 0
  cursor.at = end + 1
  return byteOf(point)
}

/** A code point as one byte, or as two, packed: look-alikes as ASCII, others beyond Latin-1 as no letter at all. */
function byteOf (point: number): number {
  if (point >= LOOK_ALIKES.length) return 0xff
  return LOOK_ALIKES[point] as number || Math.min(point, 0xff)
}
