/**
 * Masking: a secret is replaced by its shape, letters by `a`, digits by `0`, so that a length or an alphabet
 * can still be judged in a replay and nothing can be read. Text is bytes as latin1 here: what is masked keeps
 * its length. Pure.
 *
 * Linear on purpose, in every function: the text is a stranger's, and whoever masks it is the main thread. A
 * value's end is looked for by a scanner and not by a pattern, whose attempts would each read the same text again.
 */
import { anyOf, sequence } from '../std/regex.ts'
import { isSecretName } from './secret-names.ts'

/** Called with the place of each secret that was masked. */
export type OnMasked = (place: string) => void

/** Code units from here on are letters of some alphabet. */
const NON_ASCII_FROM = 0x80

/** Same length, same punctuation, no content. */
export function maskShape (text: string): string {
  const shape = Buffer.allocUnsafe(text.length)
  for (let i = 0; i < text.length; i++) shape[i] = shapeOf(text.charCodeAt(i))
  return shape.toString('latin1')
}

/** The shape of one code unit, always ASCII. */
function shapeOf (unit: number): number {
  const lower = unit | 0x20
  if ((lower >= 0x61 && lower <= 0x7a) || unit >= NON_ASCII_FROM) return 0x61
  return unit >= 0x30 && unit <= 0x39 ? 0x30 : unit
}

/**
 * Tokens that give themselves away wherever they stand: JWTs, keys of well-known makers, PEM keys,
 * credentials in a URL. Each alternative begins at a boundary, so that a run of letters is read once and not once from
 * each of its letters. A PEM key without its END line is masked to the end of the text.
 */
const TOKENS = anyOf([
  // A JWT; percent-encoded text may stand before it.
  /(?:(?<![\w-])|(?<=%[0-9A-Fa-f]{2}))eyJ[\w-]{8,}(?:\.[\w-]*){1,4}/,
  /\b(?:sk|pk|rk|ghp|gho|ghs|ghu|github_pat|glpat|xox[abprs]|npm|neko|hf|shpat)[_-][\w-]{12,}/,
  /\b(?:AKIA|ASIA)[A-Z0-9]{16}\b/,
  /\bAIza[\w-]{30,}/,
  /(?<=\b(?:[Bb]earer|[Bb]asic|[Tt]oken|[Dd]igest|[Aa]pi[Kk]ey)(?: |%20|\+))[\w.~+/=-]{6,}/,
  /-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----[\s\S]*?(?:-----END|$)/,
  /(?<=:\/\/)[^\s/?#@"'<>]{1,512}(?=@)/
], 'g')
/** The shortest text that hides anything: a URL with one letter of credentials, or `pin=1`. */
export const HIDING_LENGTH_MIN = '://a@'.length

export function maskTokens (text: string, place: string, onMasked: OnMasked): string {
  if (text.length < HIDING_LENGTH_MIN) return text
  return text.replace(TOKENS, (token) => {
    onMasked(place)
    return maskShape(token)
  })
}

/** `a=1&password=x`, `;`-separated too: values of secret names go, the rest is searched for tokens. */
export function maskPairs (text: string, place: string, onMasked: OnMasked): string {
  return text.replace(/[^&;]+/g, (pair) => {
    const equals = pair.indexOf('=')
    if (equals === -1) return maskTokens(pair, place, onMasked)
    const value = pair.slice(equals + 1)
    if (value === '') return pair
    const name = decodeTwice(pair.slice(0, equals))
    if (isSecretName(name)) {
      onMasked(`${place}.${name.slice(0, 64)}`)
      // The percent signs of escapes stay with two digits behind them, so that it decodes.
      return pair.slice(0, equals + 1) + maskEncoded(value)
    }
    return pair.slice(0, equals + 1) + maskInside(value, `${place}.${name.slice(0, 64)}`, onMasked)
  })
}

/** A value that is itself JSON or GraphQL, percent-encoded: secrets inside it. */
function maskInside (value: string, place: string, onMasked: OnMasked): string {
  if (value.length < HIDING_LENGTH_MIN) return value
  const plain = decodeName(value)
  if (!/[{"'=:]/.test(plain)) return maskTokens(value, place, onMasked)
  let isMasked = false
  const masked = maskText(plain, place, (inner) => {
    isMasked = true
    onMasked(inner)
  })
  // Half a surrogate pair, which a sample's target may hold, has no encoding.
  return isMasked ? encodeURIComponent(masked.toWellFormed()) : value
}

function maskEncoded (value: string): string {
  return maskShape(value.replace(/%[0-9A-Fa-f]{2}/g, '%\0\0')).replaceAll('%\0\0', '%61')
}

/** A name may be encoded twice, so that a filter in front does not know it. */
function decodeTwice (text: string): string {
  const once = decodeName(text)
  return once.includes('%') ? decodeName(once) : once
}

function decodeName (text: string): string {
  if (!text.includes('%')) return text.replaceAll('+', ' ')
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch {
    return text
  }
}

/** `a=1; session=x`: names stay, values go. */
export function maskCookies (text: string, onMasked: OnMasked): string {
  return text.split(';').map((pair) => {
    const equals = pair.indexOf('=')
    if (equals === -1) return pair.trim() === '' ? pair : maskShape(pair)
    onMasked(`cookie.${pair.slice(0, equals).trim().slice(0, 64)}`)
    return pair.slice(0, equals + 1) + maskShape(pair.slice(equals + 1))
  }).join(';')
}

/** Text of no known form, or of several: whatever follows a secret name is masked. */
export function maskText (text: string, place: string, onMasked: OnMasked): string {
  return maskTokens(maskElements(maskNamed(text, place, onMasked), place, onMasked), place, onMasked)
}

/** The same for a body of several parts, whose names stand in lines above their values. */
export function maskMultipart (text: string, place: string, onMasked: OnMasked): string {
  const named = maskElements(maskNamed(text, place, onMasked), place, onMasked)
  return maskTokens(maskParts(named, place, onMasked), place, onMasked)
}

/** The name that a value stands under, and a separator; quotes may be escaped (a query inside JSON). */
// A run of name characters is read once, from its first character: the name is the end of the run.
const NAME = sequence([/(?<![\w$.-])([\w$.-]+)/, /\\*["']?\s{0,8}[:=]\s{0,8}/], 'g')
const NAME_MAX = 64
const PLAIN_VALUE = /[^\s"'&,;<>(){}[\]]+/y

/** A name, a separator, a value: as in GraphQL, JSON5, XML attributes, INI, logs. */
function maskNamed (text: string, place: string, onMasked: OnMasked): string {
  let out = ''
  let from = 0
  NAME.lastIndex = 0
  for (let match = NAME.exec(text); match !== null; match = NAME.exec(text)) {
    const name = (match[1] as string).slice(-NAME_MAX).replace(/^[\d.-]+/, '')
    const start = NAME.lastIndex
    if (name === '') continue
    const isSecret = isSecretName(name)
    const end = endOfValue(text, start, isSecret)
    if (isSecret && end > start && !isReference(text.slice(start, end))) {
      onMasked(`${place}.${name}`)
      out += text.slice(from, start) + maskShape(text.slice(start, end))
      from = end
    }
    NAME.lastIndex = end
  }
  return from === 0 ? text : out + text.slice(from)
}

const QUOTE = 0x22
const APOSTROPHE = 0x27
const BACKSLASH = 0x5c

/**
 * Where the value that begins at `start` ends; `start` when there is none. A string that is broken off, or broken by a
 * line, has no end to rely on: of a secret all that follows is its value, and of others nothing is.
 */
function endOfValue (text: string, start: number, isSecret: boolean): number {
  let at = start
  while (text.charCodeAt(at) === BACKSLASH) at++
  const quote = text.charCodeAt(at)
  if (quote === QUOTE) {
    const block = endOfQuotes(text, at)
    if (block !== -1) return endOfBlock(text, block)
    if (at > start) return endOfEscaped(text, at + 1)
  }
  if (at === start && (quote === QUOTE || quote === APOSTROPHE)) {
    const end = endOfString(text, start + 1, quote)
    return end === -1 ? (isSecret ? text.length : start) : end
  }
  PLAIN_VALUE.lastIndex = start
  return PLAIN_VALUE.test(text) ? PLAIN_VALUE.lastIndex : start
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

/** The position behind the next quote that is escaped, or the end of the text. */
function endOfEscaped (text: string, from: number): number {
  for (let at = text.indexOf('"', from); at !== -1; at = text.indexOf('"', at + 1)) {
    if (at > from && text.charCodeAt(at - 1) === BACKSLASH) return at + 1
  }
  return text.length
}

/**
 * The position behind the next quote that is not escaped, or the end of the text; -1 where an escape has nothing on its
 * line.
 */
function endOfString (text: string, from: number, quote: number): number {
  for (let at = from; at < text.length; at++) {
    const unit = text.charCodeAt(at)
    if (unit === quote) return at + 1
    if (unit === BACKSLASH && isLineEnd(text.charCodeAt(++at))) return -1
  }
  return text.length
}

/** Also true of the unit beyond the end of the text, which is NaN. */
function isLineEnd (unit: number): boolean {
  return unit === 0x0a || unit === 0x0d || unit === 0x2028 || unit === 0x2029 || Number.isNaN(unit)
}

// Attributes and content have no bound: neither reads past the next `<`, where the next element may begin.
const ELEMENT = /<([A-Za-z_][\w.:-]{0,63})(\s[^<>]*)?>([^<]+)(?=<)/g

function maskElements (text: string, place: string, onMasked: OnMasked): string {
  return text.replace(ELEMENT, (whole, prefixed: string, attributes: string | undefined, value: string) => {
    const name = prefixed.slice(prefixed.indexOf(':') + 1)
    if (!isSecretName(name) || isReference(value)) return whole
    onMasked(`${place}.${name}`)
    return `<${prefixed}${attributes ?? ''}>${maskShape(value)}`
  })
}

const BLANK_LINE = /\r?\n\r?\n/g
const DELIMITER_LINE = /(?:^|\n)(--[^\r\n]*)/g
const PART_HEAD = /(?:^|\n)content-[a-z]/i
// Not the `filename` beside it. In the extended notation a charset stands before the name, or the name comes in pieces.
const PART_NAME = /(?<!file)name(?:\*\d{0,2}\*?)?\s*=\s*"?(?:[\w-]{0,32}'[\w-]{0,32}')?([^"\r\n;]{1,128})/gi

/** From the blank line below a name to the next delimiter, which is the line above the name, is its value. */
function maskParts (text: string, place: string, onMasked: OnMasked): string {
  let out = ''
  let from = 0
  for (let start = 0; start < text.length;) {
    const blank = search(BLANK_LINE, text, start)
    if (blank === -1) break
    const value = BLANK_LINE.lastIndex
    const above = text.slice(start, blank)
    const delimiter = [...above.matchAll(DELIMITER_LINE)].at(-1)
    const head = delimiter === undefined ? above : above.slice(delimiter.index)
    const secret = PART_HEAD.test(head) ? secretNameIn(head) : undefined
    // A value may hold blank lines and what looks like a head, so what follows a plain name is looked through.
    start = value
    if (secret === undefined) continue
    const end = delimiter === undefined ? -1 : text.indexOf(`\n${delimiter[1]}`, value - 1)
    start = end === -1 ? text.length : Math.max(value, end - (text[end - 1] === '\r' ? 1 : 0))
    if (start === value) continue
    onMasked(`${place}.${secret.slice(0, NAME_MAX)}`)
    out += text.slice(from, value) + maskShape(text.slice(value, start))
    from = start
  }
  return from === 0 ? text : out + text.slice(from)
}

function secretNameIn (head: string): string | undefined {
  const names = [...head.matchAll(PART_NAME)].map((match) => decodeTwice(match[1] as string))
  return [...names, names.join('')].find(isSecretName)
}

/** Where the pattern is found from `at` on, or -1. */
function search (pattern: RegExp, text: string, at: number): number {
  pattern.lastIndex = at
  return pattern.exec(text)?.index ?? -1
}

/** `password: $password` names a variable, and `token: String!` a type: neither is a secret. */
function isReference (value: string): boolean {
  return /^\$\w{1,64}$/.test(value) || /^\[?(?:String|ID|Int|Float|Boolean)\b!?\]?!?$/.test(value)
}
