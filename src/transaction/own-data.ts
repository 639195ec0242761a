import type { Observation, Score } from '../detect/shapes.ts'
import type { Scope } from '../identity/shapes.ts'
import type { Transaction } from './transaction.ts'

/**
 * What an authorised caller writes into our own fields is data: the reason of a decision may quote an attack, and a
 * search may look for one. It is scored, recorded and shown (`score`); what follows from the request (verdict, holds,
 * history, playbooks) follows from the score that it has without that data (`decidingScore`).
 *
 * Bodies of REST that hold what others sent (`bodyScope`) are not scored for those who may send them (admit.ts). In
 * front of other applications nothing is ours, and so nothing is data.
 */
export const OWN_DATA = 'values: scored, and not held against a caller who may write them'

/** The body with its data taken out, or null where it holds none: the schema knows (schema/own-data.ts). */
export type EraseData = (body: { text: string, type: 'json' | 'graphql' }, scopes: readonly Scope[]) => string | null

/** From here on payload makes a probe of a request that fails (clients/history.ts). */
const PAYLOAD_POINTS_MIN = 5
const BODY_BYTES_MAX = 64 * 1024
/** One type, in the one charset that is read; whatever else a header says, its body may be read in another way too. */
const OWN_TYPE = /^application\/(json|graphql)(?:; ?charset="?utf-?8"?)?$/i

/** The observation without what its caller may write; null when nothing in it is data. Never throws. */
export function withoutOwnData (transaction: Transaction, eraseData: EraseData): Observation | null {
  const { authority, route, method, principal, body, observation } = transaction
  if (authority !== 'caller' || principal === null || body === null || observation === null) return null
  if (!route.isGraphql || route.pattern === null || method !== 'POST' || body.length > BODY_BYTES_MAX) return null
  const type = typeOf(transaction.headers)
  const text = type === null ? null : textOf(body)
  if (type === null || text === null) return null
  const erased = eraseData({ text, type }, principal.scopes)
  return erased === null ? null : { ...observation, body: Buffer.from(erased) }
}

/** Whether its payload could have consequences: all others cost a comparison. */
export function weighsPayload ({ principal, score }: Transaction, challengeThreshold: number): boolean {
  if (principal === null || score === null) return false
  return score.value >= challengeThreshold || score.beyond === 'body' || payloadPoints(score) >= PAYLOAD_POINTS_MIN
}

/** The score from which consequences follow. A decoy was touched by the request, whatever it said. */
export function decidingScore (
  { score, scoreWithoutData }: Pick<Transaction, 'score' | 'scoreWithoutData'>
): Score | null {
  return scoreWithoutData === null || score === null ? score : { ...scoreWithoutData, decoy: score.decoy }
}

function payloadPoints ({ factors }: Score): number {
  return factors.find(({ name }) => name === 'payload')?.contribution ?? 0
}

function typeOf (headers: readonly string[]): 'json' | 'graphql' | null {
  const types: string[] = []
  for (let i = 0; i + 1 < headers.length; i += 2) {
    if ((headers[i] as string).toLowerCase() === 'content-type') types.push(headers[i + 1] as string)
  }
  const type = types.length === 1 ? OWN_TYPE.exec((types[0] as string).trim())?.[1] : undefined
  return type === undefined ? null : type.toLowerCase() as 'json' | 'graphql'
}

function textOf (body: Uint8Array): string | null {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(body)
  } catch {
    return null
  }
}
