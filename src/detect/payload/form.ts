import { ENCODED_CHARACTERS_MIN } from './base64.ts'
import { PARTS_MAX } from './bounds.ts'
import { decodePercent } from './decode.ts'
import type { PlaceKind } from './findings.ts'
import { inspectGraphql, looksLikeGraphql } from './graphql-values.ts'
import { inspectEncoded, inspectJsonText, inspectName, inspectValue, leaveBeyond, placeOf } from './inspection.ts'
import type { Inspection } from './inspection.ts'

/** `a=1&b=2` of a query or a form. */
export function inspectForm (
  inspection: Inspection,
  text: string,
  kind: PlaceKind,
  place: string,
  graphqlRoute: boolean
): void {
  if (kind === 'form' && text.includes('%')) addEscapeSigns(inspection, text, place)
  let from = 0
  for (let count = 0; from <= text.length; count++) {
    if (count >= PARTS_MAX) return leaveBeyond(inspection, `${place}: parameters beyond the ${PARTS_MAX}th`)
    let end = text.indexOf('&', from)
    if (end === -1) end = text.length
    inspectPair(inspection, text.slice(from, end), kind, place, graphqlRoute)
    from = end + 1
  }
}

/**
 * A browser escapes a whole form or nothing: an escape that is none among others was written by hand, for a
 * reader that is laxer than we are.
 */
function addEscapeSigns (inspection: Inspection, text: string, place: string): void {
  const broken = /%(?![0-9a-f]{2}|u[0-9a-f]{4})[0-9a-z]/i.exec(text)
  if (broken === null) return
  const mixed = /%[0-9a-f]{2}/i.test(text)
  inspection.findings.push({
    rule: 'form.broken-escape',
    grade: mixed ? 'likely' : 'weak',
    value: mixed ? 0.76 : 0.3,
    match: text.slice(broken.index, broken.index + 3),
    place,
    technique: 'T1027'
  })
}

function inspectPair (
  inspection: Inspection,
  pair: string,
  kind: PlaceKind,
  place: string,
  graphqlRoute: boolean
): void {
  if (pair === '') return
  const equals = pair.indexOf('=')
  // `a=1&amp;b=2`: a link that was escaped once too often.
  const rawName = equals === -1 ? pair : pair.slice(0, equals)
  const name = decodePercent(rawName.startsWith('amp;') ? rawName.slice(4) : rawName, true)
  const value = equals === -1 ? '' : decodePercent(pair.slice(equals + 1), true)
  const inner = placeOf(place, name)
  if (name.length > 1) inspectName(inspection, kind, inner, name)
  if (
    equals === -1 && name.length > 2 && name.length < 400 && !name.includes('=') &&
    /[\s'"`(:\\]|^(?:\w{3,20}|[a-z]\w*\.\w+)$/i.test(name)
  ) {
    inspectValue(inspection, kind, inner, name, '', 1)
  }
  if (kind === 'query' && /^https?:\/\/[^/&?#]*%2f[^/&?#]{0,60}@/i.test(pair.slice(equals + 1))) {
    inspection.findings.push({
      rule: 'ssrf.userinfo',
      grade: 'likely',
      value: 0.79,
      match: pair.slice(equals + 1, equals + 41),
      place: inner,
      technique: 'T1190'
    })
  }
  // `?<base64>`: its padding makes a name and an empty value of it.
  if ((equals === -1 || /^=*$/.test(value)) && name.length >= ENCODED_CHARACTERS_MIN && name.length < 16) {
    inspectEncoded(inspection, kind, inner, name, '', 0)
  }
  // `pay%3D1+OR+1` is a name to a strict parser and a pair to a lax one.
  if (equals === -1 && name.includes('=')) {
    inspectValue(inspection, kind, inner, name.slice(name.indexOf('=') + 1), '', 1)
  }
  if (value.length < 2) return
  if (graphqlRoute || name === 'query' || name === 'variables') {
    if (
      name === 'query' && looksLikeGraphql(value) &&
      inspectGraphql(inspection, 'graphql', value, kind === 'query' ? 'link' : 'post')
    ) {
      return
    }
    // They are JSON, read as text inside text under the name that they have everywhere.
    const isJson = name === 'variables' || name === 'extensions'
    if (isJson && inspectJsonText(inspection, 'graphql', name, value, 0)) return
  }
  const field = name.toLowerCase()
  inspectValue(inspection, kind, inner, value, field, 0)
}
