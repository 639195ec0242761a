/**
 * Redaction: from an Observation to what may be stored, shown and replayed. Pure.
 *
 * Authorization, cookies, passwords, tokens, keys and other secrets are masked in the target, the headers, forms, JSON,
 * GraphQL (variables and literals), XML and multipart, before anything leaves memory. What cannot be read (compressed,
 * binary, too large) is left out. A mask keeps length and punctuation; where a factor had found something in a masked
 * place, the receipt says so, because a replay cannot find it again.
 */
import { evidenceWords, graphqlOf } from './graphql-request.ts'
import { maskTokens } from './mask-forms.ts'
import { maskText } from './mask.ts'
import { redactFactors } from './redact-evidence.ts'
import { redactBody, redactHeaders, redactTarget } from './redact-parts.ts'
import type { MaskedPlace, RedactedObservation } from './shapes.ts'
import type { Evidence, FactorContribution, Observation, Score } from '../detect/shapes.ts'

const PATH_MAX = 512
const MASKED_MAX = 64

/** An Observation without its secrets. `score` says which factors found something in what is masked. */
export function redactObservation (observation: Observation, score: Pick<Score, 'factors'>): RedactedObservation {
  const masked = new Set<string>()
  const onMasked = (place: string): void => {
    if (masked.size < MASKED_MAX) masked.add(maskTokens(place, '', () => {}))
  }
  const { headers, body } = observation
  const secrets = graphqlOf(observation)
  const graphql = secrets === null
    ? undefined
    : { secrets, evidence: evidenceWords(redactFactors(score.factors, observation)) }
  const bodyText = body === null ? null : redactBody(observation, onMasked, graphql)
  return {
    method: observation.method.slice(0, 64),
    url: redactTarget(observation.url, onMasked, graphql),
    headers: redactHeaders(headers, onMasked),
    bodyBase64: bodyText === null ? null : Buffer.from(bodyText, 'latin1').toString('base64'),
    route: observation.route,
    history: observation.history === null ? null : { ...observation.history },
    masked: describeMasked([...masked], score.factors, body !== null && bodyText === null)
  }
}

/** The path alone, at most 512 characters. */
export function redactPath (url: string): string {
  const mark = url.indexOf('?')
  return redactTarget((mark === -1 ? url : url.slice(0, mark)).slice(0, PATH_MAX))
}

const AGENT_MAX = 100

/** An agent's name, at most 100 characters. */
export function redactAgent (agent: string): string {
  return maskText(agent.slice(0, PATH_MAX), 'header.user-agent', () => {}).slice(0, AGENT_MAX)
}

/** All evidence as it may be told, that of the decisive factor first. */
export function tellableEvidence (
  factors: readonly FactorContribution[],
  observation: Observation | null
): Evidence[] {
  return redactFactors(factors.toSorted((a, b) => b.contribution - a.contribution), observation)
    .flatMap((factor) => factor.evidence)
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
  // A walk that went less deep saw the secret's surroundings as one text, and one that went deeper a part of it.
  if (seen === masked || masked.startsWith(`${seen}.`) || seen.startsWith(`${masked}.`)) return true
  if (seen.startsWith(`${masked} (`)) return true
  const lastSeen = seen.slice(seen.lastIndexOf('.') + 1).toLowerCase()
  const lastMasked = masked.slice(masked.lastIndexOf('.') + 1).toLowerCase()
  return lastSeen === lastMasked || (seen.startsWith('cookie') && masked.startsWith('cookie'))
}

/** True when a receipt does not hold the text at this place as it came. */
export function isMaskedAt (masked: readonly MaskedPlace[], place: string): boolean {
  if (place === 'url') return masked.some((one) => /^(?:url|path|query)\b/.test(one.place))
  return masked.some((one) => samePlace(place, one.place))
}
