/**
 * Masking in JSON text without parsing it into a tree: tokens are walked, values of secret names are masked in place.
 * So it also holds for JSON that is cut off, broken or nested deeper than a parser likes. Pure, linear.
 */
import { HIDING_LENGTH_MIN, maskText } from './mask.ts'
import { maskShape } from './mask-shape.ts'
import { isNameKey, isSecretName, isValueKey } from './secret-names.ts'
import type { OnMasked } from './mask-shape.ts'

/** The shortest text that hides anything, in its quotes; most strings are shorter or plain. */
const HIDING_TOKEN_LENGTH_MIN = HIDING_LENGTH_MIN + 2

const NUMBER = /-?\d[\w.+-]*/y
const BACKSLASH = 0x5c
const QUOTE = 0x22
const MINUS = 0x2d
const ZERO = 0x30
const NINE = 0x39
/** Blanks, also of other notations, and the mark of a byte order. */
const BLANK = /[\s:\u00ef\u00bb\u00bf]/
const WORD = /[^\s"{}[\],:]+/y
const NAME_TOKEN_MAX = 66
const NAMELESS = { name: '', isSecret: false }

/** The text with what stands under secret names masked, also where it is cut off or no JSON. */
export function maskJson (text: string, place: string, onMasked: OnMasked): string {
  const paired = secretPairs(text)
  /** The names under which the open objects and lists stand; each is judged once, however many values it has. */
  const open: Array<typeof NAMELESS> = []
  const openPaired: boolean[] = []
  let under = NAMELESS
  /** How many were open where a secret one began; its whole content is masked. */
  let secretFrom = -1
  let out = ''
  let from = 0

  const isJson = walk(text, {
    onOpen (at) {
      if (secretFrom === -1 && under.isSecret) secretFrom = open.length
      open.push(under)
      openPaired.push(paired.has(at))
    },
    onClose () {
      under = open.pop() ?? NAMELESS
      openPaired.pop()
      if (open.length <= secretFrom) secretFrom = -1
    },
    // In a list the next value stands under the list's name; in an object its key follows.
    onComma () { under = open.at(-1) ?? NAMELESS },
    onKey (token) {
      const name = unquote(token)
      under = { name, isSecret: isSecretName(name) || (openPaired.at(-1) === true && isValueKey(name)) }
    },
    onValue (at, end) {
      const token = text.slice(at, end)
      const masked = maskValue(token)
      if (masked === token) return
      out += text.slice(from, at) + masked
      from = end
    }
  })
  const masked = out + text.slice(from)
  // Names without quotes, other quotes, comments, or another form altogether.
  return isJson ? masked : maskText(masked, place, onMasked)

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

/** Where the objects begin in which a secret's name is a value: `{ "value": "x", "name": "password" }`. */
function secretPairs (text: string): Set<number> {
  const found = new Set<number>()
  const open: Array<{ at: number, isNamed: boolean }> = []
  walk(text, {
    onOpen (at) { open.push({ at, isNamed: false }) },
    onClose () { open.pop() },
    onComma () {},
    onKey (token) {
      const object = open.at(-1)
      if (object !== undefined) object.isNamed = token.length <= NAME_TOKEN_MAX && isNameKey(unquote(token))
    },
    onValue (at, end) {
      const object = open.at(-1)
      if (object === undefined || !object.isNamed || end - at > NAME_TOKEN_MAX || text.charCodeAt(at) !== QUOTE) return
      if (isSecretName(unquote(text.slice(at, end)))) found.add(object.at)
    }
  })
  return found
}

interface Visitor {
  onOpen: (at: number) => void
  onClose: () => void
  onComma: () => void
  onKey: (token: string) => void
  onValue: (at: number, end: number) => void
}

/** One pass over the tokens; false where words stand between them that JSON does not have. */
function walk (text: string, visitor: Visitor): boolean {
  let isJson = true
  for (let at = 0; at < text.length; at++) {
    const first = text[at] as string
    if (first === '{' || first === '[') visitor.onOpen(at)
    else if (first === '}' || first === ']') visitor.onClose()
    else if (first === ',') visitor.onComma()
    else if (!BLANK.test(first)) {
      const end = endOfValue(text, at)
      if (end === at) {
        WORD.lastIndex = at
        WORD.test(text)
        if (!/^(?:true|false|null)$/.test(text.slice(at, WORD.lastIndex))) isJson = false
        at = WORD.lastIndex - 1
        continue
      }
      if (first === '"' && isKey(text, end)) visitor.onKey(text.slice(at, end))
      else visitor.onValue(at, end)
      at = end - 1
    }
  }
  return isJson
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

/** A string with a colon behind it is a name, whatever other notations let stand between them. */
function isKey (text: string, end: number): boolean {
  let at = end
  while (at < text.length && !'"{}[],:'.includes(text[at] as string)) at++
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
