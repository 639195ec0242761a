import { Kind, parse } from 'graphql'
import type { Transaction } from './transaction.ts'

/**
 * Other people's requests, handed in by a caller who may: hostile by design, and not held against who brings them.
 */
export const SUBMITTED_BODY = 'body: what others sent, from a caller who may hand it in'

const PARSING = { maxTokens: 1000, noLocation: true }

/**
 * True for an authorised caller's GraphQL document that asks for `assess` and nothing else: its variables are other
 * people's requests. Parsed only for requests that would be refused, so rarely.
 */
export function asksOnlyToAssess ({ route, body, principal }: Transaction): boolean {
  if (!route.isGraphql || route.pattern === null || body === null) return false
  if (principal?.scopes.includes('assess') !== true) return false
  try {
    const text = Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString('utf8')
    if (!text.includes('assess')) return false
    const { query } = JSON.parse(text) as { query?: unknown }
    if (typeof query !== 'string') return false
    const operations = parse(query, PARSING).definitions
    return operations.length === 1 && operations.every((definition) =>
      definition.kind === Kind.OPERATION_DEFINITION && definition.selectionSet.selections.every((selection) =>
        selection.kind === Kind.FIELD && selection.name.value === 'assess'))
  } catch {
    return false
  }
}
