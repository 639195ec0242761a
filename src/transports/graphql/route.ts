import fp from 'fastify-plugin'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { GraphQLError, Kind, type DocumentNode } from 'graphql'
import {
  NEKO_ERR_BODY_INVALID,
  NEKO_ERR_INPUT_INVALID,
  NEKO_ERR_LIMIT_EXCEEDED,
  NEKO_ERR_MEDIA_UNSUPPORTED,
  NEKO_ERR_QUERY_TOO_LARGE
} from '../../errors.ts'
import { BODY_LIMIT_BYTES } from '../http/gate.ts'
import { showLimit, type ShownLimit } from '../http/limit-headers.ts'
import type { Cost } from './armor-plugin.ts'
import type { GraphqlContext } from '../../schema/context.ts'
import { statusOfErrors } from './errors.ts'
import { decoyAnswer, touchesDecoy } from '../../transaction/graphql-decoys.ts'
import { acceptsGraphqlResponse, RESPONSE_TYPE } from '../../schema/negotiation.ts'

/**
 * GET and POST /graphql: GraphQL over HTTP. What is asked is checked here, mercurius executes it.
 *
 * A body must be JSON or a bare document with a content type that a form cannot send: that is the CSRF guard
 * (a cross-site page can post text/plain, a form or nothing at all without asking first). GET runs queries
 * only.
 */
export interface GraphqlRequest {
  query: string
  variables: Record<string, unknown> | null
  operationName: string | null
}

/** An operation's context while it runs, with what the answer needs afterwards. */
export interface OperationContext extends GraphqlContext {
  method: string
  operationName: string | null
  /** The status that the answer's errors ask for, or null. */
  errorStatus: number | null
  /** What the operation was charged, once it was. */
  cost: Cost | null
  /** When its errors say when to come back. */
  retryAfterSeconds: number | null
  /** The limit that refused it where it was not that of its requests: login, refresh, cost. */
  limited: RefusingLimit | null
  /** A login or refresh that did not hold, or that was over its limit. */
  onLoginFailed (): void
  onAttemptLimited (): void
}

type RefusingLimit = Pick<ShownLimit, 'tier' | 'limit' | 'windowSeconds'>

/** What one operation comes to; `status` is null where only the transport's rules decide. */
interface Answer {
  errors?: readonly unknown[]
  data?: unknown
  extensions?: unknown
  status: number | null
  retryAfterSeconds: number | null
  limited: RefusingLimit | null
}

const JSON_TYPE = 'application/json; charset=utf-8'

export default fp(async (app) => {
  app.addContentTypeParser(
    'application/graphql',
    { parseAs: 'string' },
    (_request, body, done) => done(null, { query: body })
  )
  app.graphql.addHook(
    'preExecution',
    async (_schema, document, context) => checkOperation(document, context as unknown as OperationContext)
  )

  app.route({
    method: ['GET', 'POST'],
    url: '/graphql',
    bodyLimit: BODY_LIMIT_BYTES,
    config: { graphql: true },
    async handler (request, reply) {
      if (request.method !== 'POST') return await answer(request, reply, fromQuery(request))
      const body = jsonBody(request)
      if (Array.isArray(body)) return await answerBatch(request, reply, body)
      return await answer(request, reply, checked(body as Record<string, unknown>))
    }
  })

  /** What a decoy answers, and a mark for whoever touched one, also beside real fields. */
  function baitFor ({ passage }: FastifyRequest, { query }: GraphqlRequest): Record<string, unknown> | null {
    const bait = decoyAnswer(query)
    if (passage?.score && (bait !== null || touchesDecoy(query))) passage.score.decoy = true
    return bait
  }

  async function answer (request: FastifyRequest, reply: FastifyReply, asked: GraphqlRequest): Promise<FastifyReply> {
    const bait = baitFor(request, asked)
    if (bait !== null) return reply.type(JSON_TYPE).send(JSON.stringify({ data: bait }))
    const negotiated = acceptsGraphqlResponse(request.headers.accept)
    const { status, retryAfterSeconds, limited, ...body } = await execute(request, reply, asked)
    if (retryAfterSeconds !== null) reply.header('retry-after', retryAfterSeconds)
    // The gate showed what is left of the requests: a refusal speaks of the limit that refused.
    if (status === 429 && limited !== null && retryAfterSeconds !== null) {
      showLimit(reply, { ...limited, remaining: 0, resetSeconds: retryAfterSeconds })
    }
    // Nothing was executed: 400 only for those who asked for the media type that says so.
    const refused = !('data' in body) && negotiated ? 400 : 200
    return reply.code(status ?? refused).type(negotiated ? RESPONSE_TYPE : JSON_TYPE).send(JSON.stringify(body))
  }

  /** Several operations in one POST, where the operator allows it: one after the other, each charged like a request. */
  async function answerBatch (
    request: FastifyRequest,
    reply: FastifyReply,
    batch: readonly unknown[]
  ): Promise<FastifyReply> {
    const max = app.config.graphqlBatchMax
    if (max === 0 || batch.length === 0) throw new NEKO_ERR_BODY_INVALID('it must be one JSON object with a query')
    if (batch.length > max) throw new NEKO_ERR_QUERY_TOO_LARGE(`${batch.length} operations, ${max}`)
    const asked = batch.map((one) => isPlainObject(one) ? checked(one) : refuseMember())
    const answers: unknown[] = []
    for (const [i, one] of asked.entries()) {
      const refused = i === 0 ? null : await chargeAgain(request)
      const bait = refused === null ? baitFor(request, one) : null
      if (bait !== null) {
        answers.push({ data: bait })
        continue
      }
      const { status, retryAfterSeconds, limited: _, ...body } = refused ?? await execute(request, reply, one)
      answers.push(body)
    }
    return reply.type(JSON_TYPE).send(JSON.stringify(answers))
  }

  /** The gate charged the first operation of a batch. */
  async function chargeAgain ({ passage }: FastifyRequest): Promise<Answer | null> {
    const limit = passage === null ? null : await app.limits.take(passage.principal?.tier ?? 'standard', passage.client)
    if (limit === null || limit.allowed) return null
    const { retryAfterSeconds } = limit
    const error = Object.assign(new NEKO_ERR_LIMIT_EXCEEDED(String(retryAfterSeconds)), { retryAfterSeconds })
    return {
      errors: [app.graphqlEdge.formatError(error, passage?.id ?? null)],
      status: error.statusCode ?? 429,
      retryAfterSeconds,
      limited: null
    }
  }

  /** `data` is left out when nothing was executed, and errors come first: that is what a person reads. */
  async function execute (request: FastifyRequest, reply: FastifyReply, asked: GraphqlRequest): Promise<Answer> {
    const context = contextOf(request, reply, asked)
    const showsCost = request.headers['x-neko-cost'] === '1'
    try {
      const { data, errors } = await app.graphql(
        asked.query,
        context as never,
        asked.variables ?? undefined,
        asked.operationName ?? undefined
      )
      return {
        ...(errors === undefined ? {} : { errors }),
        data,
        ...(showsCost && context.cost !== null ? { extensions: { cost: context.cost } } : {}),
        status: context.errorStatus,
        retryAfterSeconds: context.retryAfterSeconds,
        limited: context.limited
      }
    } catch (error) {
      const errors = (error as { errors?: GraphQLError[] }).errors ?? [error as Error]
      const { retryAfterSeconds = null, limited = null } = error as {
        retryAfterSeconds?: number,
        limited?: RefusingLimit
      }
      return {
        errors: errors.map((one) => app.graphqlEdge.formatError(one, context.assessmentId)),
        status: statusOfErrors(errors, null),
        retryAfterSeconds,
        limited
      }
    }
  }

  function contextOf (request: FastifyRequest, reply: FastifyReply, asked: GraphqlRequest): OperationContext {
    const passage = request.passage
    return {
      app,
      clock: app.clock,
      principal: passage?.principal ?? null,
      client: passage?.client ?? `ip:${request.ip}`,
      address: passage?.address ?? request.ip,
      requestId: request.id,
      assessmentId: passage?.id ?? null,
      score: passage?.score ?? null,
      carriesSecret () {
        request.headers['x-no-compression'] = '1'
        reply.header('cache-control', 'no-store')
      },
      method: request.method === 'HEAD' ? 'GET' : request.method,
      operationName: asked.operationName,
      errorStatus: null,
      cost: null,
      retryAfterSeconds: null,
      limited: null,
      onLoginFailed: () => { if (passage !== null) passage.loginFailed = true },
      onAttemptLimited: () => { if (passage !== null) passage.attemptLimited = true }
    }
  }
}, { name: 'graphql-route', dependencies: ['mercurius'] })

/** Runs for cached documents too, which validation rules do not. */
function checkOperation (document: DocumentNode, context: OperationContext): void {
  const operation = document.definitions.find((definition) => definition.kind === Kind.OPERATION_DEFINITION)
  if (operation === undefined) throw new NEKO_ERR_INPUT_INVALID('The document holds no operation')
  if (context.operationName !== null && operation.name?.value !== context.operationName) {
    throw new NEKO_ERR_INPUT_INVALID('The document holds no operation of that name')
  }
  if (operation.operation === 'subscription' && context.method !== 'WS') {
    throw new NEKO_ERR_INPUT_INVALID('Subscriptions travel over WebSocket (graphql-transport-ws)')
  }
  if (context.method === 'GET' && operation.operation !== 'query') {
    throw new NEKO_ERR_INPUT_INVALID('GET runs queries only')
  }
}

/** What a query string holds as JSON is looked at here; bodies were by transports/http/own-keys.ts. */
function fromQuery (request: FastifyRequest): GraphqlRequest {
  const query = request.query as Record<string, unknown>
  const [variables, extensions] = ['variables', 'extensions'].map((name) => fromJson(query[name], name))
  request.server.refuseKeys(request, { variables, extensions }, 'query')
  return checked({ query: query.query, operationName: query.operationName, variables, extensions })
}

function fromJson (value: unknown, name: string): unknown {
  if (value === undefined || value === '') return undefined
  if (typeof value !== 'string') throw new NEKO_ERR_BODY_INVALID(`${name} must be given once, as JSON`)
  try {
    return JSON.parse(value)
  } catch {
    throw new NEKO_ERR_BODY_INVALID(`${name} must be JSON`)
  }
}

function jsonBody (request: FastifyRequest): object {
  const type = (request.headers['content-type'] ?? '').split(';', 1)[0]?.trim().toLowerCase()
  if (type !== 'application/json' && type !== 'application/graphql') throw new NEKO_ERR_MEDIA_UNSUPPORTED()
  return isPlainObject(request.body) || Array.isArray(request.body) ? request.body : refuseMember()
}

function refuseMember (): never {
  throw new NEKO_ERR_BODY_INVALID('it must be one JSON object with a query')
}

/** @throws NEKO_ERR_BODY_INVALID when a member has another type than GraphQL over HTTP gives it. */
function checked ({ query, variables, operationName, extensions }: Record<string, unknown>): GraphqlRequest {
  if (typeof query !== 'string' || query === '') throw new NEKO_ERR_BODY_INVALID('query must be a text')
  if (operationName !== undefined && operationName !== null && typeof operationName !== 'string') {
    throw new NEKO_ERR_BODY_INVALID('operationName must be a text')
  }
  if (!isObjectOrNothing(variables)) throw new NEKO_ERR_BODY_INVALID('variables must be an object')
  if (!isObjectOrNothing(extensions)) throw new NEKO_ERR_BODY_INVALID('extensions must be an object')
  return {
    query,
    variables: (variables ?? null) as GraphqlRequest['variables'],
    operationName: operationName === '' ? null : operationName ?? null
  }
}

function isObjectOrNothing (value: unknown): boolean {
  return value === undefined || value === null || isPlainObject(value)
}

function isPlainObject (value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
