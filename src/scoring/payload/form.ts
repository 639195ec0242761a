import { PARTS_MAX } from './bounds.ts'
import { decodePercent } from './decode.ts'
import type { PlaceKind } from './findings.ts'
import { inspectGraphql, looksLikeGraphql } from './graphql-values.ts'
import { inspectName, inspectValue, leaveOut, parseJson, placeOf } from './inspection.ts'
import type { Inspection } from './inspection.ts'
import { walkJson } from './json-values.ts'

/** `a=1&b=2` of a query or a form. */
export function inspectForm (inspection: Inspection, text: string, kind: PlaceKind, place: string, graphqlRoute: boolean): void {
  let from = 0
  for (let count = 0; from <= text.length; count++) {
    if (count >= PARTS_MAX) return leaveOut(inspection, `${place}: parameters beyond the ${PARTS_MAX}th`)
    let end = text.indexOf('&', from)
    if (end === -1) end = text.length
    inspectPair(inspection, text.slice(from, end), kind, place, graphqlRoute)
    from = end + 1
  }
}

function inspectPair (inspection: Inspection, pair: string, kind: PlaceKind, place: string, graphqlRoute: boolean): void {
  if (pair === '') return
  const equals = pair.indexOf('=')
  const name = decodePercent(equals === -1 ? pair : pair.slice(0, equals), true)
  const value = equals === -1 ? '' : decodePercent(pair.slice(equals + 1), true)
  const inner = placeOf(place, name)
  if (name.length > 1) inspectName(inspection, kind, inner, name)
  // `pay%3D1+OR+1` is a name to a strict parser and a pair to a lax one.
  if (equals === -1 && name.includes('=')) inspectValue(inspection, kind, inner, name.slice(name.indexOf('=') + 1), '', 1)
  if (value.length < 2) return
  if (graphqlRoute || name === 'query' || name === 'variables') {
    if (name === 'query' && looksLikeGraphql(value) && inspectGraphql(inspection, 'graphql', value, kind === 'query' ? 'link' : 'post')) return
    if (name === 'variables' && value.startsWith('{') && inspectVariables(inspection, value)) return
  }
  const field = name.toLowerCase()
  if (field === '_method' && kind === 'query') inspection.findings.push({ rule: 'override.method', grade: 'likely', value: 0.76, match: value.slice(0, 20), place: inner, technique: 'T1190' })
  inspectValue(inspection, kind, inner, value, field, 0)
}

function inspectVariables (inspection: Inspection, text: string): boolean {
  const value = parseJson(text)
  if (value === undefined) return false
  walkJson(value, 'graphql', 'variables',
    (kind, place, inner, field) => inspectValue(inspection, kind, place, inner, field, 0),
    (place, name) => inspectName(inspection, 'json', place, name),
    (what) => leaveOut(inspection, what))
  return true
}
