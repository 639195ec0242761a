import { PLUS_BLANK, SMUGGLED_BREAK } from './decode-bytes.ts'
import { LOOK_ALIKES } from './look-alikes.ts'

const [TAB, LINE_FEED, CARRIAGE_RETURN, SPACE, EXCLAMATION, ASTERISK, SLASH] = [9, 10, 13, 32, 33, 42, 47]

/** What `fold` does with a byte: 0 keeps it (in lower case), the rest is below. */
const FOLD = new Uint8Array(256)
const LOWER = new Uint8Array(256)
const [DROP, BLANK, BREAK, LOOK] = [1, 2, 3, 4]
for (let byte = 0; byte < 256; byte++) LOWER[byte] = byte >= 65 && byte <= 90 ? byte + 32 : byte
for (let byte = 0; byte < 32; byte++) FOLD[byte] = DROP
for (const byte of [TAB, PLUS_BLANK, SPACE]) FOLD[byte] = BLANK
for (const byte of [LINE_FEED, SMUGGLED_BREAK, CARRIAGE_RETURN]) FOLD[byte] = BREAK
FOLD[127] = DROP
// A comment's two characters, and the first bytes of a no-break space and of look-alikes in UTF-8.
for (const byte of [ASTERISK, SLASH, 0xc2, 0xca, 0xe2, 0xe3, 0xef]) FOLD[byte] = LOOK

/** Characters of a comment that stands for a blank; a longer one is text. */
const COMMENT_CHARACTERS_MAX = 40
/** Digits of the version in `/*!50000`. */
const VERSION_DIGITS_MAX = 6
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
        if (pending === 0) pending = SPACE
        continue
      }
      if (kind === BREAK) {
        if (pending !== SMUGGLED_BREAK) pending = byte === CARRIAGE_RETURN ? LINE_FEED : byte
        continue
      }
      const next = at + 1 < length ? source[at + 1] as number : 0
      const skipped = byte < 128 ? commentAt(source, length, at, next) : byte === 0xc2 && next === 0xa0 ? 2 : 0
      if (skipped > 0) {
        at += skipped - 1
        if (pending === 0) pending = SPACE
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
  if (source[at] === ASTERISK) return next === SLASH ? 2 : 0
  if (next !== ASTERISK) return 0
  let end = at + 2
  if (source[end] === EXCLAMATION) {
    // MySQL runs what stands in `/*!50000 ... */`: only its frame is a blank.
    const versionEndMax = Math.min(length, at + 3 + VERSION_DIGITS_MAX)
    end++
    while (end < versionEndMax && isDigit(source[end] as number)) end++
    return end - at
  }
  const endMax = Math.min(length - 1, end + COMMENT_CHARACTERS_MAX)
  while (end < endMax && IN_COMMENT[source[end] as number] === 1) end++
  return source[end] === ASTERISK && source[end + 1] === SLASH && end < length - 1 ? end + 2 - at : 0
}

function isDigit (byte: number): boolean {
  return byte >= 48 && byte <= 57
}
