import fc from 'fast-check'
import { test } from 'tap'
import { Lexer, Source, TokenKind } from 'graphql'
import { readGraphql } from '../../src/detect/payload/graphql-document.ts'
import { inspect } from './payload-observation.ts'

const RUNS = 10_000
const SQL = "x' UNION SELECT a, b FROM c-- "

/** What graphql-js takes for literals, or null where it refuses the text. */
function literalsOf (text: string): string[] | null {
  try {
    const lexer = new Lexer(new Source(text))
    const literals: string[] = []
    for (let token = lexer.advance(); token.kind !== TokenKind.EOF; token = lexer.advance()) {
      if (token.kind === TokenKind.STRING || token.kind === TokenKind.BLOCK_STRING) literals.push(token.value)
    }
    return literals
  } catch {
    return null
  }
}

/** Ours in their order; of a block string its value stands before the text as it was written. */
function sameLiterals (text: string): boolean {
  const theirs = literalsOf(text)
  const ours = readGraphql(text)
  if (theirs === null) return ours === null
  // Braces that do not match are no matter of the lexer; the text is judged as a plain value.
  if (ours === null) return !isBalanced(text)
  let at = 0
  for (const { value } of ours.literals) if (at < theirs.length && value === theirs[at]) at++
  return at === theirs.length && ours.literals.length <= 2 * theirs.length
}

function isBalanced (text: string): boolean {
  const lexer = new Lexer(new Source(text))
  let braces = 0
  let parens = 0
  let isDocument = false
  for (let token = lexer.advance(); token.kind !== TokenKind.EOF; token = lexer.advance()) {
    if (token.kind === TokenKind.PAREN_L) parens++
    if (token.kind === TokenKind.PAREN_R && --parens < 0) return false
    if (parens > 0) continue
    if (token.kind === TokenKind.BRACE_L) { braces++; isDocument = true }
    if (token.kind === TokenKind.BRACE_R && --braces < 0) return false
  }
  return isDocument
}

const inner = fc.array(fc.constantFrom('a', ' ', '\n', '\r', '\r\n', '\t', '"', '""', '\\"""', '\\', '\\\\', '\\n', '\\"', '\\/', '\\b', '\\u0041', '\\u{1F600}', '\\u{41}', '\\u{0000000041}', '\\u{d800}', '\\ud83d\\ude00', '\\ud83d', '\\q', '#', '{', '}', ',', '\ufeff', '\u{1F600}', '\ud83d', '\ude00', '\u2028', '\0', '\x7f', 'é', "'"), { maxLength: 8 }).map((pieces) => pieces.join(''))
const piece = fc.oneof(
  { weight: 4, arbitrary: inner.map((text) => `"${text}"`) },
  { weight: 4, arbitrary: inner.map((text) => `"""${text}"""`) },
  { weight: 3, arbitrary: inner.map((text) => `#${text}`).chain((text) => fc.constantFrom('\n', '\r', '\r\n').map((end) => text + end)) },
  { weight: 6, arbitrary: fc.constantFrom('a', 'query', '__typename', ' ', ',', '\n', '\r', '\t', '\ufeff', '{ a }', '{', '}', '(', ')', '(a: "b")', ':', '=', '@a', '$a', '!', '|', '&', '[', ']', '...', '..', '1', '-1', '01', '1.5', '1.', '1e5', '1e', '1a', '1_', '-', '.5', '""', '"', '"""', "'", ';', '\0', '\x0b', 'é', '\u{1F600}', '\ud83d') }
)
const document = fc.tuple(fc.array(piece, { maxLength: 8 }), fc.array(piece, { maxLength: 4 })).map(([inside, after]) => `{ f(a: ${inside.join(' ')}) } ${after.join('')}`)

test('our lexer takes the same texts for literals as graphql-js, and refuses what it refuses (10,000 documents)', (t) => {
  let read = 0
  fc.assert(fc.property(document, (text) => {
    if (literalsOf(text) !== null) read++
    return sameLiterals(text)
  }), { numRuns: RUNS, seed: 20_261_129 })
  t.ok(read > RUNS / 10, `${read} documents were read by both`)
  t.end()
})

/** A document whose comment, string or block string hides the literal behind it from a lexer that is not exact. */
const HIDING: Record<string, string> = {
  'an escaped end of a block string': `{ a(x: """ \\""" # """, y: "${SQL}") }`,
  'two escaped ends': `{ a(x: """ \\"""\\""" # """ y: "${SQL}") }`,
  'a backslash before the escape': `{ a(x: """ \\\\""" # """, y: "${SQL}") }`,
  'a comment that ends at a carriage return': `{ a # "\r (y: "${SQL}") }`,
  'a byte order mark before the document': `\ufeff{ a(y: "${SQL}") }`,
  'an escape with braces': '{ a(y: "\\u{78}\\u{27} UNION SELECT a, b FROM c-- ") }',
  'a comment longer than any window': `# ${'a word or two '.repeat(400)}\n{ a(y: "${SQL}") }`,
  'a block string of an indented attack': `{ a(y: """\n\n      ${SQL}\n\n""") }`,
  'a description before the operation': `"""about""" query { a(y: "${SQL}") }`,
  'a number that runs into a name': `{ a(x: 1a, y: "${SQL}") }`,
  'a control character': `{ a(x: 1) \x01 b(y: "${SQL}") }`,
  'half a surrogate pair': `{ a(y: "${SQL}\ud83d") }`,
  'an unterminated string': `{ a(y: "${SQL}`
}

test('no literal hides behind what a lexer may misread, over HTTP and in a message of a socket', (t) => {
  for (const [name, query] of Object.entries(HIDING)) {
    const json = ['content-type', 'application/json']
    t.ok(inspect({ url: '/graphql', headers: json, body: JSON.stringify({ query }) }).value >= 0.75, name)
    t.ok(inspect({ url: '/graphql', headers: ['content-type', 'application/graphql'], body: query }).value >= 0.75, `${name}, as application/graphql`)
    t.ok(inspect({ url: '/graphql?query=' + encodeURIComponent(query.toWellFormed()) }).value >= 0.75, `${name}, in a link`)
    t.ok(inspect({ url: '/graphql', headers: json, body: JSON.stringify({ id: '1', type: 'subscribe', payload: { query } }) }).value >= 0.55, `${name}, subscribed to`)
  }
  t.end()
})

test('ordinary documents with block strings, escapes, comments and marks say nothing', (t) => {
  for (const query of ['{ a(x: """\n  Dear \\"""team\\""",\n  it\'s done.\n""") { id } }', '# what a page needs\r\n{ a(x: "caf\\u00e9 \\u{1F600}") { id } }', '\ufeffquery Q($a: ID!) { node(id: $a) { id } }', '"""Reads one."""\nquery Q { me { id } }', '{ a(x: -1.5e3, y: [1, 2], z: { k: "v" }) { ...F } } fragment F on A { id }']) {
    t.ok(inspect({ url: '/graphql', headers: ['content-type', 'application/json'], body: JSON.stringify({ query }) }).value < 0.2, query)
  }
  t.end()
})
