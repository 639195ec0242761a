import type { FastifyReply, FastifyRequest } from 'fastify'
import {
  isNekoError,
  NEKO_ERR_INTERNAL,
  NEKO_ERR_BODY_INVALID,
  NEKO_ERR_BODY_TOO_LARGE,
  NEKO_ERR_INPUT_INVALID,
  NEKO_ERR_MEDIA_UNSUPPORTED,
  NEKO_ERR_OVERLOADED,
  NEKO_ERR_URL_INVALID
} from '../../errors.ts'
import { acceptsGraphqlResponse, RESPONSE_TYPE } from '../../schema/negotiation.ts'

/** What a caller reads of an error. */
export interface Refusal {
  status: number
  code: string
  message: string
  retryAfterSeconds?: number
  /** Outside production only: the real message of an unexpected error. */
  detail?: string
  /** Of one that is sent many times: its bodies up to the receipt's id, and what follows it. */
  prepared?: { plain: Prepared, graphql: Prepared }
}

type Prepared = readonly [before: string, after: string]

/**
 * The edge's answer to an error: ours pass, Fastify's become ours, everything else is masked. `masked` asks
 * for a log line with the stack.
 */
export function refusalOf (error: Error, production: boolean): Refusal & { masked: boolean } {
  const known = isNekoError(error) ? error : fromFramework(error)
  if (known !== null) {
    const seconds = (error as { retryAfterSeconds?: unknown }).retryAfterSeconds
    return {
      status: known.statusCode,
      code: known.code,
      message: known.message,
      masked: false,
      ...(typeof seconds === 'number' ? { retryAfterSeconds: seconds } : {})
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

/** One of ours, to be sent many times. */
export function refusalFrom ({ statusCode, code, message }: Error & { code: string, statusCode?: number }): Refusal {
  const refusal = { status: statusCode ?? 500, code, message }
  return { ...refusal, prepared: { plain: prepare(refusal, false), graphql: prepare(refusal, true) } }
}

/**
 * An id of ours needs no escaping, so the body around it can be made once: JSON.stringify was a tenth of a
 * blocked request.
 */
function prepare (refusal: Refusal, graphql: boolean): Prepared {
  const mark = '<assessment>'
  const [before, after] = refusalBody(refusal, mark, graphql).split(mark) as [string, string]
  return [before, after]
}

/** Sends a refusal in the shape of its route: a GraphQL error on /graphql, `{"error": ...}` elsewhere. */
export function sendRefusal (request: FastifyRequest, reply: FastifyReply, refusal: Refusal): FastifyReply {
  if (refusal.retryAfterSeconds !== undefined) reply.header('retry-after', refusal.retryAfterSeconds)
  const assessment = request.passage?.id ?? null
  const graphql = isGraphql(request)
  reply.code(refusal.status).type(
    graphql && acceptsGraphqlResponse(request.headers.accept)
      ? RESPONSE_TYPE
      : 'application/json; charset=utf-8'
  )
  const { prepared } = refusal
  if (
    prepared === undefined || assessment === null || refusal.retryAfterSeconds !== undefined ||
    refusal.detail !== undefined
  ) return reply.send(refusalBody(refusal, assessment, graphql))
  const [before, after] = graphql ? prepared.graphql : prepared.plain
  return reply.send(before + assessment + after)
}

/** Also for methods that no route of /graphql takes. */
export function isGraphql ({ routeOptions, is404, raw: { url = '' } }: FastifyRequest): boolean {
  if (routeOptions?.config?.graphql === true) return true
  return is404 && (url === '/graphql' || url.startsWith('/graphql?'))
}

function refusalBody (
  { code, message, retryAfterSeconds, detail }: Refusal,
  assessment: string | null,
  graphql: boolean
): string {
  const facts = {
    ...(assessment === null ? {} : { assessment }),
    ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }),
    ...(detail === undefined ? {} : { detail })
  }
  return JSON.stringify(
    graphql
      ? { errors: [{ message, extensions: { code, ...facts } }] }
      : { error: { code, message, ...facts } }
  )
}
