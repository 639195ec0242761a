/** The parts of a request without their secrets: target, headers, body. Pure, linear. */
import { sequence } from '../std/regex.ts'
import { maskDocument } from './graphql-secrets.ts'
import { maskTokens } from './mask-forms.ts'
import { maskJson, type GraphqlRequest } from './mask-json.ts'
import { maskPairs } from './mask-pairs.ts'
import { maskEncoded, maskShape } from './mask-shape.ts'
import { maskCookies, maskMultipart, maskText } from './mask.ts'
import { isSecretName } from './secret-names.ts'
import type { OnMasked } from './mask-shape.ts'
import type { Observation } from '../detect/shapes.ts'

/** Bytes of a body that a receipt keeps. */
export const BODY_KEPT_MAX = 16_384
const HEADERS_KEPT_MAX = 256
/** Of all headers together: twice what Node's parser lets through. Only a sample, which others saw, may have more. */
const HEADERS_CHARACTERS_MAX = 32_768
const TEXT_KEPT_MAX = 8_192
const NAME_KEPT_MAX = 256
const ASSESS_ROUTE = '/v1/assess'

/** A request target without its secrets. */
export function redactTarget (
  url: string,
  onMasked: OnMasked = () => {},
  graphql?: GraphqlRequest
): string {
  const text = url.length > TEXT_KEPT_MAX ? url.slice(0, TEXT_KEPT_MAX) : url
  if (text !== url) onMasked('url')
  const mark = text.indexOf('?')
  if (mark === -1) return maskPath(text, onMasked)
  return maskPath(text.slice(0, mark), onMasked) + '?' + maskPairs(text.slice(mark + 1), 'query', onMasked, graphql)
}

/** `/reset;token=x/` and `/reset/token=x`: parameters may stand in segments. `/keys:verify` ends in a verb. */
function maskPath (path: string, onMasked: OnMasked): string {
  const text = maskSegments(maskTokens(path, 'path', onMasked), onMasked)
  if (!/[=%#]|:[^/]*[^/A-Za-z]/.test(text)) return text
  return text.split('/').map((segment) => maskPairs(segment, 'path', onMasked)).join('/')
}

/** Of a link that lets its holder in: 128 bits and more, in hex or any denser alphabet. */
const OPAQUE = /^(?=[^/]{0,64}\d)(?=[^/]{0,64}[A-Za-z])[\w-]{32,}$/

/** `/token/x1y2`, where a secret's name stands before it, and what is too long and mixed for anything else. */
function maskSegments (path: string, onMasked: OnMasked): string {
  if (!/\d/.test(path)) return path
  let before = ''
  return path.replace(/[^/]+/g, (segment) => {
    const isSecret = OPAQUE.test(segment) || (/\d/.test(segment) && /[A-Za-z]/.test(segment) && isSecretName(before))
    before = segment
    if (!isSecret) return segment
    onMasked('path')
    return maskEncoded(segment)
  })
}

export function redactHeaders (headers: readonly string[], onMasked: OnMasked): string[] {
  const kept: string[] = []
  let left = HEADERS_CHARACTERS_MAX
  for (let i = 0; i + 1 < headers.length && kept.length < HEADERS_KEPT_MAX * 2; i += 2) {
    const [name, value] = [headers[i] as string, headers[i + 1] as string]
    left -= Math.min(name.length, NAME_KEPT_MAX) + Math.min(value.length, TEXT_KEPT_MAX)
    if (left < 0) break
    kept.push(maskTokens(name.slice(0, NAME_KEPT_MAX), 'headers', onMasked), redactHeader(name, value, onMasked))
  }
  if (kept.length < headers.length - headers.length % 2) onMasked('headers')
  return kept
}

function redactHeader (name: string, given: string, onMasked: OnMasked): string {
  const lower = name.toLowerCase()
  const value = given.slice(0, TEXT_KEPT_MAX)
  if (value.length < given.length) onMasked(`header.${lower.slice(0, 40)}`)
  if (lower === 'cookie' || lower === 'set-cookie' || lower === 'cookie2') return maskCookies(value, onMasked)
  if (lower === 'authorization' || lower === 'proxy-authorization') {
    onMasked(`header.${lower}`)
    const scheme = /^(?:Basic|Bearer|Digest|Negotiate|Token|ApiKey)\s+/i.exec(value)?.[0] ?? ''
    return scheme + maskShape(value.slice(scheme.length))
  }
  if (lower === 'sec-websocket-protocol') return redactProtocols(value, onMasked)
  if (isSecretName(lower)) {
    onMasked(`header.${lower.slice(0, 40)}`)
    return maskShape(value)
  }
  // Referer, Location and the like carry targets with parameters.
  const place = `header.${lower.slice(0, 40)}`
  const text = maskText(value, place, onMasked)
  const mark = text.indexOf('?')
  if (mark === -1 || !text.includes('=', mark)) return text
  return text.slice(0, mark + 1) + maskPairs(text.slice(mark + 1), place, onMasked)
}

/** What a WebSocket speaks. A browser has no other header to put a token into. */
const PROTOCOL = sequence([
  /^\s*/,
  [/graphql(?:-transport)?-ws/, /v?[\d.]{0,5}\.?(?:stomp|mqtt|amqp|wamp|soap|xmpp|sip|binary|json)[\w.]{0,12}/],
  /\s*$/
], 'i')

function redactProtocols (value: string, onMasked: OnMasked): string {
  return value.split(',').map((protocol) => {
    if (PROTOCOL.test(protocol)) return protocol
    onMasked('header.sec-websocket-protocol')
    return maskShape(protocol)
  }).join(',')
}

/** The body's bytes as latin1 with secrets masked, or null when it must be left out. */
export function redactBody (
  { route, body: given, headers }: Observation,
  onMasked: OnMasked,
  graphql?: GraphqlRequest
): string | null {
  const body = given as Uint8Array
  // Requests of others, with all that they carry: each has a receipt of its own.
  if (body.length > BODY_KEPT_MAX || route === ASSESS_ROUTE) return null
  const encoding = headerValue(headers, 'content-encoding')
  if (encoding !== '' && encoding !== 'identity') return null
  const text = Buffer.from(body.buffer, body.byteOffset, body.length).toString('latin1')
  // UTF-16 and binary: names in it cannot be seen.
  if (text.includes('\0')) return null
  const type = headerValue(headers, 'content-type')
  if (type.startsWith('multipart/')) return maskMultipart(text, 'body', onMasked)
  // Also one that lost its type on the way. A receiver may go by the type all the same, so both readings are masked.
  const parts = hasParts(text) ? maskMultipart(text, 'body', onMasked) : text
  const isForm = type.includes('x-www-form-urlencoded')
  if (type.includes('json') || /^[\s\u00ef\u00bb\u00bf]*[{["]/.test(text)) {
    const masked = maskJson(parts, 'body', onMasked, graphql)
    return isForm && !isJson(text) ? maskPairs(masked, 'body', onMasked, graphql) : masked
  }
  if (isForm || (parts === text && /^[\w%.[\]+-]{1,128}=/.test(text))) {
    return maskPairs(parts, 'body', onMasked, graphql)
  }
  if (parts !== text) return parts
  return maskText(graphql === undefined ? text : maskDocument(text, graphql.secrets, onMasked), 'body', onMasked)
}

/** Many send JSON as a form, and few a form that begins like JSON. */
function isJson (text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

/** A line of two hyphens where the text begins, or with a header below it. */
function hasParts (text: string): boolean {
  return /^\s*--/.test(text) || /^--[^\r\n]*\r?\n[\w-]+[ \t]*:/m.test(text)
}

function headerValue (headers: readonly string[], name: string): string {
  for (let i = 0; i + 1 < headers.length; i += 2) {
    if ((headers[i] as string).toLowerCase() === name) {
      return (headers[i + 1] as string).trim().toLowerCase()
    }
  }
  return ''
}
