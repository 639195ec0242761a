/**
 * Masking by name in text of no known form, or of several: a name, a separator, a value, as in GraphQL, JSON5, XML
 * attributes, INI, targets, logs, and in each of them within a string of another.
 *
 * No text is skipped: a secret may stand in the value of a plain name, as a token in a URL does, and whoever writes the
 * text may write it so that a reader of strings takes a string's end for its beginning. So each separator is judged by
 * the name before it, and what its value would be is masked, whatever was masked before. Linear: a name is looked for
 * no further back than the separator before, and the ends of values that overlap are looked for once.
 */
import { repeated, sequence } from '../std/regex.ts'
import { decodeAscii, maskEncoded } from './mask-shape.ts'
import { isNameKey, isSecretName, isValueKey } from './secret-names.ts'
import type { OnMasked } from './mask-shape.ts'

const SEPARATOR = /[:=]|%(?:25)*3[AaDd]/g
export const NAME_MAX = 64
/** Of a name, its escapes and what stands before it without a blank. */
const NAME_ENCODED_MAX = 96
/** Of a comment between a name and its value. */
const COMMENT_MAX = 200

// A line break or a tab may be an escape, where the text is the inside of a string.
const BLANKS = /(?:\s|\\+[nrtf]|%(?:25)*(?:20|0[9AaDd]))*/y
/** What may stand between a separator and a value: GraphQL takes commas and comments for blanks; `=>`, `:=`. */
const BETWEEN = sequence([repeated([
  /(?:[\s,:=>]|\\+[nrtf]|%(?:25)*(?:20|0[9AaDd]))+/,
  /#[^\r\n\\]{0,200}(?:[\r\n]|\\+[nr])/,
  /\/\*[^*]{0,200}\*\//
], '{0,6}')], 'y')
const SCHEME = /(?:Basic|Bearer|Digest|Negotiate|Token|ApiKey)(?:[ \t+]|%20){1,8}/iy
const PLAIN_VALUE = /[^\s"'&,;<>(){}[\]]+/y
/** Of a separator that is encoded: the pair ends where the next begins, encoded as well. */
const ENCODED_VALUE = /(?:[^\s"'&,;<>(){}[\]%]|%(?!(?:25)*26))+/y
/** A value that is itself a name. */
const NAME_AS_VALUE = /\s{0,8}\\*["']?([\w$.%-]{3,64})/y

export function maskNamed (text: string, place: string, onMasked: OnMasked): string {
  let out = ''
  /** What lies before it is in `out`. */
  let from = 0
  const paired = pairedValues(text)
  const runs = new Map<RegExp, { start: number, end: number }>()
  eachName(text, (name, after, separator) => {
    if (!isSecretName(name) && !paired.has(after)) return
    const start = endOf(BLANKS, text, after)
    const value = endOf(BETWEEN, text, start)
    if (value < from && isBracket(text.charCodeAt(value))) return
    const end = endOfValue(value, separator.length > 1 ? ENCODED_VALUE : PLAIN_VALUE)
    if (end <= from || isReference(text.slice(value, end))) return
    const first = Math.max(from, start)
    const secret = text.slice(first, end)
    const shape = maskEncoded(secret)
    if (shape === secret) return
    onMasked(`${place}.${name}`)
    out += text.slice(from, first) + shape
    from = end
    return from === text.length
  })
  return from === 0 ? text : out + text.slice(from)

  /** Where the value that begins at `start` ends; `start` when there is none. */
  function endOfValue (start: number, plain: RegExp): number {
    const quoted = endOfQuoted(text, start)
    if (quoted !== -1) return quoted
    if (isBracket(text.charCodeAt(start))) return endOfBrackets(text, start)
    const scheme = Math.max(start, endOf(SCHEME, text, start))
    const run = runs.get(plain)
    if (run !== undefined && scheme >= run.start && scheme < run.end) return run.end
    const end = endOf(plain, text, scheme)
    runs.set(plain, { start: scheme, end })
    return end
  }
}

type OnName = (name: string, after: number, separator: string) => boolean | void

/** Each name with the position behind its separator, until one is told to be the last. */
function eachName (text: string, onName: OnName): void {
  let before = 0
  SEPARATOR.lastIndex = 0
  for (let match = SEPARATOR.exec(text); match !== null; match = SEPARATOR.exec(text)) {
    const after = SEPARATOR.lastIndex
    const name = nameBefore(text, before, match.index)
    before = after
    if (name !== '' && onName(name, after, match[0]) === true) return
    SEPARATOR.lastIndex = after
  }
}

const NONE: ReadonlySet<number> = new Set()

/** In `name: "password", value: "x"` and in `value: "x", name: "password"` where the value begins. */
function pairedValues (text: string): ReadonlySet<number> {
  if (!/val/i.test(text)) return NONE
  const found = new Set<number>()
  let isNamed = false
  let isSecret = false
  let value = -1
  let before = 0
  eachName(text, (name, after) => {
    // Another object begins.
    if (text.slice(before, after).includes('{')) isNamed = false
    before = after
    if (isNameKey(name)) {
      isNamed = value === -1
      isSecret = isSecretNamedAt(text, after)
      if (isSecret && value !== -1) found.add(value)
      value = -1
    } else if (isValueKey(name)) {
      if (isSecret) found.add(after)
      // A value behind a name is that name's; another one waits for its own.
      value = isNamed ? -1 : after
      isNamed = false
    }
  })
  return found
}

/** Where a sticky pattern, tried at `at`, ends; `at` where it does not match. */
function endOf (pattern: RegExp, text: string, at: number): number {
  pattern.lastIndex = at
  return pattern.test(text) ? pattern.lastIndex : at
}

/** The name that ends at a separator, before blanks, quotes and comments; '' when there is none. */
function nameBefore (text: string, from: number, separator: number): string {
  let end = separator
  for (;;) {
    while (end > from && mayFollowName(text.charCodeAt(end - 1))) end--
    if (end - 1 > from && isEscapedBlank(text, end - 2)) end -= 2
    else if (end - 3 > from && text.startsWith('*/', end - 2)) {
      const window = Math.max(from, end - COMMENT_MAX)
      const comment = text.slice(window, end).lastIndexOf('/*')
      if (comment === -1) break
      end = window + comment
    } else break
  }
  let start = end
  const startMin = Math.max(from, end - NAME_ENCODED_MAX)
  while (start > startMin && isOfName(text.charCodeAt(start - 1))) start--
  // `\npin=` is a line that begins with `pin`, unless a name begins there with a letter that makes an escape.
  const isEscape = start > from && isEscapedBlank(text, start - 1)
  const given = decodedName(text.slice(start, end))
  return isEscape && !isSecretName(given) ? given.slice(1) : given
}

function decodedName (given: string): string {
  const name = given.includes('%') ? decodeAscii(given).split(/[^\w$.-]+/).findLast((part) => part !== '') ?? '' : given
  return name.slice(-NAME_MAX).replace(/^[\d.-]+/, '')
}

/** Blanks, also as UTF-8 writes the one that does not break, quotes, their backslashes and the end of an index. */
function mayFollowName (unit: number): boolean {
  return unit <= 0x20 || unit === QUOTE || unit === APOSTROPHE || unit === BACKSLASH || unit === 0x5d ||
    unit === 0x60 || unit === 0x85 || unit === 0xa0 || unit === 0xc2
}

/** `\n`, `\r`, `\t`, `\f`. */
function isEscapedBlank (text: string, at: number): boolean {
  return text.charCodeAt(at) === BACKSLASH && 'nrtf'.includes(text.charAt(at + 1) || ' ')
}

/** Letters, digits, `_`, `$`, `.`, `-`, and `%` of an escape. */
function isOfName (unit: number): boolean {
  const lower = unit | 0x20
  return (lower >= 0x61 && lower <= 0x7a) || (unit >= 0x30 && unit <= 0x39) || unit === 0x5f || unit === 0x24 ||
    unit === 0x25 || unit === 0x2d || unit === 0x2e
}

function isSecretNamedAt (text: string, at: number): boolean {
  NAME_AS_VALUE.lastIndex = at
  const name = NAME_AS_VALUE.exec(text)?.[1]
  return name !== undefined && isSecretName(decodedName(name))
}

const QUOTE = 0x22
const APOSTROPHE = 0x27
const BACKSLASH = 0x5c

/** Where the string that begins at `start` ends, or -1 when none does. One that is broken off ends with the text. */
function endOfQuoted (text: string, start: number): number {
  let at = start
  while (text.charCodeAt(at) === BACKSLASH) at++
  const quote = text.charCodeAt(at)
  if (quote !== QUOTE && quote !== APOSTROPHE) return -1
  const block = quote === QUOTE ? endOfQuotes(text, at) : -1
  if (block !== -1) return endOfBlock(text, block)
  return at > start ? endOfEscaped(text, at + 1, quote, at - start) : endOfString(text, at + 1, quote)
}

/** The position behind `"""`, each quote of which may be escaped; -1 when it is not there. */
function endOfQuotes (text: string, first: number): number {
  let at = first
  for (let quotes = 1; quotes < 3;) {
    const unit = text.charCodeAt(++at)
    if (unit === QUOTE) quotes++
    else if (unit !== BACKSLASH) return -1
  }
  return at + 1
}

/** The position behind the next `"""`, or the end of the text. */
function endOfBlock (text: string, from: number): number {
  let quotes = 0
  for (let at = from; at < text.length; at++) {
    const unit = text.charCodeAt(at)
    if (unit === QUOTE) {
      if (++quotes === 3) return at + 1
    } else if (unit !== BACKSLASH) quotes = 0
  }
  return text.length
}

/** As many strings as this stand in each other. */
const ESCAPES_MAX = 16

/** The position behind the next quote that has no more backslashes than the first, or the end of the text. */
function endOfEscaped (text: string, from: number, quote: number, escapes: number): number {
  let slashes = 0
  for (let at = from; at < text.length; at++) {
    const unit = text.charCodeAt(at)
    if (unit === quote && slashes <= Math.min(escapes, ESCAPES_MAX)) return at + 1
    slashes = unit === BACKSLASH ? slashes + 1 : 0
  }
  return text.length
}

/**
 * The position behind the next quote that is not escaped, or the end of the text: also where an escape has nothing on
 * its line, since a string that a line breaks has no end to rely on.
 */
function endOfString (text: string, from: number, quote: number): number {
  for (let at = from; at < text.length; at++) {
    const unit = text.charCodeAt(at)
    if (unit === quote) return at + 1
    if (unit === BACKSLASH && isLineEnd(text.charCodeAt(++at))) return text.length
  }
  return text.length
}

/** Also true of the unit beyond the end of the text, which is NaN. */
function isLineEnd (unit: number): boolean {
  return unit === 0x0a || unit === 0x0d || unit === 0x2028 || unit === 0x2029 || Number.isNaN(unit)
}

function isBracket (unit: number): boolean {
  return unit === 0x7b || unit === 0x5b
}

/** The position behind the list or object that begins at `start`, or the end of the text. */
function endOfBrackets (text: string, start: number): number {
  let depth = 0
  for (let at = start; at < text.length; at++) {
    const unit = text.charCodeAt(at)
    if (isBracket(unit)) depth++
    else if (unit === 0x7d || unit === 0x5d) {
      if (--depth === 0) return at + 1
    } else if (unit === QUOTE || unit === BACKSLASH) {
      const end = endOfQuoted(text, at)
      if (end !== -1) at = end - 1
    }
  }
  return text.length
}

/** `password: $password` names a variable, and `token: String!` a type: neither is a secret. A line may end there. */
export function isReference (value: string): boolean {
  return /^(?:\$\w{1,64}|\[?(?:String|ID|Int|Float|Boolean)\b!?\]?!?)(?:\\{1,8}[nrt]){0,8}$/.test(value)
}
