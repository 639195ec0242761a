import { Kind, parse } from 'graphql'
import type { FastifyRequest } from 'fastify'
import type { Passage } from './transaction.ts'

/**
 * True when this is an authorised caller's GraphQL document that asks for `assess` and nothing else: its variables are
 * other people's requests, hostile by design. Parsed only for requests that would be refused, so rarely.
 */
export function assessesOnly (request: FastifyRequest, passage: Passage): boolean {
  if (request.routeOptions.config?.graphql !== true || passage.body === null) return false
  if (passage.principal?.scopes.includes('assess') !== true || !passage.body.includes('assess')) return false
  try {
    const { query } = JSON.parse(passage.body.toString('utf8')) as { query?: unknown }
    if (typeof query !== 'string') return false
    const operations = parse(query, { maxTokens: 1000, noLocation: true }).definitions
    return operations.length === 1 &&
      operations.every((definition) =>
        definition.kind === Kind.OPERATION_DEFINITION &&
        definition.selectionSet.selections.every((selection) =>
          selection.kind === Kind.FIELD && selection.name.value === 'assess'
        )
      )
  } catch {
    return false
  }
}
