/**
 * Masking: cookies, text of no known form, bodies of several parts. A secret
 * is replaced by its shape (mask-shape.ts). Pure.
 *
 * Linear on purpose, in every function: the text is a stranger's, and whoever masks it is the main thread. A
 * value's end is looked for by a scanner and not by a pattern, whose attempts would each read the same text again.
 */
import { maskCalls } from './graphql-secrets.ts'
import { maskElements } from './mask-elements.ts'
import { maskListed, maskOptions, maskTokens } from './mask-forms.ts'
import { NAME_MAX, maskNamed } from './mask-named.ts'
import { decodeAscii, maskShape, unescapeAscii } from './mask-shape.ts'
import { isSecretName } from './secret-names.ts'
import type { OnMasked } from './mask-shape.ts'

/** `a=1; session=x`: values go, and of names what is no word, since some set a secret as the name. */
export function maskCookies (text: string, onMasked: OnMasked): string {
  return text.split(';').map((pair) => {
    const equals = pair.indexOf('=')
    if (equals === -1) return pair.trim() === '' ? pair : maskShape(pair)
    const name = maskOddWords(pair.slice(0, equals))
    onMasked(`cookie.${name.trim().slice(0, 64)}`)
    return `${name}=${maskShape(pair.slice(equals + 1))}`
  }).join(';')
}

/** Words of letters and single digits stay: `PHPSESSID`, `_ga`, `__Host-a1`. */
function maskOddWords (name: string): string {
  return name.replace(/[^\s_.-]+/g, (word) => /^(?:[A-Za-z]{1,24}\d?|\d{1,2})$/.test(word) ? word : maskShape(word))
}

/** Text of no known form, or of several: whatever follows a secret name is masked. */
export function maskText (text: string, place: string, onMasked: OnMasked): string {
  const plain = unescapeAscii(text)
  const masked = maskNamesAndForms(maskCalls(plain, onMasked), place, onMasked)
  return masked === plain ? text : masked
}

/** The same for a string in its quotes, whose calls are masked already. */
export function maskQuoted (text: string, place: string, onMasked: OnMasked): string {
  const plain = unescapeAscii(text)
  const masked = maskNamesAndForms(plain, place, onMasked)
  return masked === plain ? text : masked
}

function maskNamesAndForms (text: string, place: string, onMasked: OnMasked): string {
  const named = maskElements(maskNamed(text, place, onMasked), place, onMasked)
  const listed = maskListed(maskOptions(named, place, onMasked), place, onMasked)
  return maskTokens(listed, place, onMasked)
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
