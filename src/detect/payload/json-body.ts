import { PARTS_MAX } from './bounds.ts'
import { addBatchSigns, inspectGraphql, looksLikeGraphql } from './graphql-values.ts'
import { inspectName, inspectValue, leaveBeyond, parseJson } from './inspection.ts'
import type { Inspection } from './inspection.ts'
import { hasRepeatedKey, walkJson, walkJsonText } from './json-values.ts'
import type { JsonVisit } from './json-values.ts'

/**
 * JSON text that may be one GraphQL request, a batch of them, or anything else. What is no JSON to us (comments, commas
 * too many, NaN) is to laxer parsers, and of repeated keys each parser takes another: there, every string is judged as
 * it stands in the text, besides the text as a whole.
 */
export function inspectJsonBody (inspection: Inspection, text: string, place: string, graphqlRoute: boolean): void {
  const value = parseJson(text)
  if (value === undefined) inspectValue(inspection, 'text', place, text, '', 0)
  else inspectJson(inspection, value, place, graphqlRoute)
  if (value !== undefined && !hasRepeatedKey(text, value)) return
  const visit = visitOf(inspection)
  walkJsonText(text, graphqlRoute ? 'graphql' : 'json', place, {
    ...visit,
    onValue: (kind, inner, string, field) => {
      const isDocument = field === 'query' && looksLikeGraphql(string)
      if (!isDocument || !inspectGraphql(inspection, 'graphql', string, 'post')) {
        visit.onValue(kind, inner, string, field)
      }
    }
  })
}

function inspectJson (inspection: Inspection, value: unknown, place: string, graphqlRoute: boolean): void {
  if (Array.isArray(value) && value.length > 0 && value.length <= PARTS_MAX && value.every(hasDocument)) {
    addBatchSigns(inspection, 'graphql', value.map((request: { query: string }) => request.query))
    for (const request of value) {
      inspectGraphqlRequest(
        inspection,
        request as Record<string, unknown>,
        place,
        value.length > 1 ? 'batch' : 'post'
      )
    }
  } else if (hasDocument(value)) {
    inspectGraphqlRequest(inspection, value as unknown as Record<string, unknown>, place, 'post')
  } else walk(inspection, value, graphqlRoute ? 'graphql' : 'json', place)
}

function hasDocument (value: unknown): value is { query: string } {
  return typeof value === 'object' && value !== null && typeof (value as { query?: unknown }).query === 'string'
}

function inspectGraphqlRequest (
  inspection: Inspection,
  request: Record<string, unknown>,
  place: string,
  way: 'post' | 'batch'
): void {
  if (!inspectGraphql(inspection, 'graphql', request.query as string, way)) {
    return walk(inspection, request, 'json', place)
  }
  for (const key of Object.keys(request)) {
    if (key === 'query') continue
    // Variables that are JSON in a string are read as text inside text.
    if (key === 'variables') walk(inspection, request.variables, 'graphql', 'variables')
    else {
      inspectName(inspection, 'json', place, key)
      walk(inspection, request[key], 'json', `${place}.${key.slice(0, 32)}`)
    }
  }
}

function walk (inspection: Inspection, value: unknown, kind: 'json' | 'graphql', place: string): void {
  walkJson(value, kind, place, visitOf(inspection))
}

function visitOf (inspection: Inspection): JsonVisit {
  return {
    onValue: (kind, place, text, field) => inspectValue(inspection, kind, place, text, field, 0),
    onName: (place, name) => inspectName(inspection, 'json', place, name),
    leaveBeyond: (what) => leaveBeyond(inspection, what)
  }
}
