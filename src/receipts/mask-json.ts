/**
 * Masking in JSON text without parsing it into a tree: tokens are walked, values of secret names are masked in place.
 * So it also holds for JSON that is cut off, broken or nested deeper than a parser likes. Pure, linear.
 */
import { maskShape, maskText } from './mask.ts'
import { isSecretName } from './secret-names.ts'
import type { OnMasked } from './mask.ts'

const TOKEN = /"(?:[^"\\]|\\[\s\S])*(?:"|$)|-?\d[\w.+-]*|[{}[\],:]/g

/** A name, a separator and something to hide need as much; most strings are shorter or plain. */
const HIDING_LENGTH = 8

/** The text with what stands under secret names masked, also where it is cut off or no JSON. */
export function maskJson (text: string, place: string, onMasked: OnMasked): string {
  /** The names under which the open objects and lists stand. */
  const open: string[] = []
  let name = ''
  /** How many were open where a secret one began; its whole content is masked. */
  let secretFrom = -1
  let out = ''
  let from = 0

  for (const match of text.matchAll(TOKEN)) {
    const token = match[0]
    const end = match.index + token.length
    if (token === '{' || token === '[') {
      if (secretFrom === -1 && isSecretName(name)) secretFrom = open.length
      open.push(name)
    } else if (token === '}' || token === ']') {
      name = open.pop() ?? ''
      if (open.length <= secretFrom) secretFrom = -1
    } else if (token === ',') {
      // In a list the next value stands under the list's name; in an object its key follows.
      name = open.at(-1) ?? ''
    } else if (token[0] === '"' && isKey(text, end)) {
      name = unquote(token)
    } else if (token !== ':') {
      out += text.slice(from, match.index) + maskValue(token)
      from = end
    }
  }
  return out + text.slice(from)

  function maskValue (token: string): string {
    if (secretFrom === -1 && !isSecretName(name)) {
      return token[0] === '"' && token.length >= HIDING_LENGTH
        ? maskText(token, placeOf(), onMasked)
        : token
    }
    if (token.length > 2) onMasked(placeOf())
    if (token[0] !== '"') return token.replace(/\d/g, '1')
    return `"${maskShape(token.slice(1, -1).replace(/\\u[0-9a-fA-F]{4}|\\[\s\S]/g, 'a'))}"`
  }

  function placeOf (): string {
    return name === '' ? place : `${place}.${name.slice(0, 64)}`
  }
}

/** A string with a colon behind it is a name. */
function isKey (text: string, end: number): boolean {
  let at = end
  while (at < text.length && ' \t\r\n'.includes(text[at] as string)) at++
  return text[at] === ':'
}

/** The name as a parser would read it: `pass\u0077ord` is `password`. */
function unquote (token: string): string {
  try {
    return JSON.parse(token) as string
  } catch {
    return token.slice(1, -1)
  }
}
