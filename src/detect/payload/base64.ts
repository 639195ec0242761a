/**
 * Base64 and hex in a value: whole, wrapped, behind a prefix (`v=`, `Basic `, `data:...;base64,`), in a segment of a
 * path, with an alphabet for URLs, with its `+` lost to blanks, or with characters between that lenient decoders pass
 * over. Text that decodes to nothing readable is an id and says nothing. Linear and total.
 */
import { isUtf8 } from 'node:buffer'
import { beginsAsFile, isMostlyReadable, isReadable, readFile } from './files.ts'

/** Shorter base64 holds five characters at most. */
export const ENCODED_CHARACTERS_MIN = 8
/** Among other text only runs of this length are tried; alone or in one segment, shorter ones are. */
const RUN_CHARACTERS_MIN = 16
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

function bitsAt (text: string, at: number): number {
  const code = text.charCodeAt(at)
  return code < 128 ? BITS[code] as number : OTHER
}

/** Short texts count only with a character that attacks are made of. */
const TELLING = /['"<>`(){}$|;&*\\]|--|\.\.|=/

/** A quick no for words and ids of 8 to 15 letters: the first three bytes must be readable. */
export function mayBeShortBase64 (text: string): boolean {
  return text.length >= ENCODED_CHARACTERS_MIN && text.length < RUN_CHARACTERS_MIN && startsReadable(text, 0, 3)
}

function startsReadable (text: string, from: number, bytes: number): boolean {
  let held = 0
  let bits = 0
  let left = bytes
  for (let at = from; at < text.length && left > 0; at++) {
    const six = bitsAt(text, at)
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
  const found: EncodedText[] = []
  const isWhole = !OTHERS.test(text)
  if (isWhole) addWhole(found, text)
  if (found.length > 0) return found
  const runs = runsOf(text)
  for (let at = 0; at < runs.length; at += 2) addRun(found, text, runs[at] as number, runs[at + 1] as number)
  // Signs between the letters, which lenient decoders pass over.
  if (!isWhole && found.length === 0 && startsReadable(text, 0, PIECE_BYTES_MIN)) {
    add(found, text.replace(NO_ALPHABET, ''))
  }
  return found
}

const NOTHING: EncodedText[] = []
/** What is neither of an alphabet nor a blank nor padding. */
const OTHERS = /[^A-Za-z0-9+/_\-=\s]/
const NO_ALPHABET = /[^A-Za-z0-9+/_-]+/g

/** Letters with which a group of four begins where its first byte is readable: of most words and ids, few do. */
const BEGINS_READABLE = new Uint8Array(128)
for (let code = 0; code < 128; code++) {
  const six = BITS[code] as number
  if ((six >= 8 && six <= 31) || six === 2 || six === 3) BEGINS_READABLE[code] = 1
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
  for (let phase = 0; phase < 4; phase++) {
    let groups = 0
    for (let at = from + phase; at < to; at += 4) {
      if (BEGINS_READABLE[text.charCodeAt(at)] === 0) groups = 0
      else if (++groups >= 4) return true
    }
  }
  return false
}

/** A value of nothing but the alphabet, blanks and padding: blanks are a wrap, or a `+` that a form took for one. */
function addWhole (found: EncodedText[], text: string): void {
  if (HEX.test(text)) addHex(found, text)
  const letters = NO_LETTER.test(text) ? text.replace(NO_ALPHABET, '') : text
  if (letters.length < RUN_CHARACTERS_MIN) {
    if (letters.length >= ENCODED_CHARACTERS_MIN && startsReadable(letters, 0, 3)) add(found, letters)
  } else if (startsReadable(letters, 0, PIECE_BYTES_MIN) || mayHoldText(letters, 0, letters.length)) {
    add(found, letters)
  }
  if (!text.includes(' ')) return
  const restored = text.trim().replaceAll(' ', '+').replace(NO_ALPHABET, '')
  if (restored !== letters && startsReadable(restored, 0, 3)) add(found, restored)
}

const NO_LETTER = /[^A-Za-z0-9+/_-]/

function add (found: EncodedText[], letters: string): void {
  const bytes = Buffer.from(letters, 'base64')
  if (bytes.length < TEXT_BYTES_MIN) return
  const text = textOf(bytes)
  if (text !== null && letters.length >= RUN_CHARACTERS_MIN) found.push({ text, doubtful: false })
  else if (text !== null && TELLING.test(text)) found.push({ text, doubtful: true })
  else if (text === null && bytes.length >= PIECE_BYTES_MIN) addPieces(found, bytes.toString('latin1'))
}

/**
 * A run among other text. What stands before it may be of the alphabet too (`/files/`, `v-`), so that its groups of
 * four may begin at any of four places.
 */
function addRun (found: EncodedText[], text: string, from: number, to: number): void {
  for (let phase = 0; phase < 4; phase++) {
    if (!hasReadablePiece(text, from + phase, to)) continue
    const before = found.length
    add(found, text.slice(from + phase, to))
    if (found.length > before) return
  }
}

function hasReadablePiece (text: string, from: number, to: number): boolean {
  let groups = 0
  for (let at = from; at + 3 < to; at += 4) {
    if (BEGINS_READABLE[text.charCodeAt(at)] === 0) groups = 0
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

const HEX = /^(?:0x)?(?:[\da-f]{2}){6,}$/i

function addHex (found: EncodedText[], value: string): void {
  const bytes = Buffer.from(value.startsWith('0x') || value.startsWith('0X') ? value.slice(2) : value, 'hex')
  for (const byte of bytes) if (!isReadable(byte)) return
  const text = bytes.toString('latin1')
  if (TELLING.test(text)) found.push({ text, doubtful: bytes.length < PIECE_BYTES_MIN })
}
