import fp from 'fastify-plugin'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { Kind, type DocumentNode } from 'graphql'
import {
  NEKO_ERR_INPUT_INVALID,
  NEKO_ERR_LIMIT_EXCEEDED,
  NEKO_ERR_QUERY_TOO_LARGE
} from '../../errors.ts'
import type { OperationContext } from '../../schema/context.ts'
import { acceptsGraphqlResponse, JSON_TYPE, RESPONSE_TYPE } from '../../schema/negotiation.ts'
import { retryable } from '../../std/retryable.ts'
import { BODY_BYTES_MAX } from '../../transaction/bounds.ts'
import { decoyAnswer, touchesDecoy } from '../../transaction/graphql-decoys.ts'
import { limitHeaders } from '../../transaction/limit-headers.ts'
import { NOT_KEPT } from './answer-headers.ts'
import { createEarlyAnswers } from './early-answers.ts'
import { createExecute, type Answer } from './execute.ts'
import { createKeptAnswers } from './kept-answers.ts'
import {
  createPersistedQueries,
  readPersisted,
  refusedPersisted,
  requireMatch,
  type Persisted
} from './persisted-queries.ts'
import { isPlainObject, readBody, readMembers, readQuery, refuseMember, type GraphqlRequest } from './read-request.ts'

type Members = Record<string, unknown>
/** With the hash by which its document may be asked for later, or null. */
type Asked = GraphqlRequest & { hash: string | null }

/**
 * GET and POST /graphql: GraphQL over HTTP. The request is checked here, mercurius executes it.
 *
 * A body must be JSON or a bare document with a content type that a form cannot send: that is the CSRF guard (a
 * cross-site page can post text/plain, a form or nothing at all without asking first). GET runs queries only.
 */
export default fp(async (app) => {
  const execute = createExecute(app)
  const kept = createKeptAnswers(app, execute)
  const early = createEarlyAnswers(app, kept)
  const persisted = createPersistedQueries(app)
  app.addContentTypeParser('application/graphql', { parseAs: 'string' }, (_request, body, done) => {
    done(null, { query: body })
  })
  app.graphql.addHook('preExecution', async (_schema, document, context) => {
    checkOperation(document, context as unknown as OperationContext)
  })

  app.route({
    method: ['GET', 'POST'],
    url: '/graphql',
    bodyLimit: BODY_BYTES_MAX,
    config: {
      graphql: true,
      standsFor: persisted.standsFor,
      answerEarly: (request, reply, pass) => !persisted.isNew(request) && early.answer(request, reply, pass)
    },
    // As the edge answers it, and kept by nobody.
    errorHandler (error, _request, reply) {
      reply.headers(NOT_KEPT)
      throw error
    },
    async handler (request, reply) {
      if (request.method !== 'POST') return await answer(request, reply, readQuery(request))
      const body = readBody(request)
      if (Array.isArray(body)) return await answerBatch(request, reply, body)
      return await answer(request, reply, body as Members)
    }
  })

  async function answer (request: FastifyRequest, reply: FastifyReply, members: Members): Promise<FastifyReply> {
    const asked = readAsked(members)
    if ('isSupported' in asked) {
      return sendExecuted(request, reply, refusedPersisted(asked, request.transaction?.id ?? null))
    }
    const bait = baitFor(request, asked)
    if (bait !== null) return reply.headers(NOT_KEPT).type(JSON_TYPE).send(JSON.stringify({ data: bait }))
    const policy = kept.policyOf(request, asked)
    if (policy === null) return finish(request, reply, asked, await execute.operation(request, reply, asked))
    const key = kept.keyOf(request, asked, policy)
    const own = await kept.answer({ request, reply, asked, policy, key })
    if (own !== null) return finish(request, reply, asked, own)
    keepDocument(request, asked)
    early.learn(request, { key, isShared: policy.isShared })
    return reply
  }

  /** Without data nothing was executed. */
  function finish (request: FastifyRequest, reply: FastifyReply, asked: Asked, answer: Answer): FastifyReply {
    if (answer.data !== undefined) keepDocument(request, asked)
    return sendExecuted(request, reply, answer)
  }

  function keepDocument (request: FastifyRequest, { query, hash }: Asked): void {
    if (hash !== null) persisted.keep(request, { hash, query })
  }

  /** An answer that nobody keeps. */
  function sendExecuted (request: FastifyRequest, reply: FastifyReply, answer: Answer): FastifyReply {
    const negotiated = acceptsGraphqlResponse(request.headers.accept)
    const { status, retryAfterSeconds, limited } = answer
    app.metrics.cacheRequestsTotal.inc({ cache: 'graphql', result: 'bypass' })
    reply.headers(NOT_KEPT)
    if (retryAfterSeconds !== null) reply.header('retry-after', retryAfterSeconds)
    // The gate showed what is left of the requests: a refusal speaks of the limit that refused.
    if (status === 429 && limited !== null && retryAfterSeconds !== null) {
      reply.headers(limitHeaders({ ...limited, remaining: 0, resetSeconds: retryAfterSeconds }))
    }
    // Nothing was executed: 400 only for those who asked for the media type that says so.
    const refused = answer.data === undefined && negotiated ? 400 : 200
    const type = negotiated ? RESPONSE_TYPE : JSON_TYPE
    return reply.code(status ?? refused).type(type).send(JSON.stringify(bodyOf(request, answer)))
  }

  /** Several operations in one POST, where the operator allows it: one after the other, each charged like a request. */
  async function answerBatch (
    request: FastifyRequest,
    reply: FastifyReply,
    batch: readonly unknown[]
  ): Promise<FastifyReply> {
    const answers: unknown[] = []
    for (const [i, one] of readBatch(batch, app.config.graphqlBatchMax).entries()) {
      const charged = i === 0 ? null : await chargeAgain(request)
      // Nothing looked for the document of one of several.
      if ('isSupported' in one) {
        answers.push(bodyOf(request, charged ?? refusedPersisted(one, request.transaction?.id ?? null)))
        continue
      }
      const bait = charged === null ? baitFor(request, one) : null
      if (bait !== null) {
        answers.push({ data: bait })
        continue
      }
      answers.push(bodyOf(request, charged ?? await execute.operation(request, reply, one)))
    }
    return reply.headers(NOT_KEPT).type(JSON_TYPE).send(JSON.stringify(answers))
  }

  /** The gate charged the first operation of a batch. */
  async function chargeAgain ({ transaction, id: requestId }: FastifyRequest): Promise<Answer | null> {
    if (transaction === null) return null
    const limit = await app.limits.take(transaction.principal?.tier ?? 'standard', transaction.client)
    if (limit.allowed) return null
    const { retryAfterSeconds } = limit
    const error = retryable(new NEKO_ERR_LIMIT_EXCEEDED(String(retryAfterSeconds)), retryAfterSeconds)
    const errors = [app.graphqlEdge.formatError(error, { assessmentId: transaction.id, requestId })]
    return { errors, cost: null, status: error.statusCode ?? 429, retryAfterSeconds, limited: null }
  }
}, { name: 'graphql-route', dependencies: ['mercurius'] })

/** Members that are undefined are left out of JSON. */
function bodyOf ({ headers }: FastifyRequest, { errors, data, cost }: Answer): object {
  const isCostShown = headers['x-neko-cost'] === '1' && cost !== null
  return { errors, data, extensions: isCostShown ? { cost } : undefined }
}

/** The bait for a document of decoys alone, and a mark on every request that touched one, also beside real fields. */
function baitFor ({ transaction }: FastifyRequest, { query }: GraphqlRequest): Record<string, unknown> | null {
  const bait = decoyAnswer(query)
  if (transaction?.score && (bait !== null || touchesDecoy(query))) transaction.score.decoy = true
  return bait
}

/** @throws NEKO_ERR_BODY_INVALID, NEKO_ERR_INPUT_INVALID */
function readAsked (members: Members): Asked | Persisted {
  const persisted = readPersisted(members)
  if (persisted !== null && (!persisted.isSupported || members.query === undefined)) return persisted
  const asked = readMembers(members)
  if (persisted !== null) requireMatch(asked.query, persisted)
  return { ...asked, hash: persisted?.hash ?? null }
}

function readBatch (batch: readonly unknown[], max: number): Array<Asked | Persisted> {
  if (max === 0 || batch.length === 0) refuseMember()
  if (batch.length > max) throw new NEKO_ERR_QUERY_TOO_LARGE(`${batch.length} operations, ${max}`)
  return batch.map((one) => isPlainObject(one) ? readAsked(one) : refuseMember())
}

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
