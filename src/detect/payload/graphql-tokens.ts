/**
 * Tokens of GraphQL that hold text or end it: strings, block strings, comments, numbers. Each is read to the letter of
 * the lexical grammar (October 2021, section 2.1, and `\\u{...}` of the later draft): a lexer that is laxer or
 * stricter than the server's takes a literal for a comment, or a comment for a literal.
 */

interface GraphqlString {
  value: string
  /** A block string as it stands, where taking the indentation away changed it. */
  raw: string | null
  /** The position after it. */
  end: number
}

/** Tab, line feed, carriage return, blank, comma, byte order mark. */
export function isSpace (code: number): boolean {
  return code === 32 || code === 10 || code === 13 || code === 9 || code === 44 || code === 0xfeff
}

/** The position after a comment, which ends at either kind of line break. */
export function readComment (text: string, at: number): number {
  let end = at + 1
  for (let code = text.charCodeAt(end); code !== 10 && code !== 13; code = text.charCodeAt(++end)) {
    if (end >= text.length) return text.length
  }
  return end
}

const PUNCTUATORS = '{}()[]:!=|&@$.'

/** The strings of a text that is made of nothing but tokens, as a line of a document is; null where it is not. */
export function stringsOfTokens (text: string): string[] | null {
  const strings: string[] = []
  let at = 0
  while (at < text.length) {
    const code = text.charCodeAt(at)
    if (code === 34) {
      const string = readGraphqlString(text, at)
      if (string === null) return null
      strings.push(string.value)
      at = string.end
    } else if (isDigit(code) || code === 45) {
      at = readNumber(text, at)
      if (at === -1) return null
    } else if (isNameCode(code, false)) {
      while (isNameCode(text.charCodeAt(at), true)) at++
    } else if (isSpace(code) || PUNCTUATORS.includes(text.charAt(at))) at++
    else return null
  }
  return strings
}

/** A character of a name; its first is no digit. */
export function isNameCode (code: number, digits: boolean): boolean {
  const low = code | 32
  return (low >= 97 && low <= 122) || code === 95 || (digits && code >= 48 && code <= 57)
}

/** The position after a number, or -1 where it is none. */
export function readNumber (text: string, at: number): number {
  let end = text.charCodeAt(at) === 45 ? at + 1 : at
  if (text.charCodeAt(end) === 48) {
    end++
    if (isDigit(text.charCodeAt(end))) return -1
  } else end = readDigits(text, end)
  if (end !== -1 && text.charCodeAt(end) === 46) end = readDigits(text, end + 1)
  if (end !== -1 && (text.charCodeAt(end) | 32) === 101) {
    const sign = text.charCodeAt(end + 1)
    end = readDigits(text, sign === 43 || sign === 45 ? end + 2 : end + 1)
  }
  if (end === -1) return -1
  const after = text.charCodeAt(end)
  const letter = after | 32
  return after === 46 || after === 95 || (letter >= 97 && letter <= 122) ? -1 : end
}

function readDigits (text: string, at: number): number {
  let end = at
  while (isDigit(text.charCodeAt(end))) end++
  return end === at ? -1 : end
}

function isDigit (code: number): boolean {
  return code >= 48 && code <= 57
}

/** The string that opens at `at`, or null where it never ends or holds what no string may. */
export function readGraphqlString (text: string, at: number): GraphqlString | null {
  if (text.startsWith('"""', at)) return readBlockString(text, at)
  let value = ''
  let from = at + 1
  let end = from
  for (;;) {
    const code = text.charCodeAt(end)
    if (code === 34) break
    if (code === 10 || code === 13 || !(code >= 0)) return null
    if (code !== 92) {
      end++
      continue
    }
    value += text.slice(from, end)
    const escape = readEscape(text, end)
    if (escape === null) return null
    value += escape.value
    from = end = escape.end
  }
  return { value: from === at + 1 ? text.slice(from, end) : value + text.slice(from, end), raw: null, end: end + 1 }
}

const LETTERS: Record<string, string> = {
  '"': '"',
  '\\': '\\',
  '/': '/',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t'
}

interface Escape { value: string, end: number }

function readEscape (text: string, at: number): Escape | null {
  if (text.charCodeAt(at + 1) !== 117) {
    const value = LETTERS[text.charAt(at + 1)]
    return value === undefined ? null : { value, end: at + 2 }
  }
  const braced = /^\{([\da-fA-F]{1,8})\}/.exec(text.slice(at + 2, at + 12))
  if (braced !== null) {
    const point = parseInt(braced[1] as string, 16)
    return isScalar(point) ? { value: String.fromCodePoint(point), end: at + 2 + braced[0].length } : null
  }
  const unit = readUnit(text, at)
  if (unit === -1) return null
  if (isScalar(unit)) return { value: String.fromCharCode(unit), end: at + 6 }
  const low = unit < 0xdc00 && text.startsWith('\\u', at + 6) ? readUnit(text, at + 6) : -1
  return low >= 0xdc00 && low <= 0xdfff ? { value: String.fromCharCode(unit, low), end: at + 12 } : null
}

function readUnit (text: string, at: number): number {
  const hex = text.slice(at + 2, at + 6)
  return /^[\da-fA-F]{4}$/.test(hex) ? parseInt(hex, 16) : -1
}

function isScalar (point: number): boolean {
  return point < 0xd800 || (point > 0xdfff && point <= 0x10ffff)
}

/** Ends at the first three quotes without a backslash before them. */
function readBlockString (text: string, at: number): GraphqlString | null {
  let raw = ''
  let from = at + 3
  for (;;) {
    const end = text.indexOf('"""', from)
    if (end === -1) return null
    const isEscaped = end > from && text.charCodeAt(end - 1) === 92
    raw += text.slice(from, isEscaped ? end - 1 : end)
    from = end + 3
    if (!isEscaped) break
    raw += '"""'
  }
  const value = dedent(raw)
  return { value, raw: value === raw ? null : raw, end: from }
}

/** The value of a block string: common indentation and blank lines at both ends are no part of it (2.9.4). */
function dedent (raw: string): string {
  const lines = raw.split(/\r\n|[\n\r]/)
  let indent = Infinity
  let first = -1
  let last = -1
  for (let at = 0; at < lines.length; at++) {
    const line = lines[at] as string
    const own = indentOf(line)
    if (own === line.length) continue
    if (first === -1) first = at
    last = at
    if (at > 0 && own < indent) indent = own
  }
  if (first === -1) return ''
  const kept: string[] = []
  for (let at = first; at <= last; at++) kept.push(at === 0 ? lines[0] as string : (lines[at] as string).slice(indent))
  return kept.join('\n')
}

function indentOf (line: string): number {
  let indent = 0
  while (line.charCodeAt(indent) === 32 || line.charCodeAt(indent) === 9) indent++
  return indent
}
