import { PARTS_MAX } from './bounds.ts'
import { inspectGraphql, addBatchSigns } from './graphql-values.ts'
import { inspectName, inspectValue, leaveOut, parseJson } from './inspection.ts'
import type { Inspection } from './inspection.ts'
import { walkJson } from './json-values.ts'

/** JSON that may be one GraphQL request, a batch of them, or anything else. */
export function inspectJson (inspection: Inspection, value: unknown, place: string, graphqlRoute: boolean): void {
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
    if (key === 'variables') {
      walk(
        inspection,
        typeof request.variables === 'string'
          ? parseJson(request.variables) ?? request.variables
          : request.variables,
        'graphql',
        'variables'
      )
    } else {
      inspectName(inspection, 'json', place, key)
      walk(inspection, request[key], 'json', `${place}.${key.slice(0, 32)}`)
    }
  }
}

function walk (inspection: Inspection, value: unknown, kind: 'json' | 'graphql', place: string): void {
  walkJson(value, kind, place,
    (innerKind, innerPlace, text, field) => inspectValue(inspection, innerKind, innerPlace, text, field, 0),
    (innerPlace, name) => inspectName(inspection, 'json', innerPlace, name),
    (what) => leaveOut(inspection, what))
}
