/**
 * Bytes as lenient readers would decode them, written from one buffer into another: percent signs, character
 * references, backslash escapes. Every function is one loop that never steps back further than it has looked ahead,
 * and none makes a text longer.
 */

/** How one pass reads: what its text is wrapped in. */
interface DecodingPass {
  /** `+` is a blank: a query, or a form. */
  plusIsBlank: boolean
  /** A percent-encoded line break is the ordinary way to send one: the first pass over a form. */
  lineBreaksAreOrdinary: boolean
  /** `\n` and `\\` are escapes: the first pass over a body, which may be JSON. */
  hasControlEscapes: boolean
}

/** Stands for a line break that was percent-encoded where a line break has no business. A blank to every pattern. */
export const SMUGGLED_BREAK = 11
/** Stands for a `+` that is read as a blank: base64 that lost its `+` so is still base64. A blank to every pattern. */
export const PLUS_BLANK = 12

const HEX = new Int8Array(256).fill(-1)
for (let digit = 0; digit < 10; digit++) HEX[48 + digit] = digit
for (let digit = 0; digit < 6; digit++) { HEX[65 + digit] = 10 + digit; HEX[97 + digit] = 10 + digit }

/** 1 for the bytes that a pass must look at: NUL, `%`, `&`, `+` and the backslash. */
const SPECIAL = new Uint8Array(256)
for (const byte of [0, 37, 38, 43, 92]) SPECIAL[byte] = 1

/** Named references that attacks are written with, by the hash of their name in lower case. */
const NAMED = new Map<number, number>()
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
  '{': 'lbrace',
  '}': 'rbrace',
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
  '[': 'lsqb',
  ']': 'rsqb',
  '%': 'percnt',
  _: 'lowbar',
  '*': 'ast',
  '|': 'verbar'
}
const NAME_CHARACTERS_MAX = 8
for (const [character, name] of Object.entries(NAMES)) {
  let hash = 0
  for (let at = 0; at < name.length; at++) hash = Math.imul(hash, 31) + name.charCodeAt(at) | 0
  NAMED.set(hash, character.charCodeAt(0))
}

/** Where one pass stands. One object for all passes, so that none allocates; passes do not nest. */
const cursor = { at: 0, changed: false }

/** True when the last `decodePass` found anything to decode. */
export function hasDecoded (): boolean {
  return cursor.changed
}

/**
 * Decodes `length` bytes of `source` into `target`, which is at least as long or the same buffer. The number of bytes
 * written.
 */
export function decodePass (source: Uint8Array, length: number, target: Uint8Array, pass: DecodingPass): number {
  cursor.changed = false
  let out = 0
  for (let at = 0; at < length;) {
    const byte = source[at] as number
    if (SPECIAL[byte] === 0) {
      target[out++] = byte
      at++
      continue
    }
    if (byte === 0) {
      // Text of two bytes a character is ASCII without its zeros.
      cursor.changed = true
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
    cursor.changed = true
    if (code !== 0) target[out++] = code
    at = cursor.at
  }
  return out
}

/** The byte that the escape at the cursor stands for; the cursor moves behind it, or stays where there is none. */
function decodedAt (source: Uint8Array, length: number, byte: number, pass: DecodingPass): number {
  if (byte === 37) return percentAt(source, length, pass.lineBreaksAreOrdinary)
  if (byte === 38) return referenceAt(source, length)
  if (byte === 92) return escapeAt(source, length, pass.hasControlEscapes)
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
  if (at + 1 < length && ((source[at + 1] as number) | 32) === 117) {
    const point = hexNumber(source, length, at + 2, 4)
    if (point < 0) return 0
    cursor.at = at + 6
    return byteOf(point)
  }
  const value = hexNumber(source, length, at + 1, 2)
  if (value < 0) return 0
  cursor.at = at + 3
  // Overlong UTF-8 of ASCII (`%c0%ae` for a dot), which a lax decoder accepts.
  if ((value === 0xc0 || value === 0xc1) && source[at + 3] === 37) {
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
  if (source[at + 1] === 35 && at + 2 < length) return numericReferenceAt(source, length)
  let hash = 0
  let end = at + 1
  const endMax = Math.min(length, at + 1 + NAME_CHARACTERS_MAX)
  for (; end < endMax; end++) {
    const letter = (source[end] as number) | 32
    if (letter < 97 || letter > 122) break
    hash = Math.imul(hash, 31) + letter | 0
  }
  if (end >= length || source[end] !== 59) return 0
  const code = NAMED.get(hash)
  if (code === undefined) return 0
  cursor.at = end + 1
  return code
}

function numericReferenceAt (source: Uint8Array, length: number): number {
  const at = cursor.at
  const hex = ((source[at + 2] as number) | 32) === 120
  const first = at + (hex ? 3 : 2)
  let point = 0
  let end = first
  for (const endMax = Math.min(length, first + 8); end < endMax; end++) {
    const digit = HEX[source[end] as number] as number
    if (digit < 0 || (!hex && digit > 9)) break
    point = point * (hex ? 16 : 10) + digit
  }
  if (end === first) return 0
  cursor.at = source[end] === 59 ? end + 1 : end
  return byteOf(point)
}

/** Quotes, backslashes and what a JSON string may be written with. */
function escapeAt (source: Uint8Array, length: number, hasControlEscapes: boolean): number {
  const at = cursor.at
  if (at + 1 >= length) return 0
  const next = source[at + 1] as number
  if (next === 117 || next === 85) {
    if (source[at + 2] === 123) return bracedEscapeAt(source, length)
    const point = hexNumber(source, length, at + 2, 4)
    if (point < 0) return 0
    cursor.at = at + 6
    return byteOf(point)
  }
  if (next === 120 || next === 88) {
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
  if (end === first || source[end] !== 125) return 0
  cursor.at = end + 1
  return byteOf(point)
}

/** A code point as one byte: fullwidth ASCII as ASCII, slashes as what they look like, others as no letter at all. */
function byteOf (point: number): number {
  if (point < 256) return point
  if (point >= 0xff01 && point <= 0xff5e) return point - 0xfee0
  if (point === 0x2215 || point === 0x2044) return 47
  if (point === 0x2216) return 92
  return 0xff
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
// A comment's two characters, the first bytes of a no-break space, of curly quotes and of fullwidth letters.
for (const byte of [42, 47, 0xc2, 0xe2, 0xef]) FOLD[byte] = LOOK

/** Characters of a comment that stands for a blank; a longer one is text. */
const COMMENT_CHARACTERS_MAX = 40
/** Letters, digits and `_ ! . - blank`: what comments that split words are made of, never a comment's own signs. */
const IN_COMMENT = new Uint8Array(256)
for (let byte = 48; byte <= 122; byte++) if (/\w/.test(String.fromCharCode(byte))) IN_COMMENT[byte] = 1
for (const byte of [32, 33, 46, 45]) IN_COMMENT[byte] = 1

/**
 * Lower case; runs of blanks and SQL comments as one blank (a line break where the run holds one); control characters
 * gone; curly quotes and fullwidth letters as ASCII. The number of bytes written.
 */
export function fold (source: Uint8Array, length: number, target: Uint8Array): number {
  let out = 0
  let pending = 0
  for (let at = 0; at < length; at++) {
    let byte = source[at] as number
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
      if (byte === 0xe2 && next === 0x80 && ((source[at + 2] as number) & 0xfe) === 0x98) {
        byte = 39
        at += 2
      } else if (byte === 0xef && at + 2 < length && (next === 0xbc || next === 0xbd)) {
        const last = source[at + 2] as number
        const code = next === 0xbc ? last - 0x60 : last - 0x20
        if (code > 32 && code < 127) { byte = code; at += 2 }
      }
    }
    if (pending !== 0) { target[out++] = pending; pending = 0 }
    target[out++] = LOWER[byte] as number
  }
  return out
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
