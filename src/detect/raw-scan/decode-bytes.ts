import { words } from '../../std/words.ts'
import { foldWidth } from '../payload/decode.ts'

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

const [NUL, HASH, PERCENT, AMPERSAND, PLUS, SEMICOLON, BACKSLASH] = [0, 35, 37, 38, 43, 59, 92]
const [SMALL_U, SMALL_X, OPENING_BRACE, CLOSING_BRACE] = [117, 120, 123, 125]
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

/**
 * What the scorer takes a look-alike for, by code point: one ASCII character, or two packed into one number, the first
 * times 256; 0 for what looks like nothing in ASCII. Curly double quotes are left out on purpose: prose quotes with
 * them, and an ASCII quote would be the beginning of a value.
 */
const LOOK_ALIKES = new Uint16Array(0x10000)
/** Blocks of Unicode in which look-alikes stand: to ask for every code point would cost a thread's start 10 ms. */
for (const [from, to] of [[0x2b0, 0x2ff], [0x2000, 0x30ff], [0xff00, 0xffef]] as const) {
  for (let point = from; point <= to; point++) {
    const plain = foldWidth(String.fromCharCode(point))
    if (plain.charCodeAt(0) >= 0x80 || plain === '"') continue
    LOOK_ALIKES[point] = plain.length === 1 ? plain.charCodeAt(0) : plain.charCodeAt(0) << 8 | plain.charCodeAt(1)
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
  return (value === 10 || value === 13) && !lineBreaksAreOrdinary ? SMUGGLED_BREAK : value
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
  const isControl = next === 110 || next === 114 || next === 116
  if (next === 34 || next === 39 || next === 47 || (hasControlEscapes && (next === 92 || isControl))) {
    cursor.at = at + 2
    return isControl ? next === 116 ? 9 : 10 : next
  }
  return 0
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

/** What `fold` does with a byte: 0 keeps it (in lower case), the rest is below. */
const FOLD = new Uint8Array(256)
const LOWER = new Uint8Array(256)
const [DROP, BLANK, BREAK, LOOK] = [1, 2, 3, 4]
for (let byte = 0; byte < 256; byte++) LOWER[byte] = byte >= 65 && byte <= 90 ? byte + 32 : byte
for (let byte = 0; byte < 32; byte++) FOLD[byte] = DROP
for (const byte of [9, PLUS_BLANK, 32]) FOLD[byte] = BLANK
for (const byte of [10, SMUGGLED_BREAK, 13]) FOLD[byte] = BREAK
FOLD[127] = DROP
// A comment's two characters, and the first bytes of a no-break space and of look-alikes in UTF-8.
for (const byte of [42, 47, 0xc2, 0xca, 0xe2, 0xe3, 0xef]) FOLD[byte] = LOOK

/** Characters of a comment that stands for a blank; a longer one is text. */
const COMMENT_CHARACTERS_MAX = 40
/** Letters, digits and `_ ! . - blank`: what comments that split words are made of, never a comment's own signs. */
const IN_COMMENT = new Uint8Array(256)
for (let byte = 48; byte <= 122; byte++) if (/\w/.test(String.fromCharCode(byte))) IN_COMMENT[byte] = 1
for (const byte of [32, 33, 46, 45]) IN_COMMENT[byte] = 1

/**
 * Lower case; runs of blanks and SQL comments as one blank (a line break where the run holds one); control characters
 * gone; look-alikes as ASCII. The number of bytes written.
 */
export function fold (source: Uint8Array, length: number, target: Uint8Array): number {
  let out = 0
  let pending = 0
  for (let at = 0; at < length; at++) {
    const byte = source[at] as number
    const kind = FOLD[byte] as number
    if (kind !== 0) {
      if (kind === DROP) continue
      if (kind === BLANK) {
        if (pending === 0) pending = 32
        continue
      }
      if (kind === BREAK) {
        if (pending !== SMUGGLED_BREAK) pending = byte === 13 ? 10 : byte
        continue
      }
      const next = at + 1 < length ? source[at + 1] as number : 0
      const skipped = byte < 128 ? commentAt(source, length, at, next) : byte === 0xc2 && next === 0xa0 ? 2 : 0
      if (skipped > 0) {
        at += skipped - 1
        if (pending === 0) pending = 32
        continue
      }
      const plain = byte < 128 ? 0 : lookAlikeAt(source, length, at)
      if (plain !== 0) {
        if (pending !== 0) { target[out++] = pending; pending = 0 }
        if (plain > 0xff) target[out++] = plain >> 8
        target[out++] = LOWER[plain & 0xff] as number
        at += byte < 0xe0 ? 1 : 2
        continue
      }
    }
    if (pending !== 0) { target[out++] = pending; pending = 0 }
    target[out++] = LOWER[byte] as number
  }
  return out
}

/** What the character of two or three bytes of UTF-8 at `at` looks like, as in LOOK_ALIKES; 0 for none. */
function lookAlikeAt (source: Uint8Array, length: number, at: number): number {
  const lead = source[at] as number
  const middle = at + 1 < length ? source[at + 1] as number : 0
  if ((middle & 0xc0) !== 0x80) return 0
  if (lead < 0xe0) return LOOK_ALIKES[(lead & 0x1f) << 6 | middle & 0x3f] as number
  const last = at + 2 < length ? source[at + 2] as number : 0
  if ((last & 0xc0) !== 0x80) return 0
  return LOOK_ALIKES[(lead & 0x0f) << 12 | (middle & 0x3f) << 6 | last & 0x3f] as number
}

/** The bytes of the comment at `at` that stand for a blank, or 0. */
function commentAt (source: Uint8Array, length: number, at: number, next: number): number {
  if (source[at] === 42) return next === 47 ? 2 : 0
  if (next !== 42) return 0
  let end = at + 2
  if (source[end] === 33) {
    // MySQL runs what stands in `/*!50000 ... */`: only its frame is a blank.
    for (end++; end < length && end < at + 9 && HEX[source[end] as number] as number >= 0 &&
      (source[end] as number) < 58;) end++
    return end - at
  }
  const endMax = Math.min(length - 1, end + COMMENT_CHARACTERS_MAX)
  while (end < endMax && IN_COMMENT[source[end] as number] === 1) end++
  return source[end] === 42 && source[end + 1] === 47 && end < length - 1 ? end + 2 - at : 0
}
