/** Evidence without the secrets of the request that it is about. Pure. */
import { graphqlOf, isSecretEvidence } from './graphql-request.ts'
import { maskTokens } from './mask-forms.ts'
import { decodeValue } from './mask-pairs.ts'
import { maskShape } from './mask-shape.ts'
import { maskText } from './mask.ts'
import { BODY_KEPT_MAX, redactBody, redactHeaders, redactTarget } from './redact-parts.ts'
import { isSecretName } from './secret-names.ts'
import type { Evidence, FactorContribution, Observation } from '../detect/shapes.ts'

/**
 * Evidence as a receipt may show it: pieces of masked values are not repeated in its text. `observation` is the request
 * that it is about, which may say that its operation or a variable is secret.
 */
export function redactFactors (
  factors: readonly FactorContribution[],
  observation: Observation | null
): FactorContribution[] {
  if (factors.every(({ evidence }) => evidence.length === 0)) return [...factors]
  const isSecret = isSecretEvidence(observation)
  let hide: ((text: string) => string) | null = null
  const redact = (given: Evidence): Evidence => {
    const evidence = redactEvidence(given, isSecret(given))
    if (evidence.place.startsWith('variables')) return { ...evidence, text: hideMixed(evidence.text) }
    if (observation === null || !mayShowMasked(evidence)) return evidence
    hide ??= hideMasked(observation)
    return { ...evidence, text: hide(evidence.text) }
  }
  return factors.map((factor) =>
    factor.evidence.length === 0 ? factor : { ...factor, evidence: factor.evidence.map(redact) }
  )
}

/** What was matched in a text as a whole, or is cut off in front, may show a secret without its name. */
function mayShowMasked ({ place, text }: Evidence): boolean {
  return text.startsWith('matched "…') || (/^body(?: |$)/.test(place) && text.startsWith('matched "'))
}

/**
 * Of variables nothing is shown but what evidence tells, and evidence tells what stands beside an attack as well: there
 * words of letters and digits are more often secrets than SQL.
 */
function hideMixed (text: string): string {
  return maskMatched(text, (word) => /\d/.test(word) && /[A-Za-z]/.test(word))
}

/** Masks words of what was matched, and none of the sentence around it. */
function maskMatched (text: string, isHidden: (word: string) => boolean): string {
  const end = text.lastIndexOf('"')
  return text.replace(/[^\W_]{3,}/g, (word, at: number) =>
    at < 'matched "'.length || at > end || !isHidden(word) ? word : maskShape(word))
}

/** Masks the words that the request shows and that, redacted, it does not. */
function hideMasked (observation: Observation): (text: string) => string {
  const { body, headers, url } = observation
  const isKept = body === null || body.length <= BODY_KEPT_MAX
  const secrets = graphqlOf(observation)
  const graphql = secrets === null ? undefined : { secrets, evidence: new Map<string, never>() }
  const redacted = body === null ? '' : redactBody(observation, ignored, graphql)
  const before = shownText(url, headers, isKept ? textOf(body) : '')
  const after = shownText(redactTarget(url, ignored, graphql), redactHeaders(headers, ignored), redacted ?? '')
  const isLeftOut = redacted === null
  return (text) => maskMatched(text, (word) => {
    const folded = word.toLowerCase()
    return !after.includes(folded) && (isLeftOut || before.includes(folded))
  })
}

function shownText (url: string, headers: readonly string[], body: string): string {
  return [decodeValue(url), ...headers, body, decodeValue(body)].join('\n').toLowerCase()
}

function textOf (body: Uint8Array | null): string {
  return body === null ? '' : Buffer.from(body.buffer, body.byteOffset, body.length).toString('latin1')
}

function ignored (): void {}

function redactEvidence (evidence: Evidence, isSecret: boolean): Evidence {
  const place = maskTokens(evidence.place, '', ignored)
  // A sign of the raw bytes knows no field: what it matched may be a password.
  if (isSecret || evidence.rule.endsWith('.raw') || isSecretPlace(evidence.place)) {
    return { ...evidence, place, text: `${evidence.rule} in ${place} (masked)` }
  }
  const text = maskText(evidence.text, '', ignored)
  return text === evidence.text && place === evidence.place ? evidence : { ...evidence, place, text }
}

/** `query.token`, `cookie.session`, `header.authorization`, `body.user.password`, `body.credentials.name`. */
export function isSecretPlace (place: string): boolean {
  if (place.startsWith('cookie') || place.startsWith('header.cookie')) return true
  if (place.startsWith('header.sec-websocket-protocol')) return true
  return place.split('.').some((name, at) => at > 0 && name !== 'variables' && isSecretName(name)) ||
    (!place.startsWith('variables') && isSecretName(place))
}
