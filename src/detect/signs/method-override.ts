/**
 * A request that asks to be taken for another method (`_method=DELETE`, X-HTTP-Method-Override). Forms of
 * HTML know only GET and POST: that is the one reason for an override, so one that a form could have sent is
 * ordinary. A client that can send any method and overrides one, a link that becomes a change, and an
 * override to a method that no application offers are ways past a filter of methods (CWE-650, OWASP
 * WSTG-CONF-06).
 */
import { asBuffer } from '../bytes.ts'
import { addSign } from '../evidence.ts'
import { headerOf } from '../request-view.ts'
import type { Signs } from '../evidence.ts'
import type { RequestView } from '../request-view.ts'

const CHANGES = new Set(['PUT', 'PATCH', 'DELETE'])
const NAME = '_method='
const NAME_BYTES = Buffer.from(NAME)
const VALUE_BYTES_MAX = 32
const HEADERS = ['x-http-method-override', 'x-http-method', 'x-method-override']

/** Adds what it finds in the query, a form's body and the headers. */
export function addOverrideSigns (view: RequestView, body: Uint8Array | null, isForm: boolean, signs: Signs): void {
  const inQuery = valueOf(view.query)
  if (inQuery !== null) addParameterSigns(view, inQuery, 'query._method', signs)
  if (body !== null && isForm) {
    const inBody = valueIn(asBuffer(body))
    if (inBody !== null) addParameterSigns(view, inBody, 'body._method', signs)
  }
  for (const name of HEADERS) {
    const value = headerOf(view, name)
    if (value !== null) addHeaderSigns(view, name, value.trim().toUpperCase(), signs)
  }
}

/** The parameter's value in upper case, or null. */
function valueOf (pairs: string): string | null {
  const at = pairs.indexOf(NAME)
  if (at === -1 || (at > 0 && pairs.charCodeAt(at - 1) !== 38)) return null
  const end = pairs.indexOf('&', at)
  return pairs.slice(at + NAME.length, end === -1 ? at + NAME.length + VALUE_BYTES_MAX : end).toUpperCase()
}

/** The same among a form's bytes; a search for bytes costs nothing beside a reading. */
function valueIn (bytes: Buffer): string | null {
  const at = bytes.indexOf(NAME_BYTES)
  return at === -1 ? null : valueOf(bytes.toString('latin1', Math.max(0, at - 1), at + NAME.length + VALUE_BYTES_MAX))
}

function addParameterSigns (view: RequestView, value: string, place: string, signs: Signs): void {
  if (!CHANGES.has(value)) add(signs, 0.77, place, 'an override to a method that no form needs')
  else if (view.method !== 'POST') {
    add(signs, 0.78, place, `${value} asked for by ${isName(view.method) ? view.method : 'another method'}`)
  } else if (cameFromPage(view)) add(signs, 0.15, place, 'another method than the request line says')
  else add(signs, 0.76, place, 'an override from a client that can send the method itself')
}

/**
 * Proxies of old let only GET and POST through, so clients of APIs override in a header; `GET` for a long
 * query is one of them.
 */
function addHeaderSigns (view: RequestView, name: string, value: string, signs: Signs): void {
  const place = `header.${name}`
  if (value !== 'GET' && value !== 'MERGE' && !CHANGES.has(value)) {
    add(signs, 0.77, place, 'an override to a method that no application offers')
  } else if (view.method === 'GET' || view.method === 'HEAD') {
    add(signs, CHANGES.has(value) ? 0.78 : 0.15, place, 'a read that asks to be taken for a change')
  } else add(signs, 0.15, place, 'another method than the request line says')
}

/** Browsers say which page a form was on. */
function cameFromPage (view: RequestView): boolean {
  return headerOf(view, 'origin') !== null || headerOf(view, 'referer') !== null ||
    headerOf(view, 'sec-fetch-mode') !== null
}

function isName (method: string): boolean {
  return /^[A-Z]{3,10}$/.test(method)
}

function add (signs: Signs, value: number, place: string, text: string): void {
  addSign(signs, value, 'endpoint.method-override', place, text, 'T1190')
}
