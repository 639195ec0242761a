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

/** Short texts count only with a character that attacks are made of. */
const TELLING = /['"<>`(){}$|;&*\\]|--|\.\.|=/

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
  /** An id reads like this once in ten thousand: only an attack without another reading counts. */
  doubtful: boolean
}

/** The texts that a value holds in base64 or hex; none when it holds none. */
export function readEncoded (text: string): EncodedText[] {
  if (text.length < ENCODED_CHARACTERS_MIN) return NOTHING
  scan(text)
  const { characters, run } = seen
  const found: EncodedText[] = []
  const isWhole = isOfAlphabet(text, characters)
  if (isWhole) {
    const holds = text.length >= RUN_CHARACTERS_MIN && mayHoldText(text, 0, text.length)
    addWhole(found, text, characters, holds)
    if (found.length > 0) return found
    // All of it is one run, whose first letter the whole was read from.
    if (run === text.length) {
      if (holds) addRun(found, text, 1)
      return found
    }
  }
  if (run >= RUN_CHARACTERS_MIN) {
    const runs = runsOf(text)
    for (let at = 0; at < runs.length; at += 2) addRun(found, text.slice(runs[at], runs[at + 1]), 0)
  }
  // Signs between the letters, which lenient decoders pass over.
  if (!isWhole && found.length === 0 && startsReadable(text, 0, PIECE_BYTES_MIN)) add(found, text)
  return found
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

/** Letters with which a group of four begins where its first byte is readable: of most words and ids, few do. */
const BEGINS_READABLE = new Int8Array(128)
for (let code = 0; code < 128; code++) {
  const six = BITS[code] as number
  if (six < 0) BEGINS_READABLE[code] = OTHER
  else if ((six >= 8 && six <= 31) || six === 2 || six === 3) BEGINS_READABLE[code] = 1
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

/** A value of nothing but the alphabet, blanks and padding: blanks are a wrap, or a `+` that a form took for one. */
function addWhole (found: EncodedText[], text: string, characters: number, holds: boolean): void {
  if (characters === 0 && HEX.test(text)) addHex(found, text)
  const letters = countLetters(text, characters)
  if (letters < RUN_CHARACTERS_MIN) {
    if (letters >= ENCODED_CHARACTERS_MIN && startsReadable(text, 0, 3)) add(found, text)
  } else if (holds || startsReadable(text, 0, PIECE_BYTES_MIN)) add(found, text)
  if ((characters & CHAR.space) === 0) return
  const trimmed = text.trim()
  if (trimmed.includes(' ') && startsReadable(trimmed, 0, 3, PLUS_BITS)) add(found, trimmed, PLUS_BITS)
}

function countLetters (text: string, characters: number): number {
  if ((characters & ~OF_ALPHABET) === 0) return text.length
  let count = 0
  for (let at = 0; at < text.length; at++) if (bitsAt(text, at) >= 0) count++
  return count
}

/** Adds what the letters in a text stand for. */
function add (found: EncodedText[], text: string, alphabet = BITS): void {
  if (!mayBeText(text, alphabet)) return
  addLetters(found, (alphabet === PLUS_BITS ? text.replaceAll(' ', '+') : text).replace(NO_ALPHABET, ''))
}

function addLetters (found: EncodedText[], letters: string): void {
  const bytes = Buffer.from(letters, 'base64')
  if (bytes.length < TEXT_BYTES_MIN) return
  const text = textOf(bytes)
  if (text !== null && letters.length >= RUN_CHARACTERS_MIN) found.push({ text, doubtful: false })
  else if (text !== null && TELLING.test(text)) found.push({ text, doubtful: true })
  else if (text === null && bytes.length >= PIECE_BYTES_MIN) addPieces(found, bytes.toString('latin1'))
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
  let zeros = 0
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
      run = 0
      // Text in UTF-16 has a zero in every second byte.
      if (byte === 0 && (bytes === 2 || bytes === 4) && ++zeros === 2) return true
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
    const before = found.length
    if (mayBeText(letters)) addLetters(found, letters)
    if (found.length > before) return
  }
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
 * file, nothing but what a file is read for.
 */
function addPieces (found: EncodedText[], bytes: string): void {
  if (isMostlyReadable(bytes)) {
    found.push({ text: bytes, doubtful: true })
    return
  }
  const { marks, texts } = readFile(bytes)
  for (const text of marks) found.push({ text, doubtful: true })
  if (!beginsAsFile(bytes, true)) for (const text of texts) found.push({ text, doubtful: true })
}

const TEXT_BYTES_MIN = 5

/** Bytes as text, or null where any of them is none. */
function textOf (bytes: Buffer): string | null {
  const isWide = bytes[1] === 0 && bytes[3] === 0
  if (!isWide && !isUtf8(bytes)) return null
  const text = isWide ? bytes.toString('utf16le') : bytes.toString('utf8')
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (!isReadable(code) && code < 0xa0) return null
  }
  return text
}

/** Hex digits of nothing but readable bytes, and 7F. */
const HEX = /^(?:0x)?(?:[2-7][\da-f]|0[9ad]){6,}$/i

function addHex (found: EncodedText[], value: string): void {
  const bytes = Buffer.from(value.startsWith('0x') || value.startsWith('0X') ? value.slice(2) : value, 'hex')
  for (const byte of bytes) if (!isReadable(byte)) return
  const text = bytes.toString('latin1')
  if (TELLING.test(text)) found.push({ text, doubtful: bytes.length < PIECE_BYTES_MIN })
}
