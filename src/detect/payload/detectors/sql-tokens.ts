import {
  SQL_ATTACK_FUNCTIONS,
  SQL_CLAUSES,
  SQL_LOGICAL,
  SQL_NAMES,
  SQL_PLAIN_FUNCTIONS,
  SQL_STATEMENTS,
  SQL_WORD_OPERATORS
} from './sql-words.ts'

/**
 * Cuts text into SQL tokens, one letter each, so that a structure is a short string that a small pattern can read:
 *   n number   s closed string   S string open to the end   v name   x catalog name   @ variable
 *   F attack function + its parenthesis   f plain function + its parenthesis   U union   E select   T other
 * statement word
 *   & logical   o operator   k clause word   c comment to the end   q inline comment   ; ( ) , . : { \ as
 * they are   ? anything else
 */
export interface SqlTokens {
  types: string
  /** Start of each token in the text. */
  starts: number[]
}

/** Delimiter the text is taken to begin inside of: none, or the quote that the application put before it. */
export type SqlContext = '' | "'" | '"' | '`'

const OPERATORS = '=<>!+-*/%^~|&'

/** Of one window of a value (bounds.ts), so at most WINDOW_CHARACTERS tokens. */
export function tokenizeSql (text: string, context: SqlContext): SqlTokens {
  const out: SqlTokens = { types: '', starts: [] }
  let at = 0
  if (context !== '') {
    const end = stringEnd(text, 0, context)
    if (end === -1) return out
    push(out, 's', 0)
    at = end
  }
  while (at < text.length) at = readToken(text, at, out)
  return out
}

function push (out: SqlTokens, type: string, start: number): void {
  out.types += type
  out.starts.push(start)
}

/** Index after the closing quote, or -1 when the string never ends. A doubled or escaped quote goes on. */
function stringEnd (text: string, from: number, quote: string): number {
  let at = from
  for (;;) {
    at = text.indexOf(quote, at)
    if (at === -1) return -1
    let slashes = 0
    while (at - slashes - 1 >= from && slashes < 8 && text.charCodeAt(at - slashes - 1) === 92) slashes++
    if (slashes % 2 === 0 || from === 0) return at + 1
    at++
  }
}

function readToken (text: string, at: number, out: SqlTokens): number {
  const letter = text.charAt(at)
  const code = letter.charCodeAt(0)
  if (code <= 32 || code === 160 || code === 0xfeff) return at + 1
  if (isDigit(code) || (letter === '.' && isDigit(text.charCodeAt(at + 1)))) return readNumber(text, at, out)
  if (isWordStart(code)) return readWord(text, at, out)
  if (letter === "'" || letter === '"' || letter === '`') return readString(text, at, letter, out)
  return readSymbol(text, at, letter, out)
}

function readString (text: string, at: number, quote: string, out: SqlTokens): number {
  const end = stringEnd(text, at + 1, quote)
  push(out, end === -1 ? 'S' : 's', at)
  return end === -1 ? text.length : end
}

const NUMBER = /(?:0[xX][0-9a-fA-F]+|0[bB][01]+|[0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?\.?)/y

function readNumber (text: string, at: number, out: SqlTokens): number {
  NUMBER.lastIndex = at
  const end = NUMBER.test(text) ? NUMBER.lastIndex : at + 1
  // `8-bit`, `6key`: digits that run into letters are a name, except where a keyword follows as in
  // `1e0UNION`, `9or 1=1`.
  if (isWordStart(text.charCodeAt(end))) {
    const glued = /^(?:[dfx])?(?:union|or|and|e0union|select)\b/i.exec(text.slice(end, end + 9))
    if (glued === null && text.charAt(at) !== '.') return readWord(text, at, out)
    push(out, 'n', at)
    // A type letter between a number and a keyword (`1FUNION`) belongs to the number.
    return glued !== null && /^[dfx]u/i.test(glued[0]) ? end + 1 : end
  }
  push(out, 'n', at)
  return end
}

const WORD = /[\w$#\u0080-\uffff]+/y

function readWord (text: string, at: number, out: SqlTokens): number {
  WORD.lastIndex = at
  let end = WORD.test(text) ? WORD.lastIndex : at + 1
  let word = end - at > 32 ? '' : text.slice(at, end).toLowerCase()
  if (word.endsWith('#')) { end--; word = word.slice(0, -1) }
  const type = typeOfWord(word, text, end)
  if (type === 'F' || type === 'f') end = text.indexOf('(', end) + 1
  if (type === 'n' && word === 'e0union') push(out, 'n', at)
  push(out, type, at)
  return end
}

function typeOfWord (word: string, text: string, end: number): string {
  if (word === 'union') return 'U'
  if (word === 'select') return 'E'
  const call = callFollows(text, end)
  if (call && SQL_ATTACK_FUNCTIONS.has(word)) return 'F'
  if (SQL_LOGICAL.has(word)) return '&'
  if (SQL_WORD_OPERATORS.has(word)) return 'o'
  if (SQL_CLAUSES.has(word)) return 'k'
  if (call && SQL_PLAIN_FUNCTIONS.has(word)) return 'f'
  if (SQL_STATEMENTS.has(word)) return 'T'
  if (word === 'null' || word === 'true' || word === 'false') return 'n'
  if (word === 'not') return '!'
  if (SQL_NAMES.has(word)) return 'x'
  return 'v'
}

function callFollows (text: string, end: number): boolean {
  for (let step = 0; step < 12; step++) {
    const code = text.charCodeAt(end + step)
    if (code === 40) return true
    if (!(code <= 32)) return false
  }
  return false
}

function readSymbol (text: string, at: number, letter: string, out: SqlTokens): number {
  const next = text.charAt(at + 1)
  if (letter === '-' && next === '-') return lineComment(text, at, out)
  if (letter === '#') return lineComment(text, at, out)
  if (letter === '/' && next === '*') return blockComment(text, at, out)
  if (letter === '*' && next === '/') {
    // The end of a comment whose code MySQL ran.
    push(out, 'q', at)
    return at + 2
  }
  if ((letter === '&' && next === '&') || (letter === '|' && next === '|')) {
    push(out, letter === '&' ? '&' : '|', at)
    return at + 2
  }
  if (letter === '@') {
    push(out, '@', at)
    WORD.lastIndex = next === '@' ? at + 2 : at + 1
    return WORD.test(text) ? WORD.lastIndex : at + 1
  }
  if (OPERATORS.includes(letter)) return readOperator(text, at, letter, out)
  push(out, '();,.:{}\\[]'.includes(letter) ? letter : '?', at)
  return at + 1
}

function readOperator (text: string, at: number, letter: string, out: SqlTokens): number {
  let end = at + 1
  while (end < at + 3 && '=<>'.includes(text.charAt(end)) && end < text.length) end++
  const comparing = '=<>!'.includes(letter) || end > at + 1
  push(out, comparing && !(letter === '!' && end === at + 1) ? '=' : letter === '!' ? '!' : '+', at)
  return end
}

/** A comment that ends the reading, unless a line break gives the rest another line. */
function lineComment (text: string, at: number, out: SqlTokens): number {
  const end = text.indexOf('\n', at)
  push(out, end === -1 || end >= text.length - 1 ? 'c' : 'q', at)
  return end === -1 ? text.length : end + 1
}

function blockComment (text: string, at: number, out: SqlTokens): number {
  // `/*!50000 code */` runs on MySQL: the marker goes, the code stays.
  if (text.charAt(at + 2) === '!') {
    push(out, 'q', at)
    let end = at + 3
    while (end < at + 9 && isDigit(text.charCodeAt(end))) end++
    return end
  }
  const end = text.indexOf('*/', at + 2)
  push(out, end === -1 ? 'c' : 'q', at)
  return end === -1 ? text.length : end + 2
}

function isDigit (code: number): boolean {
  return code >= 48 && code <= 57
}

function isWordStart (code: number): boolean {
  const low = code | 32
  return (low >= 97 && low <= 122) || code === 95 || code >= 0x80 || code === 36
}
