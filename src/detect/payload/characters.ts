import { WORDS_BY_KIND } from './words.ts'

/**
 * The prefilter: one pass over a value that says which characters and which telling words it holds. Every detector
 * names what it needs; plain words, ids, numbers and dates need no detector and leave here in well under a microsecond.
 */

/** One bit per character that attacks are made of. */
export const CHAR = {
  quote: 1 << 0,
  doubleQuote: 1 << 1,
  backtick: 1 << 2,
  less: 1 << 3,
  greater: 1 << 4,
  paren: 1 << 5,
  brace: 1 << 6,
  bracket: 1 << 7,
  dollar: 1 << 8,
  semicolon: 1 << 9,
  pipe: 1 << 10,
  ampersand: 1 << 11,
  slash: 1 << 12,
  backslash: 1 << 13,
  percent: 1 << 14,
  hash: 1 << 15,
  equals: 1 << 16,
  star: 1 << 17,
  colon: 1 << 18,
  lineBreak: 1 << 19,
  control: 1 << 20,
  dash: 1 << 21,
  plus: 1 << 22,
  comma: 1 << 23,
  dot: 1 << 24,
  at: 1 << 25,
  bang: 1 << 26,
  caret: 1 << 27,
  question: 1 << 28,
  nonAscii: 1 << 29,
  space: 1 << 30
} as const

const LETTERS: Array<[string, number]> = [
  ["'", CHAR.quote],
  ['"', CHAR.doubleQuote],
  ['`', CHAR.backtick],
  ['<', CHAR.less],
  ['>', CHAR.greater],
  ['()', CHAR.paren],
  ['{}', CHAR.brace],
  ['[]', CHAR.bracket],
  ['$', CHAR.dollar],
  [';', CHAR.semicolon],
  ['|', CHAR.pipe],
  ['&', CHAR.ampersand],
  ['/', CHAR.slash],
  ['\\', CHAR.backslash],
  ['%', CHAR.percent],
  ['#', CHAR.hash],
  ['=', CHAR.equals],
  ['*', CHAR.star],
  [':', CHAR.colon],
  ['\r\n', CHAR.lineBreak],
  ['-', CHAR.dash],
  ['+', CHAR.plus],
  [',', CHAR.comma],
  ['.', CHAR.dot],
  ['@', CHAR.at],
  ['!', CHAR.bang],
  ['^~', CHAR.caret],
  ['?', CHAR.question],
  [' \t', CHAR.space]
]

const CLASS_OF = new Int32Array(128)
for (let code = 0; code < 32; code++) CLASS_OF[code] = CHAR.control
CLASS_OF[127] = CHAR.control
for (const [letters, bit] of LETTERS) for (const letter of letters) CLASS_OF[letter.charCodeAt(0)] = bit

/** 1 where the character belongs to a word: letters, digits, underscore. Letters are folded to lower case by `| 32`. */
const IN_WORD = new Uint8Array(128)
for (let code = 48; code <= 57; code++) IN_WORD[code] = 1
for (let code = 65; code <= 90; code++) { IN_WORD[code] = 2; IN_WORD[code + 32] = 2 }
IN_WORD[95] = 1

const SLOTS = 8192
const SLOT_HASH = new Int32Array(SLOTS)
const SLOT_BITS = new Int32Array(SLOTS)

function hashOf (word: string): number {
  let hash = 0
  for (let at = 0; at < word.length; at++) hash = (Math.imul(hash, 31) + (word.charCodeAt(at) | 32)) | 0
  return hash
}

for (const [bit, words] of WORDS_BY_KIND) {
  for (const word of words) {
    const hash = hashOf(word)
    let slot = (hash ^ hash >>> 13) & (SLOTS - 1)
    while (SLOT_BITS[slot] !== 0 && SLOT_HASH[slot] !== hash) slot = (slot + 1) & (SLOTS - 1)
    SLOT_HASH[slot] = hash
    SLOT_BITS[slot] = (SLOT_BITS[slot] as number) | bit
  }
}

function bitsOfHash (hash: number): number {
  let slot = (hash ^ hash >>> 13) & (SLOTS - 1)
  while (SLOT_BITS[slot] !== 0) {
    if (SLOT_HASH[slot] === hash) return SLOT_BITS[slot] as number
    slot = (slot + 1) & (SLOTS - 1)
  }
  return 0
}

/**
 * What the last `scan` saw. One shared object, so that a scan allocates nothing; to be read before the next scan.
 * `run` is the longest run of the letters of base64, in either alphabet.
 */
export const seen = { characters: 0, words: 0, run: 0 }

/** Signs of base64 that are no part of a word. */
const RUN_SIGNS = CHAR.plus | CHAR.dash | CHAR.slash

/** The text that `seen` is of: several readers ask for the same one in turn. */
let scanned = ''

/** Fills `seen` for `text`. Linear, about two nanoseconds per character; nothing for the text that was the last. */
export function scan (text: string): void {
  if (text === scanned) return
  scanned = text
  let characters = 0
  let words = 0
  let hash = 0
  let inWord = false
  let run = 0
  let runFrom = 0
  const length = text.length
  for (let at = 0; at < length; at++) {
    const code = text.charCodeAt(at)
    if (code < 128 && IN_WORD[code] !== 0) {
      hash = (Math.imul(hash, 31) + (code | 32)) | 0
      inWord = true
      continue
    }
    const bit = code < 128 ? CLASS_OF[code] as number : CHAR.nonAscii
    characters |= bit
    if ((bit & RUN_SIGNS) === 0) {
      if (at - runFrom > run) run = at - runFrom
      runFrom = at + 1
    }
    if (inWord) {
      words |= bitsOfHash(hash)
      hash = 0
      inWord = false
    }
  }
  if (inWord) words |= bitsOfHash(hash)
  seen.characters = characters
  seen.words = words
  seen.run = Math.max(run, length - runFrom)
}
