import type { LimitAnswer } from '../limits/shapes.ts'
import type { Transaction } from './transaction.ts'

/**
 * The answer to a refused caller, as data: each transport says it in its own words. Refusals that are sent many times
 * have their bodies made once, around the receipt's id.
 */
export interface Refusal {
  status: number
  code: string
  message: string
  retryAfterSeconds?: number
  headers?: Readonly<Record<string, string>>
  /** The body was not read, and must not hold its connection. */
  bodyUnread?: boolean
  /** Outside production only: the real message of an unexpected error. */
  detail?: string
  /** Both bodies up to the receipt's id, and from there on. */
  prepared?: { plain: Prepared, graphql: Prepared }
}

type Prepared = readonly [before: string, after: string]

/** One of our errors, to be sent many times: an error with its stack costs more than the whole of hop 1. */
export function refusalFrom (
  { statusCode, code, message }: Error & { code: string, statusCode?: number },
  extra: Pick<Refusal, 'headers' | 'bodyUnread'> = {}
): Refusal {
  const refusal = { status: statusCode ?? 500, code, message, ...extra }
  return { ...refusal, prepared: { plain: prepare(refusal, false), graphql: prepare(refusal, true) } }
}

/** By a limit of its client's, whichever it is. */
export function refuseByLimit (transaction: Transaction, answer: LimitAnswer): Refusal {
  transaction.limit = answer
  transaction.refusedBy = 'limit'
  const { retryAfterSeconds } = answer
  return {
    status: 429,
    code: 'NEKO_ERR_LIMIT_EXCEEDED',
    message: `Too many requests: try again in ${retryAfterSeconds} s`,
    retryAfterSeconds,
    bodyUnread: true
  }
}

/** The body of a refusal: a GraphQL error, or `{"error": ...}`. */
export function refusalBody (refusal: Refusal, assessment: string | null, graphql: boolean): string {
  const { code, message, retryAfterSeconds, detail, prepared } = refusal
  const isPlain = retryAfterSeconds === undefined && detail === undefined
  if (prepared !== undefined && assessment !== null && isPlain) {
    const [before, after] = graphql ? prepared.graphql : prepared.plain
    return before + assessment + after
  }
  const facts = {
    ...(assessment === null ? {} : { assessment }),
    ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }),
    ...(detail === undefined ? {} : { detail })
  }
  return JSON.stringify(graphql
    ? { errors: [{ message, extensions: { code, ...facts } }] }
    : { error: { code, message, ...facts } })
}

/** An id of ours needs no escaping, so the body around it can be made once: JSON.stringify was a tenth of hop 1. */
function prepare (refusal: Refusal, graphql: boolean): Prepared {
  const mark = '<assessment>'
  const [before, after] = refusalBody(refusal, mark, graphql).split(mark) as [string, string]
  return [before, after]
}
