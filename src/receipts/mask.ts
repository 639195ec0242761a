/**
 * Masking: tokens that give themselves away, pairs, cookies, text of no known form, bodies of several parts. A secret
 * is replaced by its shape (mask-shape.ts). Pure.
 *
 * Linear on purpose, in every function: the text is a stranger's, and whoever masks it is the main thread. A
 * value's end is looked for by a scanner and not by a pattern, whose attempts would each read the same text again.
 */
import { anyOf } from '../std/regex.ts'
import { maskElements } from './mask-elements.ts'
import { NAME_MAX, maskNamed } from './mask-named.ts'
import { decodeAscii, maskEncoded, maskShape, unescapeAscii } from './mask-shape.ts'
import { isNameKey, isSecretName, isValueKey } from './secret-names.ts'
import type { OnMasked } from './mask-shape.ts'

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

/**
 * `a=1&password=x`, `;`-separated too: values of secret names go, the rest is searched for secrets inside. Behind a
 * secret a semicolon may be a character of it, so what follows up to the next `&` goes as well.
 */
export function maskPairs (text: string, place: string, onMasked: OnMasked): string {
  return maskPairsAt(0, text, place, onMasked)
}

function maskPairsAt (depth: number, text: string, place: string, onMasked: OnMasked): string {
  const isPaired = hasSecretAsValue(text)
  return text.replace(/[^&]+/g, (group) => {
    let secret = ''
    return group.replace(/[^;]+/g, (pair) => {
      const equals = pair.indexOf('=')
      const value = pair.slice(equals + 1)
      if (value === '') return pair
      const name = decodeAscii(pair.slice(0, Math.max(0, equals)).replaceAll('+', ' '))
      if (equals !== -1 && (isSecretPairName(name) || (isPaired && isValueKey(name)))) secret = name
      if (secret === '') {
        return pair.slice(0, equals + 1) + maskInside(depth, value, `${place}.${name.slice(0, NAME_MAX)}`, onMasked)
      }
      onMasked(`${place}.${secret.slice(0, NAME_MAX)}`)
      return pair.slice(0, equals + 1) + maskEncoded(value)
    })
  })
}

/** Of a target in a target the path may stand before the name. */
function isSecretPairName (name: string): boolean {
  return isSecretName(name) || (/[?#/]/.test(name) && isSecretName(name.split(/[?#/]/).at(-1) as string))
}

/** `name=password&value=x`, in any order. */
function hasSecretAsValue (text: string): boolean {
  return [...text.matchAll(/(?<![^&;?])([a-z]{3,16})=([^&;=]{3,64})/gi)].some((pair) =>
    isNameKey(pair[1] as string) && isSecretName(decodeAscii(pair[2] as string)))
}

/** Of values in values, each of which is decoded. */
const DEPTH_MAX = 3
/** What stands behind a name, also encoded once more. */
const MAY_NAME = /[{"'=:<]|%(?:25)*(?:3[AaCcDd]|22|27|7[Bb])/

/** A value that is itself JSON, GraphQL, XML or a target, percent-encoded: secrets inside it. */
function maskInside (depth: number, value: string, place: string, onMasked: OnMasked): string {
  if (value.length < HIDING_LENGTH_MIN) return value
  const plain = decodeValue(value)
  if (depth > 0 && plain === value) return value
  if (!MAY_NAME.test(plain)) return maskTokens(value, place, onMasked)
  const named = maskText(plain, place, onMasked)
  const masked = depth < DEPTH_MAX && named.includes('%') ? maskDeeper(depth + 1, named, place, onMasked) : named
  if (masked === plain) return value
  // Half a surrogate pair, which a sample's target may hold, has no encoding.
  return plain === value ? masked.toWellFormed() : encodeURIComponent(masked.toWellFormed())
}

/** A value that is still encoded, as a whole or in the parameters of a target. */
function maskDeeper (depth: number, value: string, place: string, onMasked: OnMasked): string {
  const mark = value.indexOf('?')
  if (mark === -1 && /[^\w.!~*'()%+-]/.test(value)) return value
  return value.slice(0, mark + 1) + (mark === -1
    ? maskInside(depth, value, place, onMasked)
    : maskPairsAt(depth, value.slice(mark + 1), place, onMasked))
}

/** A percent sign that begins no escape stays one, as receivers read it; text that is no UTF-8 stays as it is. */
function decodeValue (text: string): string {
  if (!text.includes('%')) return text.replaceAll('+', ' ')
  try {
    return decodeURIComponent(text.replaceAll('+', ' ').replace(/%(?![0-9A-Fa-f]{2})/g, '%25'))
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
  const plain = unescapeAscii(text)
  const named = maskElements(maskNamed(plain, place, onMasked), place, onMasked)
  const masked = maskTokens(named, place, onMasked)
  return masked === plain ? text : masked
}

/** The same for a body of several parts, whose names stand in lines above their values. */
export function maskMultipart (text: string, place: string, onMasked: OnMasked): string {
  return maskText(maskParts(text, place, onMasked), place, onMasked)
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
  const names = [...head.matchAll(PART_NAME)].map((match) => decodeAscii(match[1] as string))
  return [...names, names.join('')].find(isSecretName)
}

/** Where the pattern is found from `at` on, or -1. */
function search (pattern: RegExp, text: string, at: number): number {
  pattern.lastIndex = at
  return pattern.exec(text)?.index ?? -1
}
