import fp from 'fastify-plugin'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { GraphQLError, Kind, type DocumentNode } from 'graphql'
import { NEKO_ERR_BODY_INVALID, NEKO_ERR_INPUT_INVALID, NEKO_ERR_MEDIA_UNSUPPORTED } from '../errors.ts'
import type { GraphqlContext } from './context.ts'
import { decoyAnswer } from './decoy.ts'

/**
 * GET and POST /graphql: GraphQL over HTTP. What is asked is checked here, mercurius executes it.
 *
 * A body must be JSON or a bare document with a content type that a form cannot send: that is the CSRF guard (a cross-site
 * page can post text/plain, a form or nothing at all without asking first). GET runs queries only.
 */
export interface GraphqlRequest { query: string, variables: Record<string, unknown> | null, operationName: string | null }

/** An operation's context while it runs, with what the answer needs afterwards. */
export interface OperationContext extends GraphqlContext {
  method: string
  operationName: string | null
  /** The status that the answer's errors ask for, or null. */
  errorStatus: number | null
  /** When its errors say when to come back. */
  retryAfterSeconds: number | null
  /** A login or refresh that did not hold, or that was over its limit. */
  onLoginFailed (): void
  onAttemptLimited (): void
}

const RESPONSE_JSON = 'application/graphql-response+json; charset=utf-8'
const JSON_TYPE = 'application/json; charset=utf-8'

export default fp(async (app) => {
  app.addContentTypeParser('application/graphql', { parseAs: 'string' }, (_request, body, done) => done(null, { query: body }))
  app.graphql.addHook('preExecution', async (_schema, document, context) => checkOperation(document, context as unknown as OperationContext))

  app.route({
    method: ['GET', 'POST'],
    url: '/graphql',
    bodyLimit: 64 * 1024,
    config: { graphql: true },
    async handler (request, reply) {
      const asked = request.method === 'GET' ? fromQuery(request.query as Record<string, unknown>) : fromBody(request)
      return await answer(request, reply, asked)
    }
  })

  async function answer (request: FastifyRequest, reply: FastifyReply, asked: GraphqlRequest): Promise<FastifyReply> {
    const bait = decoyAnswer(asked.query)
    if (bait !== null) {
      if (request.passage?.score) request.passage.score.decoy = true
      return reply.type(JSON_TYPE).send(JSON.stringify({ data: bait }))
    }
    const context = contextOf(request, asked)
    const negotiated = acceptsGraphqlResponse(request.headers.accept)
    reply.type(negotiated ? RESPONSE_JSON : JSON_TYPE)
    let result: { data?: unknown, errors?: readonly unknown[] }
    try {
      result = await app.graphql(asked.query, context as never, asked.variables ?? undefined, asked.operationName ?? undefined)
    } catch (error) {
      // Nothing was executed: no data, and 400 only for those who asked for the media type that says so.
      const errors = (error as { errors?: GraphQLError[] }).errors ?? [error as Error]
      return reply.code(negotiated ? 400 : 200).send(JSON.stringify({ errors: errors.map((one) => app.graphqlEdge.formatError(one)) }))
    }
    // `data` is left out when nothing was executed, and errors come first: that is what a person reads.
    if (context.retryAfterSeconds !== null) reply.header('retry-after', context.retryAfterSeconds)
    return reply.code(context.errorStatus ?? 200).send(JSON.stringify(result.errors ? { errors: result.errors, data: result.data } : { data: result.data }))
  }

  function contextOf (request: FastifyRequest, asked: GraphqlRequest): OperationContext {
    const passage = request.passage
    return {
      app,
      clock: app.clock,
      principal: passage?.principal ?? null,
      client: passage?.client ?? `ip:${request.ip}`,
      address: passage?.address ?? request.ip,
      requestId: request.id,
      assessmentId: passage?.id ?? null,
      carriesSecret: () => { request.headers['x-no-compression'] = '1' },
      method: request.method,
      operationName: asked.operationName,
      errorStatus: null,
      retryAfterSeconds: null,
      onLoginFailed: () => { if (passage !== null) passage.loginFailed = true },
      onAttemptLimited: () => { if (passage !== null) passage.attemptLimited = true }
    }
  }
}, { name: 'graphql-route', dependencies: ['mercurius'] })

/** Runs for cached documents too, which validation rules do not. */
function checkOperation (document: DocumentNode, context: OperationContext): void {
  const operation = document.definitions.find((definition) => definition.kind === Kind.OPERATION_DEFINITION)
  if (operation === undefined) throw new NEKO_ERR_INPUT_INVALID('The document holds no operation')
  if (context.operationName !== null && operation.name?.value !== context.operationName) throw new NEKO_ERR_INPUT_INVALID('The document holds no operation of that name')
  if (operation.operation === 'subscription' && context.method !== 'WS') throw new NEKO_ERR_INPUT_INVALID('Subscriptions travel over WebSocket (graphql-transport-ws)')
  if (context.method === 'GET' && operation.operation !== 'query') throw new NEKO_ERR_INPUT_INVALID('GET runs queries only')
}

function fromQuery (query: Record<string, unknown>): GraphqlRequest {
  return checked({ query: query.query, operationName: query.operationName, variables: fromJson(query.variables, 'variables'), extensions: fromJson(query.extensions, 'extensions') })
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

function fromBody (request: FastifyRequest): GraphqlRequest {
  const type = (request.headers['content-type'] ?? '').split(';', 1)[0]?.trim().toLowerCase()
  if (type !== 'application/json' && type !== 'application/graphql') throw new NEKO_ERR_MEDIA_UNSUPPORTED()
  const body = request.body
  if (typeof body !== 'object' || body === null || Array.isArray(body)) throw new NEKO_ERR_BODY_INVALID('it must be one JSON object with a query')
  return checked(body as Record<string, unknown>)
}

/** @throws NEKO_ERR_BODY_INVALID when a member has another type than GraphQL over HTTP gives it. */
function checked ({ query, variables, operationName, extensions }: Record<string, unknown>): GraphqlRequest {
  if (typeof query !== 'string' || query === '') throw new NEKO_ERR_BODY_INVALID('query must be a text')
  if (operationName !== undefined && operationName !== null && typeof operationName !== 'string') throw new NEKO_ERR_BODY_INVALID('operationName must be a text')
  if (!isObjectOrNothing(variables)) throw new NEKO_ERR_BODY_INVALID('variables must be an object')
  if (!isObjectOrNothing(extensions)) throw new NEKO_ERR_BODY_INVALID('extensions must be an object')
  return { query, variables: (variables ?? null) as GraphqlRequest['variables'], operationName: operationName === '' ? null : operationName ?? null }
}

function isObjectOrNothing (value: unknown): boolean {
  return value === undefined || value === null || (typeof value === 'object' && !Array.isArray(value))
}

/** True when the caller prefers application/graphql-response+json over application/json. */
function acceptsGraphqlResponse (accept: string | undefined): boolean {
  if (accept === undefined || !accept.includes('graphql-response+json')) return false
  let graphqlQuality = 0
  let jsonQuality = 0
  for (const part of accept.slice(0, 1000).split(',')) {
    const [type, ...parameters] = part.trim().toLowerCase().split(';')
    const quality = Number(parameters.map((parameter) => /^\s*q=([\d.]+)/.exec(parameter)?.[1]).find((q) => q !== undefined) ?? 1)
    if (type === 'application/graphql-response+json') graphqlQuality = quality
    else if (type === 'application/json') jsonQuality = quality
  }
  return graphqlQuality >= jsonQuality
}
