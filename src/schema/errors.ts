import { GraphQLError, type GraphQLFormattedError } from 'graphql'
import { isNekoError, isOperators, NEKO_ERR_INTERNAL, shownMessage } from '../errors.ts'
import { retryAfterOf } from '../std/retryable.ts'

/** How errors leave: ours with their code, GraphQL's own with a code by kind, everything else masked. */
interface ErrorEdge {
  production: boolean
  /** Told of each error of which the caller does not see all, once, with its stack. */
  onMasked (error: Error, requestId: string | null): void
}

/** The request that carried the operation. */
export interface ErrorOrigin {
  /** Its receipt: a refused caller can ask why. */
  assessmentId: string | null
  requestId: string | null
}

/** Statuses that stand on /graphql too, whatever Accept says; the 200 of GraphQL over HTTP is for the rest. */
const OWN_STATUS = new Set([401, 403, 413, 429, 503])
const OWN_STATUS_CODES = new Set(['NEKO_ERR_KEY_FORBIDDEN'])
/** Long names and values of the caller's come back in GraphQL's messages. */
const MESSAGE_MAX = 500

export function formatError (
  error: GraphQLError | Error,
  edge: ErrorEdge,
  { assessmentId, requestId }: ErrorOrigin
): GraphQLFormattedError {
  const { extensions, ...shown } = shownError(error, edge, requestId)
  return { ...shown, extensions: { ...extensions, ...(assessmentId === null ? {} : { assessment: assessmentId }) } }
}

function shownError (
  error: GraphQLError | Error,
  edge: ErrorEdge,
  requestId: string | null
): GraphQLFormattedError {
  const cause = error instanceof GraphQLError ? error.originalError ?? error : error
  const place = error instanceof GraphQLError ? pathOf(error) : {}
  if (isNekoError(cause)) {
    if (isOperators(cause)) edge.onMasked(cause, requestId)
    return { message: shownMessage(cause), ...place, extensions: { code: cause.code, ...retryOf(cause) } }
  }
  if (cause instanceof GraphQLError) {
    return { message: boundedMessage(cause.message, edge.production), ...place, extensions: { code: codeOf(cause) } }
  }
  if (isRefusalOfMercurius(cause)) {
    return { message: cause.message, ...place, extensions: { code: 'NEKO_ERR_INPUT_INVALID' } }
  }
  edge.onMasked(cause, requestId)
  const masked = new NEKO_ERR_INTERNAL()
  return {
    message: masked.message,
    ...place,
    extensions: { code: masked.code, ...(edge.production ? {} : { detail: cause.message.slice(0, 500) }) }
  }
}

/**
 * The status of an answer whose every root field failed (or that has no data at all): that of the first of our own
 * errors that has one. Partial data is an answer like any other.
 */
export function statusOfErrors (
  errors: ReadonlyArray<GraphQLError | Error>,
  data: Record<string, unknown> | null | undefined
): number | null {
  if (data !== null && data !== undefined && Object.values(data).some((value) => value !== null)) return null
  for (const error of errors) {
    const cause = error instanceof GraphQLError ? error.originalError : error
    if (
      cause && isNekoError(cause) && (OWN_STATUS.has(cause.statusCode) || OWN_STATUS_CODES.has(cause.code))
    ) {
      return cause.statusCode
    }
  }
  return null
}

/** Of the document; what else has a status of 4xx may come from a client library, with the address that it asked. */
function isRefusalOfMercurius (error: Error): boolean {
  const { code, statusCode } = error as { code?: unknown, statusCode?: unknown }
  return typeof code === 'string' && code.startsWith('MER_ERR_') &&
    typeof statusCode === 'number' && statusCode >= 400 && statusCode < 500
}

function codeOf ({ extensions, message }: GraphQLError): string {
  if (typeof extensions?.code === 'string' && extensions.code.startsWith('NEKO_ERR_')) return extensions.code
  // The lexer's bound has no code of its own.
  return message.startsWith('Syntax Error: Document contains more')
    ? 'NEKO_ERR_QUERY_TOO_LARGE'
    : 'NEKO_ERR_INPUT_INVALID'
}

/** GraphQL guesses names of the schema for whoever mistypes one: in production that is introspection by guessing. */
function boundedMessage (message: string, production: boolean): string {
  const bare = production ? message.replace(/ Did you mean .*\?$/s, '') : message
  return bare.length > MESSAGE_MAX ? `${bare.slice(0, MESSAGE_MAX)}...` : bare
}

function retryOf (error: Error): { retryAfterSeconds?: number } {
  const retryAfterSeconds = retryAfterOf(error)
  return retryAfterSeconds === null ? {} : { retryAfterSeconds }
}

function pathOf (error: GraphQLError): Pick<GraphQLFormattedError, 'path' | 'locations'> {
  return {
    ...(error.locations === undefined ? {} : { locations: error.locations }),
    ...(error.path === undefined ? {} : { path: error.path })
  }
}
