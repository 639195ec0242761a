import type { FastifyReply, FastifyRequest } from 'fastify'
import {
  isNekoError,
  isOperators,
  NEKO_ERR_INTERNAL,
  NEKO_ERR_BODY_INVALID,
  NEKO_ERR_BODY_TOO_LARGE,
  NEKO_ERR_INPUT_INVALID,
  NEKO_ERR_MEDIA_UNSUPPORTED,
  NEKO_ERR_OVERLOADED,
  NEKO_ERR_URL_INVALID,
  shownMessage
} from '../../errors.ts'
import { acceptsGraphqlResponse, JSON_TYPE, RESPONSE_TYPE } from '../../schema/negotiation.ts'
import { retryAfterOf } from '../../std/retryable.ts'
import { refusalBody, type Refusal } from '../../transaction/refusal.ts'
import { announcesBody } from './body.ts'
import { linesOf } from './header-lines.ts'
import { routeOf } from './route-facts.ts'

/** No cache keeps a refusal; on /graphql it says so as every answer there (transports/graphql/answer-headers.ts). */
const PLAIN = { 'cache-control': 'no-store, no-cache, must-revalidate', pragma: 'no-cache' }
const NOT_KEPT = { plain: PLAIN, graphql: { 'x-cache': 'BYPASS', ...PLAIN } } as const
const NOT_KEPT_LINES = { plain: linesOf(NOT_KEPT.plain), graphql: linesOf(NOT_KEPT.graphql) }

/**
 * The edge's answer to an error: ours pass, Fastify's become ours, everything else is masked. `masked` asks
 * for a log line with the stack: the caller does not see all.
 */
export function refusalOf (error: Error, production: boolean): Refusal & { masked: boolean } {
  const known = isNekoError(error) ? error : fromFramework(error)
  if (known !== null) {
    const retryAfterSeconds = retryAfterOf(error)
    return {
      status: known.statusCode,
      code: known.code,
      message: shownMessage(known),
      masked: isOperators(known),
      ...(retryAfterSeconds === null ? {} : { retryAfterSeconds })
    }
  }
  const internal = new NEKO_ERR_INTERNAL()
  return {
    status: 500,
    code: internal.code,
    message: internal.message,
    masked: true,
    ...(production ? {} : { detail: error.message.slice(0, 500) })
  }
}

const VALIDATION_CHARACTERS_MAX = 500

/** Fastify's own errors under our names. */
function fromFramework (error: Error): (Error & { code: string, statusCode: number }) | null {
  const { code = '', statusCode } = error as { code?: string, statusCode?: number }
  if (code === 'FST_ERR_CTP_BODY_TOO_LARGE') return new NEKO_ERR_BODY_TOO_LARGE()
  if (code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE') return new NEKO_ERR_MEDIA_UNSUPPORTED()
  if (code === 'FST_ERR_CTP_EMPTY_JSON_BODY') return new NEKO_ERR_BODY_INVALID('it is empty')
  if (code === 'FST_ERR_CTP_INVALID_JSON_BODY') return new NEKO_ERR_BODY_INVALID('it is no JSON')
  if (code === 'FST_ERR_CTP_INVALID_CONTENT_LENGTH') {
    return new NEKO_ERR_BODY_INVALID('it is not as long as content-length says')
  }
  if (code === 'FST_ERR_BAD_URL' || code === 'FST_ERR_ASYNC_CONSTRAINT') return new NEKO_ERR_URL_INVALID()
  // It names the caller's own keys, which may be long.
  if (code === 'FST_ERR_VALIDATION') {
    return new NEKO_ERR_INPUT_INVALID(error.message.slice(0, VALIDATION_CHARACTERS_MAX))
  }
  if (code === 'FST_UNDER_PRESSURE') return new NEKO_ERR_OVERLOADED('1')
  if (error instanceof SyntaxError && statusCode === 400) return new NEKO_ERR_BODY_INVALID('it is no JSON')
  if (typeof statusCode === 'number' && statusCode >= 400 && statusCode < 500) {
    return new NEKO_ERR_BODY_INVALID('it does not fit this route')
  }
  return null
}

/**
 * Sends a refusal in the shape of its route: a GraphQL error on /graphql, `{"error": ...}` elsewhere. This is where a
 * refusal's Retry-After becomes a header.
 */
export function sendRefusal (
  request: FastifyRequest,
  reply: FastifyReply,
  refusal: Refusal,
  ends = endsConnection(request, refusal)
): FastifyReply {
  const { status, retryAfterSeconds, headers } = refusal
  if (retryAfterSeconds !== undefined) reply.header('retry-after', retryAfterSeconds)
  if (headers !== undefined) reply.headers(headers)
  if (ends) reply.header('connection', 'close')
  const { isGraphql } = routeOf(request)
  reply.headers(isGraphql ? NOT_KEPT.graphql : NOT_KEPT.plain)
  reply.code(status).type(isGraphql && acceptsGraphqlResponse(request.headers.accept) ? RESPONSE_TYPE : JSON_TYPE)
  return reply.send(refusalBody(refusal, request.transaction?.id ?? null, isGraphql))
}

/** The same, where nothing of the answer stands yet; false for one that has to go the ordinary way. */
export function sendPreparedRefusal (
  request: FastifyRequest,
  reply: FastifyReply,
  refusal: Refusal
): boolean {
  const { status, retryAfterSeconds, headers } = refusal
  if (headers !== undefined || !request.server.mayPrepare(request, reply)) return false
  const { isGraphql } = routeOf(request)
  const type = isGraphql && acceptsGraphqlResponse(request.headers.accept) ? RESPONSE_TYPE : JSON_TYPE
  const vary = request.server.originHeaders(request) === null ? '' : 'vary: Origin\r\n'
  const retry = retryAfterSeconds === undefined ? '' : `retry-after: ${retryAfterSeconds}\r\n`
  request.server.sendPrepared(request, reply, {
    status,
    lines: `${isGraphql ? NOT_KEPT_LINES.graphql : NOT_KEPT_LINES.plain}${vary}${retry}content-type: ${type}\r\n`,
    // Ids, codes and messages of ours are ASCII.
    body: refusalBody(refusal, request.transaction?.id ?? null, isGraphql)
  })
  return true
}

/** What routes say of their addresses: whoever asks for a thing that is not there may ask for others. */
const OF_ROUTES = new Set([404, 405])

/** A body that nobody will read must not hold the connection, and who is refused is not asked for more at once. */
export function endsConnection ({ raw, server }: FastifyRequest, { status, bodyUnread }: Refusal): boolean {
  if (bodyUnread === true && announcesBody(raw)) {
    server.pipelines.endAt(raw)
    return true
  }
  return !OF_ROUTES.has(status) && server.pipelines.endsWith(raw)
}
