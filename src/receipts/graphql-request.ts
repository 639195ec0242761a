/**
 * A request as one of GraphQL: what its documents say of its secrets, and which words of its variables evidence tells.
 * Pure.
 */
import { NO_SECRETS, readSecrets, type GraphqlSecrets } from './graphql-secrets.ts'
import { documentsIn } from './json-tokens.ts'
import { decodeValue } from './mask-pairs.ts'
import type { Evidence, FactorContribution, Observation } from '../detect/shapes.ts'

/** Of a body, beyond which receipts leave it out. */
const BODY_READ_MAX = 16_384

/** Null for a request that neither asks for a route of GraphQL nor carries a document. */
export function graphqlOf ({ url, route, body }: Observation): GraphqlSecrets | null {
  const isTarget = route === '/graphql' || /^[^?]{0,512}graphql/i.test(url)
  const documents = documentsInQuery(url)
  if (body !== null && body.length <= BODY_READ_MAX) {
    const text = Buffer.from(body.buffer, body.byteOffset, body.length).toString('latin1')
    documents.push(...documentsInBody(text, isTarget))
  }
  if (documents.length > 0) return readSecrets(documents)
  return isTarget ? NO_SECRETS : null
}

function documentsInQuery (url: string): string[] {
  const mark = url.indexOf('?')
  return mark === -1 ? [] : documentsInPairs(url.slice(mark + 1))
}

function documentsInPairs (text: string): string[] {
  if (!text.includes('query=')) return []
  return text.split('&').filter((pair) => pair.startsWith('query='))
    .map((pair) => decodeValue(pair.slice('query='.length))).filter((value) => /[{(]/.test(value))
}

function documentsInBody (text: string, isTarget: boolean): string[] {
  // Also a name that is written with escapes.
  if (text.includes('"query"') || (text.includes('\\u00') && text.includes('{'))) return documentsIn(text)
  const documents = documentsInPairs(text)
  return documents.length === 0 && isTarget && text.includes('{') ? [text] : documents
}

/**
 * Which evidence must not show what it matched: all of an operation that keeps its shape only, and that of a variable
 * which feeds a secret. Signs of a document's own shape (`graphql.*`) show no value.
 */
export function isSecretEvidence (observation: Observation | null): (evidence: Evidence) => boolean {
  const secrets = observation === null ? null : graphqlOf(observation)
  if (secrets === null) return () => false
  return ({ rule, place }) => {
    if (secrets.isSecret) return !rule.startsWith('graphql.') && mayBeOfOperation(place)
    if (!place.startsWith('variables')) return false
    // An odd shape is the whole value's.
    return rule.startsWith('shape.') || secrets.variables.has(place.split('.', 2)[1] ?? '')
  }
}

function mayBeOfOperation (place: string): boolean {
  return !/^(?:path|header|cookie|url|client)\b/.test(place) && !/^query\.(?!query|variables)/.test(place)
}

/** `matched "union select" in variables.input.q`, as detect/factors/payload.ts says it. */
const MATCHED = /^matched "(.*)" in /

/** By place in the variables, the words that (redacted) evidence tells. */
export function evidenceWords (factors: readonly FactorContribution[]): Map<string, Set<string>> {
  const found = new Map<string, Set<string>>()
  for (const { evidence } of factors) {
    for (const { place, text } of evidence) {
      const path = place.startsWith('body.') ? place.slice('body.'.length) : place
      if (!path.startsWith('variables')) continue
      const words = found.get(path) ?? new Set<string>()
      for (const word of MATCHED.exec(text)?.[1]?.split(/[\W_]+/) ?? []) if (word !== '') words.add(word.toLowerCase())
      found.set(path, words)
    }
  }
  return found
}
