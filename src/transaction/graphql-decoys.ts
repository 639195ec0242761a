import { Kind, parse, visit, type DocumentNode } from 'graphql'

/**
 * Fields that no schema of ours has, so that no client learns of them: a caller who asks for one guesses at
 * what an admin API might be called. They answer plausibly, and a caller who touched one is a honeypot
 * capture.
 */
const BAIT: Readonly<Record<string, unknown>> = {
  systemConfig: null,
  adminUsers: [],
  internalTokens: [],
  debugQuery: null,
  __internal: null
}
const PARSING = { maxTokens: 1000, noLocation: true }
const NAMES = new RegExp(`\\b(${Object.keys(BAIT).join('|')})\\b`)

/**
 * True when a document asks for a decoy anywhere, also beside real fields. Costs one regular expression for
 * all others.
 */
export function touchesDecoy (query: string): boolean {
  if (!NAMES.test(query)) return false
  let touches = false
  try {
    visit(parse(query, PARSING) as DocumentNode, { Field (node) { touches ||= Object.hasOwn(BAIT, node.name.value) } })
  } catch {
    return false
  }
  return touches
}

/**
 * True when a body or query string of /graphql asks for nothing but decoys: those answer also what is
 * refused.
 */
export function asksDecoysOnly (url: string, body: Uint8Array | null): boolean {
  const query = readQuery(url, body)
  return query !== null && decoyAnswer(query) !== null
}

/** The same for a decoy anywhere in the document, also beside real fields. */
export function asksDecoys (url: string, body: Uint8Array | null): boolean {
  const query = readQuery(url, body)
  return query !== null && touchesDecoy(query)
}

/** The document as its receiver would read it: a name may stand behind an escape, like `%20adminUsers`. */
function readQuery (url: string, body: Uint8Array | null): string | null {
  const query = body === null ? queryOfUrl(url) : queryOfBody(Buffer.from(body).toString('utf8'))
  return typeof query === 'string' ? query : null
}

function queryOfUrl (url: string): string | null {
  return URL.canParse(url, 'http://decoy') ? new URL(url, 'http://decoy').searchParams.get('query') : null
}

function queryOfBody (text: string): unknown {
  if (!NAMES.test(text) && !text.includes('\\u')) return null
  try {
    return (JSON.parse(text) as { query?: unknown } | null)?.query
  } catch {
    return null
  }
}

/**
 * The bait for a document whose root selects nothing but decoys, by response name; null for every other
 * document. Costs one regular expression.
 */
export function decoyAnswer (query: string): Record<string, unknown> | null {
  if (!NAMES.test(query)) return null
  try {
    // Names come from outside: `__proto__` is one like any other here.
    const answer = Object.create(null) as Record<string, unknown>
    for (const definition of parse(query, PARSING).definitions) {
      if (definition.kind !== Kind.OPERATION_DEFINITION || definition.operation !== 'query') return null
      for (const selection of definition.selectionSet.selections) {
        if (selection.kind !== Kind.FIELD || !Object.hasOwn(BAIT, selection.name.value)) return null
        answer[selection.alias?.value ?? selection.name.value] = BAIT[selection.name.value]
      }
    }
    return answer
  } catch {
    return null
  }
}
