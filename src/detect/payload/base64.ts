/**
 * Base64 and hex in a value: whole, wrapped, behind a prefix (`v=`, `Basic `, `data:...;base64,`), in a segment of a
 * path, with an alphabet for URLs, with its `+` lost to blanks, or with characters between that lenient decoders pass
 * over. Text that decodes to nothing readable is an id and says nothing. Linear and total.
 */
import { isUtf8 } from 'node:buffer'
import { FILE_TEXT_CHARACTERS_MIN } from './bounds.ts'
import { CHAR, scan, seen } from './characters.ts'
import { MARKERS, READABLE_SHARE_MIN, beginsAsFile, isMostlyReadable, isReadable, readFile } from './files.ts'

/** Shorter base64 holds five characters at most. */
export const ENCODED_CHARACTERS_MIN = 8
/** Among other text only runs of this length are tried; alone or in one segment, shorter ones are. */
export const RUN_CHARACTERS_MIN = 16
/** Twelve bytes of readable ASCII in a row, which ids hold once in a hundred thousand. */
const PIECE_BYTES_MIN = 12
/** Blanks may be a lost `+`, and line breaks a wrap. */
const OTHER = -1
const BLANK = -2
const PAD = -3

/** The six bits of a letter of either alphabet, or what else it is. */
const BITS = new Int8Array(128).fill(OTHER)
for (let at = 0; at < 26; at++) { BITS[65 + at] = at; BITS[97 + at] = 26 + at }
for (let at = 0; at < 10; at++) BITS[48 + at] = 52 + at
BITS[43] = BITS[45] = 62
BITS[47] = BITS[95] = 63
BITS[32] = BITS[9] = BITS[10] = BITS[13] = BLANK
BITS[61] = PAD

/** The same where each blank is a `+` that a form took for one. */
const PLUS_BITS = BITS.slice()
PLUS_BITS[32] = 62

function bitsAt (text: string, at: number, alphabet = BITS): number {
  const code = text.charCodeAt(at)
  return code < 128 ? alphabet[code] as number : OTHER
}

/** A character that attacks are made of: short texts count only with one. */
export const TELLING = /['"<>`(){}$|;&*\\]|--|\.\.|=/

/** A quick no for words and ids of 8 to 15 letters: all bytes must be readable, the first three in base64. */
export function mayBeShortBase64 (text: string): boolean {
  return text.length >= ENCODED_CHARACTERS_MIN && text.length < RUN_CHARACTERS_MIN &&
    startsReadable(text, 0, 3) && (mayBeText(text) || HEX.test(text) || text.includes(' '))
}

function startsReadable (text: string, from: number, bytes: number, alphabet = BITS): boolean {
  let held = 0
  let bits = 0
  let left = bytes
  for (let at = from; at < text.length && left > 0; at++) {
    const six = bitsAt(text, at, alphabet)
    if (six < 0) continue
    held = (held << 6 | six) & 0xffff
    bits += 6
    if (bits < 8) continue
    bits -= 8
    const byte = held >> bits & 0xff
    // The first byte of a character in UTF-8, or its rest; half a character of UTF-16.
    if (byte < 0x80 ? !isReadable(byte) && byte !== 0 : byte > 0xf4) return false
    left--
  }
  return left === 0
}

interface EncodedText {
  text: string
  /**
   * `doubtful`: an id reads like this once in ten thousand, so that only an attack without another reading counts.
   * `file`: the bytes of a file of a known kind.
   */
  grade: 'text' | 'doubtful' | 'file'
}

/** The texts that a value holds in base64 or hex; none when it holds none. */
export function readEncoded (text: string): EncodedText[] {
  if (text.length < ENCODED_CHARACTERS_MIN) return NOTHING
  scan(text)
  const { characters, run } = seen
  const found: EncodedText[] = []
  const isWhole = isOfAlphabet(text, characters)
  if (isWhole) {
    // Padding ends a text, and `=` ends a name: what follows is a text of its own.
    if ((characters & CHAR.equals) !== 0 && INNER_PADDING.test(text)) return readPadded(text)
    const holds = text.length >= RUN_CHARACTERS_MIN && mayHoldText(text, 0, text.length)
    if (addWhole(found, text, characters, holds)) return found
    // All of it is one run, whose first letter the whole was read from.
    if (run === text.length) {
      if (holds) addRun(found, text, 1)
      if (run >= HEX_DIGITS_MIN) addHexRuns(found, text)
      return found
    }
  }
  if (run >= RUN_CHARACTERS_MIN) {
    const runs = runsOf(text)
    for (let at = 0; at < runs.length; at += 2) addRun(found, text.slice(runs[at], runs[at + 1]), 0)
    if (run >= HEX_DIGITS_MIN) addHexRuns(found, text)
  }
  // Signs between the letters, which lenient decoders pass over.
  if (!isWhole && startsReadable(text, 0, PIECE_BYTES_MIN)) addBeside(found, text)
  return found
}

const INNER_PADDING = /=\s*[A-Za-z0-9+/_-]/

function readPadded (text: string): EncodedText[] {
  const found: EncodedText[] = []
  for (const piece of text.split('=')) for (const one of readEncoded(piece)) found.push(one)
  if (startsReadable(text, 0, PIECE_BYTES_MIN)) addBeside(found, text)
  return found
}

/** Adds all letters as one text: beside others only where nothing in it is unreadable. */
function addBeside (found: EncodedText[], text: string): void {
  const all: EncodedText[] = []
  if (add(all, text) || found.length === 0) found.push(...all)
}

const NOTHING: EncodedText[] = []
const OF_ALPHABET = CHAR.plus | CHAR.slash | CHAR.dash
const BETWEEN_LETTERS = CHAR.equals | CHAR.space | CHAR.lineBreak
/** What is neither of an alphabet nor a blank nor padding. */
const OTHERS = /[^A-Za-z0-9+/_\-=\s]/
const NO_ALPHABET = /[^A-Za-z0-9+/_-]+/g

/** Nothing but the alphabet, blanks and padding. Blanks may be control characters, or beyond ASCII. */
function isOfAlphabet (text: string, characters: number): boolean {
  const others = characters & ~(OF_ALPHABET | BETWEEN_LETTERS)
  if ((others & ~(CHAR.control | CHAR.nonAscii)) !== 0) return false
  return others === 0 || !OTHERS.test(text)
}

/**
 * Letters with which a group of four begins where its first byte is readable, or a zero of UTF-16: of most words and
 * ids, few do.
 */
const BEGINS_READABLE = new Int8Array(128)
for (let code = 0; code < 128; code++) {
  const six = BITS[code] as number
  if (six < 0) BEGINS_READABLE[code] = OTHER
  else if ((six >= 8 && six <= 31) || six === 2 || six === 3 || six === 0) BEGINS_READABLE[code] = 1
}

/**
 * Starts and ends of runs of the alphabet that may hold text. A run holds every sixteenth character of the text at
 * least once, so that the others of most texts are never looked at.
 */
function runsOf (text: string): number[] {
  let runs = NO_RUNS
  let after = 0
  for (let at = RUN_CHARACTERS_MIN - 1; at < text.length;) {
    if (bitsAt(text, at) < 0) {
      at += RUN_CHARACTERS_MIN
      continue
    }
    let from = at
    while (from > after && bitsAt(text, from - 1) >= 0) from--
    let to = at + 1
    while (to < text.length && bitsAt(text, to) >= 0) to++
    if (to - from >= RUN_CHARACTERS_MIN && mayHoldText(text, from, to)) {
      if (runs === NO_RUNS) runs = []
      runs.push(from, to)
    }
    after = to
    at = to + RUN_CHARACTERS_MIN
  }
  return runs
}

const NO_RUNS: number[] = []

/** Four groups in a row that begin as text does, at any of the four places where groups may begin. */
function mayHoldText (text: string, from: number, to: number): boolean {
  let begins = 0
  for (let at = from; at < to; at++) {
    const code = text.charCodeAt(at)
    const begin = code < 128 ? BEGINS_READABLE[code] as number : OTHER
    if (begin === OTHER) continue
    begins = (begins << 1 | begin) & 0x1fff
    if ((begins & 0x1111) === 0x1111) return true
  }
  return false
}

/**
 * A value of nothing but the alphabet, blanks and padding: blanks are a wrap, or a `+` that a form took for one. True
 * where all of it is text, so that no other reading of its letters is.
 */
function addWhole (found: EncodedText[], text: string, characters: number, holds: boolean): boolean {
  if ((characters & ~(CHAR.space | CHAR.lineBreak)) === 0 && HEX.test(text)) addHex(found, text)
  const letters = countLetters(text, characters)
  let isText = false
  if (letters < RUN_CHARACTERS_MIN) {
    if (letters >= ENCODED_CHARACTERS_MIN && startsReadable(text, 0, 3)) add(found, text)
  } else if (holds || startsReadable(text, 0, PIECE_BYTES_MIN)) isText = add(found, text)
  if ((characters & CHAR.space) === 0) return isText
  const trimmed = text.trim()
  if (trimmed.includes(' ') && startsReadable(trimmed, 0, 3, PLUS_BITS)) {
    isText = add(found, trimmed, PLUS_BITS) || isText
  }
  return isText
}

function countLetters (text: string, characters: number): number {
  if ((characters & ~OF_ALPHABET) === 0) return text.length
  let count = 0
  for (let at = 0; at < text.length; at++) if (bitsAt(text, at) >= 0) count++
  return count
}

/** Adds what the letters in a text stand for. True where all of it is text. */
function add (found: EncodedText[], text: string, alphabet = BITS): boolean {
  if (!mayBeText(text, alphabet)) return false
  return addLetters(found, (alphabet === PLUS_BITS ? text.replaceAll(' ', '+') : text).replace(NO_ALPHABET, ''))
}

function addLetters (found: EncodedText[], letters: string): boolean {
  const bytes = Buffer.from(letters, 'base64')
  if (bytes.length < TEXT_BYTES_MIN) return false
  const text = textOf(bytes)
  if (text !== null) {
    if (letters.length < RUN_CHARACTERS_MIN && !TELLING.test(text)) return false
    found.push({ text, grade: letters.length < RUN_CHARACTERS_MIN ? 'doubtful' : 'text' })
    return true
  }
  if (bytes.length >= PIECE_BYTES_MIN) addPieces(found, bytes)
  return false
}

/**
 * A quick no for letters that stand for neither text nor bytes with text among them: most words do not, and this pass
 * makes no buffer of them. Says yes where there might be text, at times where there is none.
 */
function mayBeText (text: string, alphabet = BITS): boolean {
  if (text.length > SURVEYED_CHARACTERS_MAX) return true
  const isShort = text.length < RUN_CHARACTERS_MIN
  let held = 0
  let bits = 0
  let bytes = 0
  let readable = 0
  let run = 0
  /** The last three bytes. */
  let recent = 0
  /** Bytes that the character in UTF-8 still needs. */
  let rest = 0
  let isText = true
  let isMarked = false
  for (let at = 0; at < text.length; at++) {
    const six = bitsAt(text, at, alphabet)
    if (six < 0) continue
    held = (held << 6 | six) & 0xffff
    bits += 6
    if (bits < 8) continue
    bits -= 8
    const byte = held >> bits & 0xff
    bytes++
    recent = (recent << 8 | byte) & 0xffffff
    if (isReadable(byte)) {
      readable++
      if (++run >= FILE_TEXT_CHARACTERS_MIN) return true
      if (rest > 0) isText = false
    } else {
      // Text in UTF-16 has a zero in every second byte.
      if (byte !== 0 || (recent >> 8 & 0xff) === 0) run = 0
      if (byte < 0x80 || (byte < 0xc0) !== (rest > 0)) isText = false
      else rest = byte < 0xc0 ? rest - 1 : byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3
    }
    if (MARKS_BEGIN[recent >> 16] === 1 && MARKS.has(recent)) isMarked = true
    if (isShort && !isText && bytes >= 4) return false
  }
  if (isText && rest === 0) return bytes >= TEXT_BYTES_MIN
  return bytes >= PIECE_BYTES_MIN && (isMarked || readable >= bytes * READABLE_SHARE_MIN)
}

/** Longer letters are decoded at once, which costs less for each of them. */
const SURVEYED_CHARACTERS_MAX = 256

/** The first three bytes of each marker of code, and which bytes they begin with. */
const MARKS = new Set<number>()
const MARKS_BEGIN = new Uint8Array(256)
for (const marker of MARKERS) {
  MARKS.add(marker.charCodeAt(0) << 16 | marker.charCodeAt(1) << 8 | marker.charCodeAt(2))
  MARKS_BEGIN[marker.charCodeAt(0)] = 1
}

/**
 * A run among other text. What stands before it may be of the alphabet too (`/files/`, `v-`), so that its groups of
 * four may begin at any of four places.
 */
function addRun (found: EncodedText[], run: string, firstPhase: number): void {
  for (let phase = firstPhase; phase < 4; phase++) {
    if (!hasReadablePiece(run, phase, run.length)) continue
    const letters = run.slice(phase)
    // One text may stand before another one whose groups begin elsewhere.
    if (mayBeText(letters) && addLetters(found, letters)) return
  }
  if (run.includes('/')) addSegments(found, run)
}

/**
 * Segments of a path that are text as a whole, whatever stands before and after them. A long text may be cut into
 * several (as proxies for pictures do): those in a row are one where they are one text.
 */
function addSegments (found: EncodedText[], run: string): void {
  let row: string[] = []
  for (const segment of run.split('/')) {
    if (segment.length >= RUN_CHARACTERS_MIN && startsReadable(segment, 0, PIECE_BYTES_MIN)) row.push(segment)
    else if (row.length > 0) {
      addRow(found, row)
      row = []
    }
  }
  if (row.length > 0) addRow(found, row)
}

function addRow (found: EncodedText[], row: string[]): void {
  const all: EncodedText[] = []
  const isText = addLetters(all, row.join(''))
  if (isText) found.push(...all)
  if (isText || row.length === 1) return
  for (const segment of row) addRow(found, [segment])
}

function hasReadablePiece (text: string, from: number, to: number): boolean {
  let groups = 0
  for (let at = from; at + 3 < to; at += 4) {
    if (BEGINS_READABLE[text.charCodeAt(at)] !== 1) groups = 0
    else if (++groups >= 4 && startsReadable(text, at - 12, PIECE_BYTES_MIN)) return true
  }
  return false
}

/**
 * Text that stands among bytes: all of them where few are unreadable, since one before an attack must not hide it; of a
 * file, what files are read for. A piece that is too long to be chance is text as any other where it is most of the
 * bytes, or the end of them, behind letters that only look like base64 (a path, another text).
 */
function addPieces (found: EncodedText[], bytes: Buffer): void {
  const latin = withoutZeros(bytes)
  if (beginsAsFile(latin, true)) {
    found.push({ text: latin, grade: 'file' })
    return
  }
  const isMost = isMostlyReadable(latin)
  if (isMost) found.push({ text: latin, grade: 'doubtful' })
  const { marks, texts } = readFile(latin, false)
  if (!isMost) for (const text of marks) found.push({ text, grade: 'doubtful' })
  for (const text of texts) {
    if (isMost || latin.endsWith(text)) found.push({ text, grade: 'text' })
    else found.push({ text, grade: 'doubtful' })
  }
}

/** Bytes as Latin-1; text in UTF-16 among them loses its zeros. */
function withoutZeros (bytes: Buffer): string {
  const latin = bytes.toString('latin1')
  let zeros = 0
  for (const byte of bytes) if (byte === 0) zeros++
  return zeros > bytes.length / 4 && zeros <= bytes.length / 2 ? latin.replaceAll('\0', '') : latin
}

const TEXT_BYTES_MIN = 5

/** Bytes as text, or null where any of them is none. */
function textOf (bytes: Buffer): string | null {
  const text = isWide(bytes, 1) ? bytes.toString('utf16le') : isWide(bytes, 0) ? wideText(bytes) : narrowText(bytes)
  if (text === null) return null
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (!isReadable(code) && code < 0xa0) return null
  }
  return text
}

function narrowText (bytes: Buffer): string | null {
  return isUtf8(bytes) ? bytes.toString('utf8') : null
}

function wideText (bytes: Buffer): string {
  return Buffer.from(bytes.subarray(0, bytes.length & ~1)).swap16().toString('utf16le')
}

/**
 * True where every second byte from `from` on is a zero: ASCII in UTF-16. Other text in it has no zeros, and could as
 * well be two bytes of a narrow one.
 */
function isWide (bytes: Buffer, from: 0 | 1): boolean {
  if (bytes.length < 4) return false
  for (let at = from; at < bytes.length; at += 2) if (bytes[at] !== 0) return false
  return true
}

/** Digits of hex in pairs, which blanks may stand between. */
const HEX = /^(?:0x)?(?:[\da-f]{2}\s?){6,}$/i
/** Twelve bytes: among other text, shorter hex is a number or a part of an id. */
const HEX_DIGITS_MIN = 24

function addHex (found: EncodedText[], value: string): void {
  const digits = value.replace(/^0x/i, '').replace(/\s+/g, '')
  const text = hexText(digits)
  if (text === null) return
  if (digits.length >= HEX_DIGITS_MIN) found.push({ text, grade: 'text' })
  else if (TELLING.test(text)) found.push({ text, grade: 'doubtful' })
}

/** The text that hex digits stand for, or null where it is none. */
function hexText (digits: string): string | null {
  const bytes = Buffer.from(digits, 'hex')
  for (const byte of bytes) if (!isReadable(byte)) return null
  return bytes.toString('latin1')
}

/** Hex among other text. As in `runsOf`, most characters are never looked at. */
function addHexRuns (found: EncodedText[], text: string): void {
  let after = 0
  for (let at = HEX_DIGITS_MIN - 1; at < text.length;) {
    if (!isHexDigit(text, at)) {
      at += HEX_DIGITS_MIN
      continue
    }
    let from = at
    while (from > after && isHexDigit(text, from - 1)) from--
    let to = at + 1
    while (to < text.length && isHexDigit(text, to)) to++
    if (to - from >= HEX_DIGITS_MIN && to - from < text.length) {
      // A letter or a digit that stands before it may look like one of its own.
      const inner = hexText(text.slice(from + (to - from) % 2, to))
      if (inner !== null) found.push({ text: inner, grade: 'text' })
    }
    after = to
    at = to + HEX_DIGITS_MIN
  }
}

function isHexDigit (text: string, at: number): boolean {
  const code = text.charCodeAt(at)
  return (code >= 48 && code <= 57) || ((code | 32) >= 97 && (code | 32) <= 102)
}
