import type { Thresholds } from '../decisions/verdict.ts'
import type { Score } from '../detect/shapes.ts'
import {
  NEKO_ERR_BODY_TOO_LARGE,
  NEKO_ERR_LIMIT_EXCEEDED,
  NEKO_ERR_OVERLOADED,
  NEKO_ERR_REQUEST_TIMEOUT,
  NEKO_ERR_REQUEST_UNJUDGED
} from '../errors.ts'
import type { Unjudged } from '../threads/shapes.ts'
import { refusalFrom, type Refusal } from './refusal.ts'
import type { Body, Transaction } from './transaction.ts'
import { unreadOf } from './unread.ts'

/**
 * Requests that are refused without a verdict of their own, and what their receipts say of it: nobody could judge them,
 * their body did not come whole, or it holds what nobody reads (unread.ts). A verdict that is missing because of us
 * refuses nothing: it is made up for (catch-up.ts).
 */
const TOO_LARGE = refusalFrom(new NEKO_ERR_BODY_TOO_LARGE(), { bodyUnread: true })
const TOO_SLOW = refusalFrom(new NEKO_ERR_REQUEST_TIMEOUT(), { bodyUnread: true })
/** Of a text that cannot be judged: the same text is counted each time, so there is no hurry. */
const EXHAUSTING: Refusal = { ...refusalFrom(new NEKO_ERR_REQUEST_UNJUDGED()), retryAfterSeconds: 60 }
/** A backlog is no violation of a limit, and lengthens none. */
const UNJUDGED: Readonly<Record<Unjudged, Refusal>> = {
  exhausts: EXHAUSTING,
  unfinished: EXHAUSTING,
  backlog: { ...refusalFrom(new NEKO_ERR_LIMIT_EXCEEDED('1')), retryAfterSeconds: 1 },
  full: { ...refusalFrom(new NEKO_ERR_OVERLOADED('1')), retryAfterSeconds: 1 }
}

/** Why nobody judged it, for the receipt. */
const UNJUDGED_REMARKS: Readonly<Record<Unjudged, string>> = {
  exhausts: 'all: its text used up the time of the scoring threads',
  unfinished: 'all: its text has used more thread time than any ordinary one',
  backlog: "all: its client's own requests stood before it",
  full: 'all: too many heavy requests stood before it'
}

/** Null for a request that was read and judged, and in shadow for one that was refused for its text alone. */
export function unjudgedRefusalOf (
  transaction: Transaction,
  body: Body | null,
  { shadow }: Pick<Thresholds, 'shadow'>
): Refusal | null {
  const { unjudged, score } = transaction
  remarkUnjudged(transaction)
  // A text that cannot be judged is refused like one that was judged hostile, so in shadow it is let through; a line
  // that is full is a limit, and limits stay in force.
  if (shadow && (unjudged === 'exhausts' || unjudged === 'unfinished')) {
    transaction.verdict = { action: 'BLOCK', simulated: true }
  } else if (unjudged !== null) return UNJUDGED[unjudged]
  if (body?.end === 'over') return TOO_LARGE
  if (body?.end === 'slow') return TOO_SLOW
  const unread = unreadOf(transaction, body)
  if (unread !== null && unread.remark !== null) leaveOut(score!, unread.remark)
  return unread?.refusal ?? null
}

/** The receipt says why nobody judged it. */
export function remarkUnjudged ({ unjudged, score }: Transaction): void {
  if (unjudged !== null) leaveOut(score!, UNJUDGED_REMARKS[unjudged])
}

/** A request that is refused for what was not read of it: its receipt and headers say so, whatever it scored. */
export function markUnjudged (transaction: Transaction): void {
  if (transaction.refusedBy !== null) return
  transaction.refusedBy = 'unjudged'
  transaction.verdict = { action: 'BLOCK', simulated: false }
}

/** A list of its own: the scorer may hand out the same one twice. */
export function leaveOut (score: Score, what: string): void {
  score.notInspected = [...score.notInspected, what]
}
