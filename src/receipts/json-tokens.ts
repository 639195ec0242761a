/**
 * The tokens of JSON text, which need be no JSON: read in one pass, whatever stands between them. Pure, linear.
 */
const NUMBER = /-?\d[\w.+-]*/y
const BACKSLASH = 0x5c
export const QUOTE = 0x22
const MINUS = 0x2d
const ZERO = 0x30
const NINE = 0x39
/** Blanks, also of other notations, and the mark of a byte order. */
const BLANK = /[\s:\u00ef\u00bb\u00bf]/
const WORD = /[^\s"{}[\],:]+/y
/** As many as a batch may hold and more; each is read twice. */
const DOCUMENTS_MAX = 100

interface Visitor {
  onOpen: (at: number) => void
  onClose: () => void
  onComma: () => void
  onKey: (at: number, end: number) => void
  onValue: (at: number, end: number) => void
}

/** One pass over the tokens; false where words stand between them that JSON does not have. */
export function walk (text: string, visitor: Visitor): boolean {
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
      if (first === '"' && isKey(text, end)) visitor.onKey(at, end)
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
export function unquote (token: string): string {
  if (!token.includes('\\')) return token.slice(1, -1)
  try {
    return JSON.parse(token) as string
  } catch {
    return token.slice(1, -1)
  }
}

/** String values under `query` that are documents. */
export function documentsIn (text: string): string[] {
  const documents: string[] = []
  if (!text.includes('{')) return documents
  let isQuery = false
  walk(text, {
    onOpen () {},
    onClose () {},
    onComma () { isQuery = false },
    onKey (at, end) { isQuery = unquote(text.slice(at, end)) === 'query' },
    onValue (at, end) {
      if (!isQuery || text.charCodeAt(at) !== QUOTE) return
      const document = unquote(text.slice(at, end))
      if (/[{(]/.test(document) && documents.length < DOCUMENTS_MAX) documents.push(document)
    }
  })
  return documents
}
