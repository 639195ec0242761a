/**
 * Masking in JSON text without parsing it into a tree: tokens are walked, values of secret names are masked in place.
 * So it also holds for JSON that is cut off, broken or nested deeper than a parser likes. Pure, linear.
 */
import { HIDING_LENGTH_MIN, maskShape, maskText } from './mask.ts'
import { isSecretName } from './secret-names.ts'
import type { OnMasked } from './mask.ts'

/** The shortest text that hides anything, in its quotes; most strings are shorter or plain. */
const HIDING_TOKEN_LENGTH_MIN = HIDING_LENGTH_MIN + 2

const NUMBER = /-?\d[\w.+-]*/y
const BACKSLASH = 0x5c
const QUOTE = 0x22
const MINUS = 0x2d
const ZERO = 0x30
const NINE = 0x39
const NAMELESS = { name: '', isSecret: false }

/** The text with what stands under secret names masked, also where it is cut off or no JSON. */
export function maskJson (text: string, place: string, onMasked: OnMasked): string {
  /** The names under which the open objects and lists stand; each is judged once, however many values it has. */
  const open: Array<typeof NAMELESS> = []
  let under = NAMELESS
  /** How many were open where a secret one began; its whole content is masked. */
  let secretFrom = -1
  let out = ''
  let from = 0

  for (let at = 0; at < text.length; at++) {
    const first = text[at] as string
    if (first === '{' || first === '[') {
      if (secretFrom === -1 && under.isSecret) secretFrom = open.length
      open.push(under)
    } else if (first === '}' || first === ']') {
      under = open.pop() ?? NAMELESS
      if (open.length <= secretFrom) secretFrom = -1
    } else if (first === ',') {
      // In a list the next value stands under the list's name; in an object its key follows.
      under = open.at(-1) ?? NAMELESS
    } else {
      const end = endOfValue(text, at)
      if (end === at) continue
      const token = text.slice(at, end)
      if (first === '"' && isKey(text, end)) {
        const name = unquote(token)
        under = { name, isSecret: isSecretName(name) }
      } else {
        const masked = maskValue(token)
        if (masked !== token) {
          out += text.slice(from, at) + masked
          from = end
        }
      }
      at = end - 1
    }
  }
  return out + text.slice(from)

  function maskValue (token: string): string {
    if (secretFrom === -1 && !under.isSecret) {
      return token[0] === '"' && token.length >= HIDING_TOKEN_LENGTH_MIN
        ? maskText(token, placeOf(), onMasked)
        : token
    }
    if (token.length > 2) onMasked(placeOf())
    if (token[0] !== '"') return token.replace(/\d/g, '1')
    return `"${maskShape(token.slice(1, -1).replace(/\\u[0-9a-fA-F]{4}|\\[\s\S]/g, 'a'))}"`
  }

  function placeOf (): string {
    return under.name === '' ? place : `${place}.${under.name.slice(0, 64)}`
  }
}

/** Where the string or number that begins here ends; `at` when there is none. A string may be cut off anywhere. */
function endOfValue (text: string, at: number): number {
  const unit = text.charCodeAt(at)
  if (unit === QUOTE) return endOfString(text, at + 1)
  if (unit !== MINUS && !(unit >= ZERO && unit <= NINE)) return at
  NUMBER.lastIndex = at
  return NUMBER.test(text) ? NUMBER.lastIndex : at
}

function endOfString (text: string, from: number): number {
  for (let at = from; at < text.length; at++) {
    const unit = text.charCodeAt(at)
    if (unit === QUOTE) return at + 1
    if (unit === BACKSLASH) at++
  }
  return text.length
}

/** A string with a colon behind it is a name. */
function isKey (text: string, end: number): boolean {
  let at = end
  while (at < text.length && ' \t\r\n'.includes(text[at] as string)) at++
  return text[at] === ':'
}

/** The name as a parser would read it: `pass\u0077ord` is `password`. */
function unquote (token: string): string {
  if (!token.includes('\\')) return token.slice(1, -1)
  try {
    return JSON.parse(token) as string
  } catch {
    return token.slice(1, -1)
  }
}
