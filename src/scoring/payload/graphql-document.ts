/**
 * Reads a GraphQL document in one pass of a lexer: its literal values (which are what is inspected), and the shape that abuse
 * shows in: depth, repeated fields, aliases, directives, fragments that call each other. The syntax itself is never inspected.
 * Source: GraphQL October 2021, section 2 (lexical grammar); abuse shapes after GraphQL Cop and the OWASP GraphQL cheat sheet.
 */
export interface GraphqlReading {
  /** String literals with the name of the argument or input field before them. */
  literals: Array<{ name: string, value: string }>
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
  /** True when the lexer stopped at its bound. */
  cut: boolean
}

const TOKENS_MAX = 20_000
const LITERALS_MAX = 1_000
const FRAGMENTS_MAX = 200

interface State extends GraphqlReading {
  tokens: number
  level: number
  parens: number
  lastName: string
  argument: string
  aliasPending: boolean
  counts: Map<string, number>
  path: string[]
  run: number
  fragment: string
  definition: string
  spreads: Map<string, Set<string>>
  afterSpread: boolean
  afterAt: boolean
}

/** Null when the text is no GraphQL document. */
export function readGraphql (text: string): GraphqlReading | null {
  const state: State = { literals: [], depth: 0, aliases: 0, repeats: 0, directives: 0, fields: 0, introspection: 'none', cyclic: false, recursion: 0, cut: false, tokens: 0, level: 0, parens: 0, lastName: '', argument: '', aliasPending: false, counts: new Map(), path: [], run: 0, fragment: '', definition: '', spreads: new Map(), afterSpread: false, afterAt: false }
  let at = 0
  while (at < text.length && state.tokens < TOKENS_MAX) {
    const next = readToken(state, text, at)
    if (next === -1) return null
    at = next
  }
  state.cut = at < text.length
  if (state.depth === 0 || (!state.cut && state.level !== 0)) return null
  state.cyclic = hasCycle(state.spreads)
  for (const count of state.counts.values()) if (count > state.repeats) state.repeats = count
  return state
}

function readToken (state: State, text: string, at: number): number {
  const code = text.charCodeAt(at)
  if (code <= 32 || code === 44 || code === 0xfeff) return at + 1
  if (code === 35) {
    const end = text.indexOf('\n', at)
    return end === -1 ? text.length : end + 1
  }
  state.tokens++
  if (code === 34) return readString(state, text, at)
  const low = code | 32
  if ((low >= 97 && low <= 122) || code === 95) return readName(state, text, at)
  if ((code >= 48 && code <= 57) || code === 45) return readNumber(text, at)
  return readPunctuator(state, text, at, text.charAt(at))
}

function readNumber (text: string, at: number): number {
  let end = at + 1
  while (end < text.length && '0123456789.eE+-'.includes(text.charAt(end))) end++
  return end
}

const NAME = /[_A-Za-z][_0-9A-Za-z]*/y

function readName (state: State, text: string, at: number): number {
  NAME.lastIndex = at
  NAME.test(text)
  const end = NAME.lastIndex
  const name = text.slice(at, end)
  if (state.level === 0 && state.parens === 0) {
    if (state.definition === 'fragment') state.fragment = name
    state.definition = state.definition === '' ? name : 'named'
  } else if (state.afterAt) state.afterAt = false
  else if (state.afterSpread) {
    state.afterSpread = false
    if (name !== 'on') addSpread(state, name)
    else state.aliasPending = true
  } else if (state.parens === 0) addField(state, name)
  state.lastName = name
  return end
}

function addSpread (state: State, name: string): void {
  if (state.spreads.size >= FRAGMENTS_MAX && !state.spreads.has(state.fragment)) return
  const known = state.spreads.get(state.fragment) ?? new Set<string>()
  known.add(name)
  state.spreads.set(state.fragment, known)
}

function addField (state: State, name: string): void {
  // The name after `on` is a type, and the name after an alias's colon is the field already counted.
  if (state.aliasPending) {
    state.aliasPending = false
    if (state.lastName === 'on') return
  }
  state.fields++
  state.run = 0
  if (name === '__schema') state.introspection = 'schema'
  else if (name === '__type' && state.introspection === 'none') state.introspection = 'type'
  // Repeats are counted per parent and level, so that one field in many places of a tree is no repeat.
  const key = `${state.path.length}:${state.path.at(-1) ?? ''}:${name}`
  state.counts.set(key, (state.counts.get(key) ?? 0) + 1)
}

function readPunctuator (state: State, text: string, at: number, letter: string): number {
  switch (letter) {
    case '{':
      if (state.parens === 0) openSelection(state)
      return at + 1
    case '}':
      if (state.parens === 0) closeSelection(state)
      return state.level < 0 ? -1 : at + 1
    case '(': state.parens++; return at + 1
    case ')': state.parens--; return state.parens < 0 ? -1 : at + 1
    case ':':
      state.argument = state.lastName
      if (state.parens === 0 && state.level > 0) addAlias(state)
      return at + 1
    case '@':
      state.afterAt = true
      if (++state.run > state.directives) state.directives = state.run
      return at + 1
    case '.':
      if (!text.startsWith('...', at)) return -1
      state.afterSpread = true
      return at + 3
    case '$': case '!': case '=': case '[': case ']': case '|': case '&': return at + 1
    default: return -1
  }
}

/** An alias: the field after the colon is what repeats, the alias is not. */
function addAlias (state: State): void {
  state.aliases++
  const key = `${state.path.length}:${state.path.at(-1) ?? ''}:${state.lastName}`
  const count = state.counts.get(key) ?? 0
  if (count <= 1) state.counts.delete(key)
  else state.counts.set(key, count - 1)
  state.fields--
}

function openSelection (state: State): void {
  state.afterSpread = false
  state.aliasPending = false
  if (++state.level > state.depth) state.depth = state.level
  state.path.push(state.lastName)
  let same = 0
  for (const name of state.path) if (name === state.lastName) same++
  if (same > state.recursion && state.level > 1) state.recursion = same
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
  if (text.startsWith('"""', at)) {
    const end = text.indexOf('"""', at + 3)
    if (end === -1) return -1
    addLiteral(state, text.slice(at + 3, end))
    return end + 3
  }
  let end = at + 1
  for (;;) {
    const code = text.charCodeAt(end)
    if (code === 92) end += 2
    else if (code === 34) break
    else if (code === 10 || !(code >= 0)) return -1
    else end++
  }
  const raw = text.slice(at + 1, end)
  addLiteral(state, raw.includes('\\') ? unescape(raw) : raw)
  return end + 1
}

function unescape (raw: string): string {
  return raw.replace(/\\(?:u([0-9a-fA-F]{4})|(.))/g, (_whole: string, hex?: string, letter?: string) => {
    if (hex !== undefined) return String.fromCharCode(parseInt(hex, 16))
    return letter === 'n' ? '\n' : letter === 'r' ? '\r' : letter === 't' ? '\t' : letter as string
  })
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
