import { sequence } from '../../../std/regex.ts'
import { CHAR } from '../characters.ts'
import { NAME_FIELD, likely, weak } from '../findings.ts'
import type { Subject } from '../findings.ts'
import { WORD } from '../words.ts'

/**
 * Weak signs of a short value's shape: brackets and quotes that do not pair, operators at its head, a call
 * cut open. None of them is an attack; together they tell probing from typing, and rank what the other
 * detectors cannot name.
 */
const SHAPE_CHARACTERS_MAX = 160
const SHAPE_MAX = 0.3
/** From here the parts do not fit into anything that people type: syntax of some language, broken open. */
const BROKEN_MIN = 0.28
/** Three words in a row: a sentence, whatever its punctuation. */
const SENTENCE = /[a-z\u0080-\uffff]{2} [a-z\u0080-\uffff]{2,},? [a-z\u0080-\uffff]{2}/i
const EMOTICON = /[:;=]['^-]?[()|/\\*DPp]|\^_?\^|<3/g
const SYMBOLS_ONLY = /^[^\w\s\u0080-\uffff]{10,}$/
const OPERATORS_ONLY = /^[<>=!|&^~*/-]{2,8}$/
export const RUN_MIN = 200
/** Names are shorter. */
const NAME_RUN_MIN = 64
/**
 * Plain letters written as escapes of a script, in a value that no script reads: nobody types them, filters
 * do not read them.
 */
const ESCAPED_LETTERS = sequence([
  /^(?!.*\\u[89a-f])[\w.(){}[\]$ -]{0,40}/,
  /(?:\\u00(?:4[1-9a-f]|5[0-9a]|6[1-9a-f]|7[0-9a])|\\x(?:4[1-9a-f]|5[0-9a]|6[1-9a-f]|7[0-9a])){1,40}/,
  /[\w.(){}[\]$ \\-]{0,40}$/
], 'i')

const SQL_HEAD = sequence([
  /^\W{0,3}/,
  [
    /exec(?:ute)?|truncate|declare|union|intersect|regexp|rlike|having|order by|group by|select|insert into/,
    /alter|drop|from|values|x?or|like|in|case/
  ],
  / ?(?:\W|\w|$)/
])

export function detectShape (subject: Subject): void {
  const { text, kind, characters } = subject
  if (subject.field === NAME_FIELD && kind === 'json') return
  if (
    text.length > SHAPE_CHARACTERS_MAX || subject.document ||
    (subject.field === NAME_FIELD && text.length >= NAME_RUN_MIN)
  ) {
    return addRunSigns(subject)
  }
  if (
    kind === 'agent' || kind === 'referer' || kind === 'header' || kind === 'path' || kind === 'filename' ||
    kind === 'cookie'
  ) {
    return
  }
  if (subject.field === NAME_FIELD && OPERATORS_ONLY.test(text)) {
    return likely(subject, 'shape.operator-name', 0.76, text)
  }
  if (SYMBOLS_ONLY.test(text) && (characters & (CHAR.quote | CHAR.paren)) !== 0 && !/^(.)\1+$/.test(text)) {
    return likely(subject, 'shape.symbols', 0.76, text.slice(0, 40))
  }
  if (
    (characters & CHAR.backslash) !== 0 && (kind === 'query' || kind === 'form') && ESCAPED_LETTERS.test(text)
  ) {
    likely(subject, 'shape.escaped-letters', 0.76, text.slice(0, 40))
  }
  const typed = text.length < 4 ? text : text.replace(EMOTICON, '')
  const broken = pairing(typed, characters) + head(typed)
  let value = broken + syntax(typed, characters)
  if (
    (subject.words & (WORD.sqlStatement | WORD.sqlName | WORD.sqlLogic)) !== 0 && SQL_HEAD.test(subject.flat)
  ) {
    value += 0.12
  }
  if (
    value > 0 &&
    (subject.words & (WORD.sqlStatement | WORD.sqlFunction | WORD.sqlName | WORD.shell | WORD.php)) !== 0 &&
    isTerse(text)
  ) {
    value += 0.1
  }
  if (value >= BROKEN_MIN && broken > 0 && !SENTENCE.test(text) && !isBracketed(text)) {
    likely(subject, 'shape.broken-syntax', 0.76, text.slice(0, 40))
  } else if (value >= 0.08) weak(subject, 'shape.odd', Math.min(SHAPE_MAX, value), text.slice(0, 40))
}

/** JSON, an array or a range: brackets that pair are how data is written. */
function isBracketed (text: string): boolean {
  return /^(?:\{.*\}|\[.*\]|=[A-Z]{2,12}\(.*\)[^;|&]*|[<>=~^]{1,2} ?v?\d[\w., <>=-]*)$/.test(text)
}

function isTerse (text: string): boolean {
  let blanks = 0
  for (let at = 0; at < text.length; at++) if (text.charCodeAt(at) === 32) blanks++
  return blanks <= 2
}

function pairing (text: string, characters: number): number {
  let value = 0
  if ((characters & CHAR.paren) !== 0 && count(text, '(') !== count(text, ')')) value += 0.18
  if ((characters & CHAR.brace) !== 0 && count(text, '{') !== count(text, '}')) value += 0.12
  if ((characters & CHAR.doubleQuote) !== 0 && count(text, '"') % 2 === 1 && !/\d"/.test(text)) value += 0.14
  // An apostrophe between letters, or at a word's end, is a letter of a language.
  if (
    (characters & CHAR.quote) !== 0 && count(text, "'") % 2 === 1 &&
    !/[a-z\u0080-\uffff]'(?:[a-z\u0080-\uffff]|\s|$)/i.test(text)
  ) {
    value += 0.16
  }
  if ((characters & CHAR.backtick) !== 0) value += 0.12
  return value
}

function count (text: string, letter: string): number {
  let found = 0
  for (let at = text.indexOf(letter); at !== -1; at = text.indexOf(letter, at + 1)) found++
  return found
}

function head (text: string): number {
  // One word between backticks is how code is named in a sentence.
  if (/^`\w+`(?: \w+ `\w+`)?$/.test(text)) return 0
  // 'tis, 'em, '80s: an apostrophe for what was left out.
  if (/^'(?:tis|twas|twere|twill|em|cause|til|bout|round|neath|n|\d\ds?)\b/i.test(text)) return 0
  return /^\s*(?:[;|&=)'`^]|--|\/\*|\|\||<>|[<>!]=|>>|<<|->)/.test(text) ? 0.14 : 0
}

/** A comparison or an assignment that something follows; a run of `=` at the end is a line that somebody drew. */
const COMPARES = /[=!<>]=(?:[^=\n\r\u2028\u2029]|=[\n\r\u2028\u2029])|\d=\d|=['"(]/

function syntax (text: string, characters: number): number {
  let value = 0
  if (
    (characters & CHAR.paren) !== 0 && /\w\s?\(\s?[)\w'"$]?/.test(text) &&
    !/\w \(\w+\)|^[^(]{12,}\(/.test(text)
  ) {
    value += 0.12
  }
  if ((characters & CHAR.dollar) !== 0 && /\$[a-z_{([*@?]/i.test(text)) value += 0.14
  if ((characters & CHAR.backslash) !== 0) value += 0.1
  if ((characters & CHAR.equals) !== 0 && COMPARES.test(text)) value += 0.12
  if ((characters & (CHAR.pipe | CHAR.ampersand)) !== 0 && /\|\||&&|\|\s?\w+$/.test(text)) value += 0.1
  if ((characters & CHAR.semicolon) !== 0 && /.;\S|.;$/.test(text) && (characters & CHAR.ampersand) === 0) value += 0.08
  if ((characters & CHAR.control) !== 0) value += 0.14
  if ((characters & CHAR.lineBreak) !== 0 && /[\r\n]/.test(text.slice(text.trimEnd().length))) value += 0.12
  if ((characters & CHAR.colon) !== 0 && text.includes('::')) value += 0.06
  return value
}

/** One character over and over: how buffers are measured. */
function addRunSigns (subject: Subject): void {
  const { text, kind } = subject
  if (kind === 'text' || kind === 'multipart' || kind === 'filename') return
  const first = text.charCodeAt(0)
  let at = 1
  while (at < text.length && text.charCodeAt(at) === first) at++
  if (at >= (subject.field === NAME_FIELD ? NAME_RUN_MIN : RUN_MIN)) {
    likely(subject, 'shape.run', 0.76, text.slice(0, 8))
  }
}
