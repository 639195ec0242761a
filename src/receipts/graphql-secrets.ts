/**
 * GraphQL documents, for redaction: which variables feed secrets, and the document without them. Pure, linear, and
 * bears any text: a document that no parser takes is still kept in a receipt, and may hold a password.
 *
 * An operation whose arguments or results are secret keeps its shape only, whatever its values are called: a password
 * is typed into the field of the name, too. Elsewhere a variable is as secret as the arguments that it feeds.
 */
import { SECRET_OPERATIONS } from '../identity/shapes.ts'
import { anyOf } from '../std/regex.ts'
import { maskEncoded, maskShape } from './mask-shape.ts'
import { isSecretName } from './secret-names.ts'

export interface GraphqlSecrets {
  /** Some document asks for one of the secret operations. */
  readonly isSecret: boolean
  /** Variables that feed an argument with a secret name, through lists and objects as well. */
  readonly variables: ReadonlySet<string>
  /** Variables that some document declares or uses; null without a document. */
  readonly declared: ReadonlySet<string> | null
}

export const NO_SECRETS: GraphqlSecrets = { isSecret: false, variables: new Set(), declared: null }
const SHAPE_ONLY: GraphqlSecrets = { ...NO_SECRETS, isSecret: true }

const OPERATIONS: ReadonlySet<string> = new Set(SECRET_OPERATIONS.map((name) => name.toLowerCase()))
/** One of them with arguments, as it may stand in any text. */
const CALL = new RegExp(`\\b(?:${SECRET_OPERATIONS.join('|')})\\s{0,16}\\(`, 'i')

/** Each begins with another character, so that no text is read twice. */
const TOKEN = anyOf([
  /"""(?:[^"\\]|\\"""|\\|"(?!""))*(?:"""|$)/,
  /"(?:[^"\\\r\n]|\\[^\r\n])*(?:"|\\?(?=[\r\n]|$))/,
  /#[^\r\n]*/,
  /[$@]?[A-Za-z_]\w*/,
  /-?\d[\w.+-]*/,
  /[(){}[\]:=]/
], 'g')
/** Of a document that is broken, words of the language stay readable. */
const WORDS: ReadonlySet<string> = new Set([
  'query', 'mutation', 'subscription', 'fragment', 'on', 'true', 'false', 'null', 'String', 'ID', 'Int', 'Boolean',
  ...SECRET_OPERATIONS
])

/** Text of any form that calls a secret operation, as a document or within one: values keep their shape. */
export function maskCalls (text: string, onMasked: (place: string) => void): string {
  const call = text.includes('(') ? CALL.exec(text) : null
  if (call === null) return text
  const brace = text.indexOf('{')
  if (brace === -1 || brace > call.index) return text
  return maskDocument(text, SHAPE_ONLY, onMasked)
}

/** What documents say together: those of one request share its variables. */
export function readSecrets (documents: readonly string[]): GraphqlSecrets {
  if (documents.length === 0) return NO_SECRETS
  const variables = new Set<string>()
  const declared = new Set<string>()
  let isSecret = false
  for (const document of documents) {
    const isBroken = readTokens(document, (token) => {
      if (token.kind === 'word' && OPERATIONS.has(token.text.toLowerCase())) isSecret = true
      if (token.kind !== 'variable') return
      const name = token.text.slice(1)
      declared.add(name)
      if (token.isSecret || isSecretName(name)) variables.add(name)
    })
    if (isBroken && CALL.test(document)) isSecret = true
  }
  return { isSecret, variables, declared }
}

/** The document with the secrets masked that only the whole request tells. It keeps its length. */
export function maskDocument (document: string, secrets: GraphqlSecrets, onMasked: (place: string) => void): string {
  if (!secrets.isSecret && secrets.variables.size === 0) return document
  const edits: Array<{ at: number, shape: string }> = []
  const isBroken = readTokens(document, ({ kind, text, at, name }) => {
    const isSecret = secrets.isSecret || (kind === 'default' && secrets.variables.has(name))
    if (!isSecret || kind === 'word' || kind === 'variable') return
    const shape = shapeOfToken(text)
    if (shape === text) return
    onMasked(kind === 'value' ? `graphql.${name}` : kind === 'default' ? `variables.${name}` : 'graphql')
    edits.push({ at, shape })
  })
  if (isBroken && secrets.isSecret) {
    onMasked('graphql')
    return document.replace(BROKEN_WORD, (word) => word[0] === '\\' || WORDS.has(word) ? word : maskShape(word))
  }
  let out = ''
  // A comment between a word and what follows is told before the word.
  for (const { at, shape } of edits.sort((a, b) => a.at - b.at)) out += document.slice(out.length, at) + shape
  return out + document.slice(out.length)
}

/** Not what a backslash makes an escape. */
const BROKEN_WORD = /\\.|[^\s(){}[\]:=!,"#$@.\\]+/g

function shapeOfToken (token: string): string {
  if (/^(?:true|false|null)$/.test(token)) return token
  // A number of zeros is none.
  return /^-?\d/.test(token) ? token.replace(/\d/g, '1') : maskEncoded(token)
}

interface Token {
  kind: 'word' | 'variable' | 'value' | 'default' | 'comment'
  text: string
  at: number
  /** The argument whose value it is, or the variable of a default. */
  name: string
  /** It stands in the value of an argument with a secret name. */
  isSecret: boolean
}

/** What stands between tokens besides blanks. */
const ODD = /[^\s,!|&.\ufeff]/
const CLOSING: Readonly<Record<string, string>> = { '(': ')', '{': '}', '[': ']' }

/** One pass over the tokens; true for a text that is no document, as one whose brackets or quotes have no end. */
function readTokens (text: string, onToken: (token: Token) => void): boolean {
  /** Of each bracket that is open in arguments: the argument it is the value of. */
  const open: Array<{ closes: string, name: string, isSecret: boolean }> = []
  /** A word in arguments is the name of one where a colon follows, and else a value. */
  let word: Token | null = null
  let selections = 0
  let hasSelection = false
  let argument = ''
  let variable = ''
  let isSecret = false
  let isDefault = false
  let isBroken = false
  let end = 0

  const settleWord = (): void => {
    if (word !== null) onToken(word)
    word = null
  }
  const openBracket = (bracket: string): void => {
    if (open.length > 0 || bracket === '(') {
      open.push({ closes: CLOSING[bracket] as string, name: argument, isSecret })
      if (bracket === '(') isDefault = isSecret = false
    } else if (bracket === '{') {
      selections++
      hasSelection = true
    } else isBroken = true
  }
  const closeBracket = (bracket: string): void => {
    const within = open.pop()
    if (within === undefined) {
      if (bracket !== '}' || --selections < 0) isBroken = true
      return
    }
    if (within.closes !== bracket) isBroken = true
    argument = within.name
    isSecret = within.isSecret
    if (bracket === ')') isDefault = isSecret = false
  }
  const beginArgument = (name: string): void => {
    const within = open.at(-1)
    argument = name
    isSecret = (within !== undefined && within.closes !== ')' && within.isSecret) || isSecretName(name)
  }
  const readValue = (token: string, at: number): void => {
    const kind = isDefault ? 'default' : open.length > 0 && selections > 0 ? 'value' : 'word'
    const read: Token = { kind, text: token, at, name: isDefault ? variable : argument, isSecret }
    if (token.startsWith('"')) {
      isBroken ||= token.length < 2 || !token.endsWith('"') || token === '"""'
      onToken(kind === 'word' ? { ...read, kind: 'value' } : read)
    } else if (open.length > 0) word = read
    else onToken(read)
  }

  TOKEN.lastIndex = 0
  for (let match = TOKEN.exec(text); match !== null; match = TOKEN.exec(text)) {
    const token = match[0]
    const at = match.index
    if (at > end && ODD.test(text.slice(end, at))) isBroken = true
    end = TOKEN.lastIndex
    const first = token.charAt(0)
    if (first === '#') {
      onToken({ kind: 'comment', text: token, at, name: '', isSecret })
      continue
    }
    if (first === ':' && word !== null) {
      beginArgument((word as Token).text)
      word = null
      continue
    }
    settleWord()
    if ('({['.includes(first)) openBracket(first)
    else if (')}]'.includes(first)) closeBracket(first)
    else if (first === '=') isDefault = open.length > 0
    else if (first === '@') isDefault = false
    else if (first === '$') {
      if (selections === 0 && open.length === 1) variable = token.slice(1)
      isDefault = false
      onToken({ kind: 'variable', text: token, at, name: argument, isSecret })
    } else if (first !== ':') readValue(token, at)
  }
  settleWord()
  return isBroken || open.length > 0 || selections !== 0 || !hasSelection || ODD.test(text.slice(end))
}
