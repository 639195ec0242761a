import { hash } from 'node:crypto'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { printSchema } from 'graphql'
import type { Cache, Computed } from '../../cache/port.ts'
import { createPolicyReader, type AnswerPolicy } from '../../schema/answer-policy.ts'
import type { Cost } from '../../schema/context.ts'
import { acceptsGraphqlResponse, JSON_TYPE, RESPONSE_TYPE } from '../../schema/negotiation.ts'
import { answerKey } from './answer-key.ts'
import { isHeld, keptHeaders, type CacheStatus } from './answer-headers.ts'
import type { Answer, Execute, Trace } from './execute.ts'
import { codingFor, keptAnswer, keptAnswerCodec, packedBody, type KeptAnswer } from './kept-answer.ts'
import type { GraphqlRequest } from './read-request.ts'

/**
 * The response cache of GraphQL: whole answers of queries whose root fields say for how long (@cached), by the
 * caller's role and scopes, document and variables. Below the gate and below authorisation: a request that is answered
 * from here was scored and counted as any other, and pays one point.
 *
 * Owns: what may be kept, by whose execution, and how it is sent. Never does: keep an error, a mutation, a decoy's
 * bait, a partial answer, or one that may be old; show a caller what another role was shown.
 * In: a request, read and past its decoys. Out: its answer, or the word that nobody keeps it.
 */
export interface KeptAnswers {
  readonly cache: Cache<KeptAnswer>
  /** Null where nothing is kept of what is asked. */
  policyOf (request: FastifyRequest, asked: GraphqlRequest): AnswerPolicy | null
  keyOf (request: FastifyRequest, asked: GraphqlRequest, policy: AnswerPolicy): string
  /** Sends the answer, and gives null; the answer of an execution that nobody may keep is given back instead. */
  answer (asking: Asking): Promise<Answer | null>
}

interface Asking {
  request: FastifyRequest
  reply: FastifyReply
  asked: GraphqlRequest
  policy: AnswerPolicy
  key: string
}

/** Whatever the configuration says: the figures of `stats`, and the schema's own fields, which no write changes. */
const STATS_SECONDS = 10
const STATIC_SECONDS = 3_600
/** As an answer to an error, while the store is away. */
const STALE_MS = 3_600_000
const STORE_CODES: ReadonlySet<string> = new Set(['NEKO_ERR_STORE_UNAVAILABLE', 'NEKO_ERR_TIMEOUT'])

/** The store could not answer: an older answer is better than none. */
class StoreAway extends Error {}

export function createKeptAnswers (app: FastifyInstance, execute: Execute): KeptAnswers {
  const { config } = app
  const seconds = { ...config.cacheTtlSeconds, stats: STATS_SECONDS, static: STATIC_SECONDS }
  const policyOf = createPolicyReader(app.graphqlEdge.schema, {
    STANDARD: seconds.standard,
    SHORT: seconds.short,
    MEDIUM: seconds.medium,
    LONG: seconds.long,
    STATS: seconds.stats,
    STATIC: seconds.static
  }, config.cacheDedupeSeconds)
  const schemaDigest = hash('sha256', printSchema(app.graphqlEdge.schema), 'base64url').slice(0, 16)
  const cache = app.caches.open<KeptAnswer>({
    name: 'graphql',
    codec: keptAnswerCodec,
    staleAllowed: () => !app.storage.health().up
  })

  function keyOf (request: FastifyRequest, asked: GraphqlRequest, { isShared }: AnswerPolicy): string {
    const { principal = null, client = '' } = request.transaction ?? {}
    return answerKey({ principal, client, isShared, request: asked, contentType: typeFor(request), schemaDigest })
  }

  async function answer (asking: Asking): Promise<Answer | null> {
    const { request, reply, asked, key } = asking
    let own: Answer | null = null
    const compute = async (): Promise<Computed<KeptAnswer>> => {
      const trace: Trace = { references: new Set(), isOld: false }
      own = await execute.operation(request, reply, asked, trace)
      return computedOf(own, trace, asking)
    }
    try {
      const { status, value, ageMs } = await cache.load(key, compute)
      if (status === 'MISS' && own !== null) {
        return isWhole(own) ? await send(asking, { value, status, ageMs, cost: (own as Answer).cost }) : own
      }
      return await payAndSend(asking, { status, value, ageMs })
    } catch (error) {
      if (!(error instanceof StoreAway)) throw error
      return own ?? await execute.operation(request, reply, asked)
    }
  }

  /** What was not executed for this caller costs one point. */
  async function payAndSend (
    asking: Asking,
    found: { status: CacheStatus, value: KeptAnswer, ageMs: number }
  ): Promise<Answer | null> {
    const paid = await execute.pay(asking.request, 1)
    return 'points' in paid ? await send(asking, { ...found, cost: paid }) : paid
  }

  async function send (
    { request, reply, key }: Asking,
    { status, value, ageMs, cost }: { status: CacheStatus, value: KeptAnswer, ageMs: number, cost: Cost | null }
  ): Promise<null> {
    const coding = codingFor(value, request.headers)
    // It is packed here where it was asked for: the hook behind, which packs what others send, lets it be.
    request.headers['x-no-compression'] = '1'
    const { method } = request
    if (request.headers['x-neko-cost'] === '1' && cost !== null) {
      const body = withCost(value.body, cost)
      const { etag: _, ...headers } = keptHeaders(value, { method, status, coding: null })
      reply.headers({ ...headers, 'cache-control': 'no-store' }).send(body)
      return null
    }
    const packed = coding === null ? null : await packedBody(value, coding, (bytes) => cache.grow(key, value, bytes))
    const headers = keptHeaders(value, { method, status, coding: packed === null ? null : coding })
    reply.headers(headers)
    if (status !== 'MISS') reply.header('age', Math.floor(ageMs / 1000))
    if (isHeld(headers.etag, request.headers['if-none-match'])) reply.code(304).send()
    else reply.send(packed ?? value.body)
    return null
  }

  return { cache, policyOf: (request, { query }) => policyOf(query, isAnonymous(request)), keyOf, answer }
}

function isAnonymous ({ transaction }: FastifyRequest): boolean {
  return transaction !== null && transaction.principal === null
}

function typeFor ({ headers }: FastifyRequest): string {
  return acceptsGraphqlResponse(headers.accept) ? RESPONSE_TYPE : JSON_TYPE
}

/** Executed without any error: what a caller may see again. */
function isWhole ({ errors, data, status }: Answer): boolean {
  return errors === undefined && data !== undefined && data !== null && status === null
}

/** @throws StoreAway */
function computedOf (own: Answer, { references, isOld }: Trace, { request, policy }: Asking): Computed<KeptAnswer> {
  const { freshForMs, isShared } = policy
  const isKept = isWhole(own) && !isOld
  if (own.errors?.some(isOfStore) === true) throw new StoreAway()
  const json = isWhole(own) ? JSON.stringify({ data: own.data }) : ''
  const value = keptAnswer(json, { contentType: typeFor(request), freshForMs, isShared })
  return {
    value,
    bytes: value.bytes,
    references: [...references],
    freshForMs,
    staleForMs: STALE_MS,
    keep: isKept,
    isAnswer: isWhole(own)
  }
}

function isOfStore (error: unknown): boolean {
  const { extensions } = error as { extensions?: { code?: unknown } }
  return typeof extensions?.code === 'string' && STORE_CODES.has(extensions.code)
}

/** `{"data":…}` with the cost behind it. */
function withCost (body: string | Buffer, cost: Cost): string {
  return `${body.toString().slice(0, -1)},"extensions":${JSON.stringify({ cost })}}`
}
