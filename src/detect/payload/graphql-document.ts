/**
 * Reads a GraphQL document in one pass of a lexer: its literal values and comments (which are what is inspected), and
 * the shape that abuse shows in: depth, repeated fields, aliases, directives, fragments that call each other. The
 * syntax itself is never inspected. Source: GraphQL October 2021, section 2 (lexical grammar), as strict as
 * graphql-js, so that what it reads as a literal is one here (test/detect/graphql-lexer.test.ts); abuse shapes after
 * GraphQL Cop and the OWASP GraphQL cheat sheet.
 */
import { isNameCode, isSpace, readComment, readGraphqlString, readNumber } from './graphql-tokens.ts'

export interface GraphqlReading {
  /** String literals with the name of the argument or input field before them; block strings also as they stand. */
  literals: Array<{ name: string, value: string }>
  /** Comments without their signs, those that hold anything: text to a reader that takes the document for a text. */
  comments: string[]
  depth: number
  aliases: number
  /** Most times one field stands in the document under one parent's braces. */
  repeats: number
  /** Longest run of directives on one field. */
  directives: number
  fields: number
  introspection: 'none' | 'type' | 'schema'
  /** A fragment that reaches itself. */
  cyclic: boolean
  /** Longest chain of one field name nested in itself. */
  recursion: number
  /** True when the nesting is `ofType` in itself, as every tool's introspection asks. */
  deepTypes: boolean
  /** True when braces are left open at its end: no server answers it, and its shape still says what it was made for. */
  open: boolean
  /** True when the lexer stopped at its bound. */
  cut: boolean
}

const TOKENS_MAX = 20_000
const LITERALS_MAX = 1_000
const COMMENTS_MAX = 1_000
const FRAGMENTS_MAX = 200

interface State extends GraphqlReading {
  tokens: number
  level: number
  parens: number
  /** The last name, as a range and a hash: most names are never needed as strings. */
  nameFrom: number
  nameTo: number
  nameHash: number
  argument: string
  typeFollows: boolean
  /** Hashes of the fields whose selections are open. */
  path: number[]
  run: number
  fragment: string
  definition: '' | 'operation' | 'fragment' | 'named'
  spreads: Map<string, Set<string>>
  afterSpread: boolean
  afterAt: boolean
}

/** Counts by hash, in one table that all readings share: a stamp tells whose a slot is, so that nothing is cleared. */
const SLOTS = 4096
const PROBES_MAX = 8
const KEYS = new Int32Array(SLOTS)
const COUNTS = new Int32Array(SLOTS)
const STAMPS = new Int32Array(SLOTS)
let stamp = 0

/** Adds to a key's count and returns it; 0 when the table is full around it. */
function count (key: number, step: number): number {
  for (
    let probe = 0, slot = (key ^ key >>> 13) & (SLOTS - 1);
    probe < PROBES_MAX;
    probe++, slot = (slot + 1) & (SLOTS - 1)
  ) {
    if (STAMPS[slot] !== stamp) {
      STAMPS[slot] = stamp
      KEYS[slot] = key
      COUNTS[slot] = 0
    } else if (KEYS[slot] !== key) continue
    COUNTS[slot] = (COUNTS[slot] as number) + step
    return COUNTS[slot] as number
  }
  return 0
}

/** Null when the text is no GraphQL document. */
export function readGraphql (text: string): GraphqlReading | null {
  // Half a surrogate pair is no character of a document anywhere, comments included.
  if (!text.isWellFormed()) return null
  stamp++
  const state: State = {
    literals: [],
    comments: [],
    depth: 0,
    aliases: 0,
    repeats: 0,
    directives: 0,
    fields: 0,
    introspection: 'none',
    cyclic: false,
    recursion: 0,
    deepTypes: true,
    open: false,
    cut: false,
    tokens: 0,
    level: 0,
    parens: 0,
    nameFrom: 0,
    nameTo: 0,
    nameHash: 0,
    argument: '',
    typeFollows: false,
    path: [],
    run: 0,
    fragment: '',
    definition: '',
    spreads: new Map(),
    afterSpread: false,
    afterAt: false
  }
  let at = 0
  while (at < text.length && state.tokens < TOKENS_MAX) {
    const next = readToken(state, text, at)
    if (next === -1) return null
    at = next
  }
  state.cut ||= at < text.length
  if (state.depth === 0) return null
  state.open = !state.cut && state.level !== 0
  state.cyclic = hasCycle(state.spreads)
  return state
}

function readToken (state: State, text: string, at: number): number {
  const code = text.charCodeAt(at)
  if (isSpace(code)) return at + 1
  if (code === 35) return addComment(state, text, at)
  state.tokens++
  if (code === 34) return readString(state, text, at)
  if (isNameCode(code, false)) return readName(state, text, at)
  if ((code >= 48 && code <= 57) || code === 45) return readNumber(text, at)
  return readPunctuator(state, text, at, code)
}

function addComment (state: State, text: string, at: number): number {
  const end = readComment(text, at)
  const comment = text.slice(at, end).replace(/^[#\s]+/, '').trimEnd()
  if (comment.length < 2) return end
  if (state.comments.length < COMMENTS_MAX) state.comments.push(comment)
  else state.cut = true
  return end
}

function readName (state: State, text: string, at: number): number {
  let end = at
  let hash = 0
  for (let code = text.charCodeAt(end); isNameCode(code, true); code = text.charCodeAt(++end)) {
    hash = (Math.imul(hash, 31) + code) | 0
  }
  if (state.level === 0 && state.parens === 0) readDefinition(state, text, at, end)
  else if (state.afterAt) state.afterAt = false
  else if (state.afterSpread) {
    state.afterSpread = false
    if (end - at === 2 && text.startsWith('on', at)) state.typeFollows = true
    else addSpread(state, text.slice(at, end))
  } else if (state.parens === 0) addField(state, text, at, end, hash)
  state.nameFrom = at
  state.nameTo = end
  state.nameHash = hash
  return end
}

/** The names before a selection: the kind of definition, then its own name. */
function readDefinition (state: State, text: string, at: number, end: number): void {
  if (state.definition === 'fragment') state.fragment = text.slice(at, end)
  state.definition = state.definition !== '' ? 'named' : text.startsWith('fragment', at) ? 'fragment' : 'operation'
}

function addSpread (state: State, name: string): void {
  if (state.spreads.size >= FRAGMENTS_MAX && !state.spreads.has(state.fragment)) {
    state.cut = true
    return
  }
  const known = state.spreads.get(state.fragment)
  if (known === undefined) state.spreads.set(state.fragment, new Set([name]))
  else known.add(name)
}

/** Repeats are counted per parent and level, so that one field in many places of a tree is no repeat. */
function keyOf (state: State, hash: number): number {
  const depth = state.path.length
  return (Math.imul(hash, 31) + Math.imul(depth === 0 ? 0 : state.path[depth - 1] as number, 17) + depth) | 0
}

function addField (state: State, text: string, at: number, end: number, hash: number): void {
  if (state.typeFollows) {
    state.typeFollows = false
    return
  }
  state.fields++
  state.run = 0
  if (text.charCodeAt(at) === 95 && text.charCodeAt(at + 1) === 95) noteIntrospection(state, text.slice(at, end))
  // An alias counts for a moment, until its colon takes it back; no bound is so near that one matters.
  const seen = count(keyOf(state, hash), 1)
  if (seen === 0) state.cut = true
  if (seen > state.repeats) state.repeats = seen
}

function noteIntrospection (state: State, name: string): void {
  if (name === '__schema') state.introspection = 'schema'
  else if (name === '__type' && state.introspection === 'none') state.introspection = 'type'
}

function readPunctuator (state: State, text: string, at: number, code: number): number {
  switch (code) {
    case 123: // {
      if (state.parens === 0) openSelection(state)
      return at + 1
    case 125: // }
      if (state.parens === 0) closeSelection(state)
      return state.level < 0 ? -1 : at + 1
    case 40: state.parens++; return at + 1
    case 41: state.parens--; return state.parens < 0 ? -1 : at + 1
    case 58: // :
      if (state.parens > 0) state.argument = text.slice(state.nameFrom, state.nameTo)
      else if (state.level > 0) addAlias(state)
      return at + 1
    case 64: // @
      state.afterAt = true
      if (++state.run > state.directives) state.directives = state.run
      return at + 1
    case 46: // ...
      if (!text.startsWith('...', at)) return -1
      state.afterSpread = true
      return at + 3
    // $ ! = [ ] | &
    case 36: case 33: case 61: case 91: case 93: case 124: case 38: return at + 1
    default: return -1
  }
}

/** An alias: the field after the colon is what repeats, the alias is not. */
function addAlias (state: State): void {
  state.aliases++
  state.fields--
  count(keyOf(state, state.nameHash), -1)
}

/** Ancestors looked at for a field nested in itself; more levels than this are too deep by themselves. */
const ANCESTORS_MAX = 32
const OF_TYPE = [...'ofType'].reduce((hash, letter) => (Math.imul(hash, 31) + letter.charCodeAt(0)) | 0, 0)

function openSelection (state: State): void {
  state.afterSpread = false
  state.typeFollows = false
  if (++state.level > state.depth) state.depth = state.level
  let same = 1
  for (let at = Math.max(0, state.path.length - ANCESTORS_MAX); at < state.path.length; at++) {
    if (state.path[at] === state.nameHash) same++
  }
  state.path.push(state.nameHash)
  if (same > state.recursion && state.level > 1) state.recursion = same
  if (same > 2 && state.nameHash !== OF_TYPE) state.deepTypes = false
}

function closeSelection (state: State): void {
  state.level--
  state.path.pop()
  if (state.level === 0) {
    state.definition = ''
    state.fragment = ''
  }
}

function readString (state: State, text: string, at: number): number {
  const string = readGraphqlString(text, at)
  if (string === null) return -1
  addLiteral(state, string.value)
  if (string.raw !== null) addLiteral(state, string.raw)
  return string.end
}

function addLiteral (state: State, value: string): void {
  if (state.literals.length < LITERALS_MAX) state.literals.push({ name: state.argument, value })
  else state.cut = true
}

function hasCycle (spreads: Map<string, Set<string>>): boolean {
  const done = new Set<string>()
  for (const start of spreads.keys()) {
    if (start !== '' && !done.has(start) && reaches(spreads, start, done)) return true
  }
  return false
}

/** Depth-first over at most FRAGMENTS_MAX fragments, with an explicit stack of names on the way. */
function reaches (spreads: Map<string, Set<string>>, start: string, done: Set<string>): boolean {
  const stack: Array<{ name: string, rest: string[] }> = [{ name: start, rest: [...(spreads.get(start) ?? [])] }]
  const onWay = new Set([start])
  while (stack.length > 0) {
    const top = stack[stack.length - 1] as { name: string, rest: string[] }
    const next = top.rest.pop()
    if (next === undefined) {
      done.add(top.name)
      onWay.delete(top.name)
      stack.pop()
    } else if (onWay.has(next)) return true
    else if (!done.has(next)) {
      onWay.add(next)
      stack.push({ name: next, rest: [...(spreads.get(next) ?? [])] })
    }
  }
  return false
}
