import { decideVerdict, type Thresholds } from '../decisions/verdict.ts'
import type { Observation } from '../detect/shapes.ts'
import type { Transaction } from './transaction.ts'

/**
 * What a signed-in caller puts into an operation of ours refuses that operation, and does nothing more: a misspelt
 * field beside a quoted attack is a slip, and a slip must not shut a person out. Holds, history and playbooks hear the
 * score that the request has without its operation. A decoy is no slip, and is held against everybody.
 */

/** The observation without its operation: the body, and of a GET the query string. Null for all other requests. */
export function withoutOperation (
  { authority, route, method, principal, observation }: Transaction
): Observation | null {
  if (authority !== 'caller' || principal === null || observation === null) return null
  if (!route.isGraphql || route.pattern === null) return null
  const { url } = observation
  const end = method === 'GET' || method === 'HEAD' ? url.indexOf('?') : -1
  return { ...observation, url: end === -1 ? url : url.slice(0, end), body: null }
}

/** The transaction as it is held against its client. */
export function asHeld (transaction: Transaction, thresholds: Thresholds): Transaction {
  const { score, heldScore, decision, method, refusedBy } = transaction
  if (heldScore === null || score?.decoy === true) return transaction
  const verdict = decideVerdict({ score: heldScore, decision, method, thresholds })
  const isSpared = refusedBy === 'score' && verdict.action !== 'BLOCK'
  return { ...transaction, score: heldScore, scoreWithoutData: null, verdict, refusedBy: isSpared ? null : refusedBy }
}
