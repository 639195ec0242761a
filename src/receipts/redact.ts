/**
 * Redaction: from an Observation to what may be stored, shown and replayed. Pure.
 *
 * Authorization, cookies, passwords, tokens, keys and other secrets are masked in the target, the headers, forms, JSON,
 * GraphQL (variables and literals), XML and multipart, before anything leaves memory. What cannot be read (compressed,
 * binary, too large) is left out. A mask keeps length and punctuation; where a factor had found something in a masked
 * place, the receipt says so, because a replay cannot find it again.
 */
import { maskCookies, maskMultipart, maskPairs, maskText, maskTokens } from './mask.ts'
import { maskJson } from './mask-json.ts'
import { maskShape } from './mask-shape.ts'
import { isSecretName } from './secret-names.ts'
import type { MaskedPlace, RedactedObservation } from './shapes.ts'
import type { Evidence, FactorContribution, Observation, Score } from '../detect/shapes.ts'

/** Bytes of a body that a receipt keeps. */
export const BODY_KEPT_MAX = 16_384
const HEADERS_KEPT_MAX = 256
/** Of all headers together: twice what Node's parser lets through. Only a sample, which others saw, may have more. */
const HEADERS_CHARACTERS_MAX = 32_768
const TEXT_KEPT_MAX = 8_192
const PATH_MAX = 512
const NAME_KEPT_MAX = 256
const MASKED_MAX = 64

/** An Observation without its secrets. `score` says which factors found something in what is masked. */
export function redactObservation (observation: Observation, score: Pick<Score, 'factors'>): RedactedObservation {
  const masked = new Set<string>()
  const onMasked = (place: string): void => { if (masked.size < MASKED_MAX) masked.add(place) }
  const { headers, body } = observation
  const bodyText = body === null ? null : redactBody(body, headers, onMasked)
  return {
    method: observation.method.slice(0, 64),
    url: redactTarget(observation.url, onMasked),
    headers: redactHeaders(headers, onMasked),
    bodyBase64: bodyText === null ? null : Buffer.from(bodyText, 'latin1').toString('base64'),
    route: observation.route,
    history: observation.history === null ? null : { ...observation.history },
    masked: describeMasked([...masked], score.factors, body !== null && bodyText === null)
  }
}

/** A request target without its secrets. */
export function redactTarget (url: string, onMasked: (place: string) => void = () => {}): string {
  const text = url.length > TEXT_KEPT_MAX ? url.slice(0, TEXT_KEPT_MAX) : url
  if (text !== url) onMasked('url')
  const mark = text.indexOf('?')
  if (mark === -1) return maskPath(text, onMasked)
  return maskPath(text.slice(0, mark), onMasked) + '?' + maskPairs(text.slice(mark + 1), 'query', onMasked)
}

/** `/reset;token=x/` and `/reset/token=x`: parameters may stand in segments. `/keys:verify` ends in a verb. */
function maskPath (path: string, onMasked: (place: string) => void): string {
  const text = maskTokens(path, 'path', onMasked)
  if (!/[=%#]|:[^/]*[^/A-Za-z]/.test(text)) return text
  return text.split('/').map((segment) => maskPairs(segment, 'path', onMasked)).join('/')
}

/** The path alone, at most 512 characters. */
export function redactPath (url: string): string {
  const mark = url.indexOf('?')
  return redactTarget((mark === -1 ? url : url.slice(0, mark)).slice(0, PATH_MAX))
}

function redactHeaders (headers: readonly string[], onMasked: (place: string) => void): string[] {
  const kept: string[] = []
  let left = HEADERS_CHARACTERS_MAX
  for (let i = 0; i + 1 < headers.length && kept.length < HEADERS_KEPT_MAX * 2; i += 2) {
    const [name, value] = [headers[i] as string, headers[i + 1] as string]
    left -= Math.min(name.length, NAME_KEPT_MAX) + Math.min(value.length, TEXT_KEPT_MAX)
    if (left < 0) break
    kept.push(name.slice(0, NAME_KEPT_MAX), redactHeader(name, value, onMasked))
  }
  if (kept.length < headers.length - headers.length % 2) onMasked('headers')
  return kept
}

function redactHeader (name: string, given: string, onMasked: (place: string) => void): string {
  const lower = name.toLowerCase()
  const value = given.slice(0, TEXT_KEPT_MAX)
  if (value.length < given.length) onMasked(`header.${lower.slice(0, 40)}`)
  if (lower === 'cookie' || lower === 'set-cookie' || lower === 'cookie2') return maskCookies(value, onMasked)
  if (lower === 'authorization' || lower === 'proxy-authorization') {
    onMasked(`header.${lower}`)
    const scheme = /^(?:Basic|Bearer|Digest|Negotiate|Token|ApiKey)\s+/i.exec(value)?.[0] ?? ''
    return scheme + maskShape(value.slice(scheme.length))
  }
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

/** The body's bytes as latin1 with secrets masked, or null when it must be left out. */
function redactBody (body: Uint8Array, headers: readonly string[], onMasked: (place: string) => void): string | null {
  if (body.length > BODY_KEPT_MAX) return null
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
    const masked = maskJson(parts, 'body', onMasked)
    return isForm && !isJson(text) ? maskPairs(masked, 'body', onMasked) : masked
  }
  if (isForm || (parts === text && /^[\w%.[\]+-]{1,128}=/.test(text))) {
    return maskPairs(parts, 'body', onMasked)
  }
  return parts === text ? maskText(text, 'body', onMasked) : parts
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

/** Evidence as a receipt may show it: pieces of masked values are not repeated in its text. */
export function redactFactors (factors: readonly FactorContribution[]): FactorContribution[] {
  return factors.map((factor) =>
    factor.evidence.length === 0 ? factor : { ...factor, evidence: factor.evidence.map(redactEvidence) }
  )
}

/** All evidence as it may be told, that of the decisive factor first. */
export function tellableEvidence (factors: readonly FactorContribution[]): Evidence[] {
  return redactFactors(factors.toSorted((a, b) => b.contribution - a.contribution)).flatMap((factor) => factor.evidence)
}

function redactEvidence (evidence: Evidence): Evidence {
  // A sign of the raw bytes knows no field: what it matched may be a password.
  if (evidence.rule.endsWith('.raw') || isSecretPlace(evidence.place)) {
    return { ...evidence, text: `${evidence.rule} in ${evidence.place} (masked)` }
  }
  const text = maskText(evidence.text, '', () => {})
  return text === evidence.text ? evidence : { ...evidence, text }
}

/** `query.token`, `cookie.session`, `header.authorization`, `body.user.password`. */
export function isSecretPlace (place: string): boolean {
  return place.startsWith('cookie') || place.startsWith('header.cookie') || isSecretName(place)
}

function describeMasked (
  places: string[],
  factors: readonly FactorContribution[],
  isBodyLeftOut: boolean
): MaskedPlace[] {
  const described = places.map((place) => ({ place, factors: factorsAt(factors, (seen) => samePlace(seen, place)) }))
  if (isBodyLeftOut) described.push({ place: 'body', factors: factorsAt(factors, isOfBody) })
  return described
}

function factorsAt (
  factors: readonly FactorContribution[],
  matches: (place: string) => boolean
): MaskedPlace['factors'] {
  return factors.filter((factor) =>
    factor.contribution > 0 && factor.evidence.some((one) => matches(one.place))
  ).map((factor) => factor.name)
}

function isOfBody (place: string): boolean {
  return !/^(?:path|query|header|cookie|url|client)\b/.test(place)
}

/** The scorer and the redaction walk differently: the kind of place and the last name must agree. */
function samePlace (seen: string, masked: string): boolean {
  // A walk that went less deep saw the secret's surroundings as one text.
  if (seen === masked || masked.startsWith(`${seen}.`)) return true
  const lastSeen = seen.slice(seen.lastIndexOf('.') + 1).toLowerCase()
  const lastMasked = masked.slice(masked.lastIndexOf('.') + 1).toLowerCase()
  return lastSeen === lastMasked || (seen.startsWith('cookie') && masked.startsWith('cookie'))
}

/** True when a receipt does not hold the text at this place as it came. */
export function isMaskedAt (masked: readonly MaskedPlace[], place: string): boolean {
  if (place === 'url') return masked.some((one) => /^(?:url|path|query)\b/.test(one.place))
  return masked.some((one) => samePlace(place, one.place))
}
