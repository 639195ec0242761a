/**
 * Masking in JSON text without parsing it into a tree: tokens are walked, values of secret names are masked in place.
 * So it also holds for JSON that is cut off, broken or nested deeper than a parser likes. Pure, linear.
 */
import { maskCalls, maskDocument, type GraphqlSecrets } from './graphql-secrets.ts'
import { HIDING_LENGTH_MIN, maskTokens } from './mask-forms.ts'
import { maskQuoted, maskText } from './mask.ts'
import { maskShape } from './mask-shape.ts'
import { QUOTE, unquote, walk } from './json-tokens.ts'
import { isNameKey, isSecretName, isValueKey } from './secret-names.ts'
import type { OnMasked } from './mask-shape.ts'

/** The shortest text that hides anything, in its quotes; most strings are shorter or plain. */
const HIDING_TOKEN_LENGTH_MIN = HIDING_LENGTH_MIN + 2

const NAME_TOKEN_MAX = 66
/** The shortest name that may be a token itself. */
const TOKEN_LENGTH_MIN = 12

/** A name that values stand under. */
interface Under {
  readonly name: string
  readonly isSecret: boolean
  /** Within the variables of GraphQL: where a factor would say that it is, and '' elsewhere. */
  readonly path: string
  /** No evidence lets anything of it be kept. */
  readonly isHard: boolean
}
const NAMELESS: Under = { name: '', isSecret: false, path: '', isHard: false }
const VARIABLES: Under = { name: 'variables', isSecret: true, path: 'variables', isHard: false }

/** A request of GraphQL: what its documents say of it, and what factors found in its variables. */
export interface GraphqlRequest {
  readonly secrets: GraphqlSecrets
  /** By place, the words that evidence tells, which are kept. */
  readonly evidence: ReadonlyMap<string, ReadonlySet<string>>
}

/** The text with what stands under secret names masked, also where it is cut off or no JSON. */
export function maskJson (text: string, place: string, onMasked: OnMasked, graphql?: GraphqlRequest): string {
  return maskUnder(NAMELESS, text, place, onMasked, graphql)
}

/** The same for JSON that is the value of `variables`. */
export function maskVariables (text: string, onMasked: OnMasked, graphql: GraphqlRequest): string {
  return maskUnder(VARIABLES, text, 'variables', onMasked, graphql)
}

function maskUnder (root: Under, text: string, place: string, onMasked: OnMasked, graphql?: GraphqlRequest): string {
  const paired = secretPairs(text)
  /** The names under which the open objects and lists stand; each is judged once, however many values it has. */
  const open: Under[] = []
  const openPaired: boolean[] = []
  const openLists: boolean[] = []
  /** `["password", "x"]`: the value before in the same list is a secret's name. */
  let isNamedBefore = false
  let under = root
  /** How many were open where a secret one began; its whole content is masked. */
  let secretFrom = -1
  let out = ''
  let from = 0

  const isJson = walk(text, {
    onOpen (at) {
      if (secretFrom === -1 && (under.isSecret || isNamedBefore)) secretFrom = open.length
      open.push(under)
      openPaired.push(paired.has(at))
      openLists.push(text[at] === '[')
      isNamedBefore = false
    },
    onClose () {
      under = open.pop() ?? root
      openPaired.pop()
      openLists.pop()
      isNamedBefore = false
      if (open.length <= secretFrom) secretFrom = -1
    },
    // In a list the next value stands under the list's name; in an object its key follows.
    onComma () { under = open.at(-1) ?? root },
    onKey (at, end) {
      const token = text.slice(at, end)
      const name = unquote(token)
      const parent = open.at(-1) ?? root
      under = underOf(parent, name, openPaired.at(-1) === true && isValueKey(name))
      // Names that no document knows may be anything.
      const isUnknown = parent.path === VARIABLES.path && graphql !== undefined && graphql.secrets.declared !== null &&
        !graphql.secrets.declared.has(name)
      if (isUnknown) edit(at, end, `"${shapeOfString(token)}"`)
      else if (token.length >= TOKEN_LENGTH_MIN) edit(at, end, maskTokens(token, place, onMasked))
    },
    onValue (at, end) {
      const token = text.slice(at, end)
      edit(at, end, maskValue(token))
      isNamedBefore = openLists.at(-1) === true && !isNamedBefore && end - at <= NAME_TOKEN_MAX && token[0] === '"' &&
        isSecretName(unquote(token))
    }
  })
  const masked = out + text.slice(from)
  // Names without quotes, other quotes, comments, or another form altogether.
  return isJson ? masked : maskText(masked, place, onMasked)

  function edit (at: number, end: number, masked: string): void {
    if (masked === text.slice(at, end)) return
    out += text.slice(from, at) + masked
    from = end
  }

  function underOf (parent: Under, name: string, isPaired: boolean): Under {
    const isSecret = isPaired || isSecretName(name)
    if (graphql === undefined) return { name, isSecret, path: '', isHard: true }
    const isHard = parent.isHard || (isSecret && name !== VARIABLES.name) ||
      (parent.path === VARIABLES.path && graphql.secrets.variables.has(name))
    const isWithin = parent.path !== ''
    const path = isWithin ? innerPath(parent.path, name) : name === VARIABLES.name ? name : ''
    return { name, isSecret, path, isHard }
  }

  function maskValue (token: string): string {
    if (secretFrom === -1 && !under.isSecret && !isNamedBefore) {
      if (token[0] !== '"' || token.length < HIDING_TOKEN_LENGTH_MIN) return token
      return maskQuoted(maskDocumentIn(token), placeOf(), onMasked)
    }
    const masked = token[0] === '"'
      ? `"${maskAround(token) ?? shapeOfString(token)}"`
      : token.replace(/\d/g, '1')
    // What a factor found may be the whole value, which is then kept.
    if (token.length > 2 && (masked !== token || under.isHard)) onMasked(placeOf())
    return masked
  }

  /** What a factor found in the variables stays, between the shapes of what stands around it. */
  function maskAround (token: string): string | null {
    if (graphql === undefined || under.isHard || graphql.secrets.isSecret) return null
    const words = graphql.evidence.get(under.path)
    return words === undefined
      ? null
      : token.slice(1, -1).replace(PIECE, (piece) => {
        if (piece[0] === '\\') return piece.length === 2 ? piece : 'a'
        return words.has(piece.toLowerCase()) ? piece : maskShape(piece)
      })
  }

  function maskDocumentIn (token: string): string {
    if (!token.includes('{')) return token
    const document = unquote(token)
    const masked = graphql !== undefined && under.name === 'query'
      ? maskDocument(document, graphql.secrets, onMasked)
      : maskCalls(document, onMasked)
    if (masked === document) return token
    const quoted = JSON.stringify(masked)
    // The text is bytes: what stood in escapes of its own stays in them.
    return token.includes('\\u') ? quoted.replace(/[^\0-\x7e]/g, escapeUnit) : quoted
  }

  function placeOf (): string {
    if (under.path !== '') return under.path
    return under.name === '' ? place : `${place}.${under.name.slice(0, 64)}`
  }
}

const PIECE = /\\u[0-9a-fA-F]{4}|\\[\s\S]|[^\\\W_]+|[\u0080-\uffff]+/g

/** A string's content, in its quotes, as a shape. */
function shapeOfString (token: string): string {
  return maskShape(token.slice(1, -1).replace(/\\u[0-9a-fA-F]{4}|\\[\s\S]/g, 'a'))
}

function escapeUnit (character: string): string {
  return '\\u' + character.charCodeAt(0).toString(16).padStart(4, '0')
}

/** As the payload factor calls the places of JSON (detect/payload/json-values.ts). */
function innerPath (path: string, name: string): string {
  return path.length < 48 ? `${path}.${name.slice(0, 32)}` : path
}

/** Where the objects begin in which a secret's name is a value: `{ "value": "x", "name": "password" }`. */
function secretPairs (text: string): Set<number> {
  const found = new Set<number>()
  const open: Array<{ at: number, isNamed: boolean }> = []
  walk(text, {
    onOpen (at) { open.push({ at, isNamed: false }) },
    onClose () { open.pop() },
    onComma () {},
    onKey (at, end) {
      const object = open.at(-1)
      if (object !== undefined) object.isNamed = end - at <= NAME_TOKEN_MAX && isNameKey(unquote(text.slice(at, end)))
    },
    onValue (at, end) {
      const object = open.at(-1)
      if (object === undefined || !object.isNamed || end - at > NAME_TOKEN_MAX || text.charCodeAt(at) !== QUOTE) return
      if (isSecretName(unquote(text.slice(at, end)))) found.add(object.at)
    }
  })
  return found
}
