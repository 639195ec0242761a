import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { GraphQLError } from 'graphql'
import type { Cost, OperationContext, RefusingLimit } from '../../schema/context.ts'
import { statusOfErrors, type ErrorOrigin } from '../../schema/errors.ts'
import { retryAfterOf } from '../../std/retryable.ts'
import { countedAs } from '../../transaction/cross-site.ts'
import { createDeviceCookies } from './device-cookie.ts'
import type { GraphqlRequest } from './read-request.ts'

/** The end of one operation; `status` is null where only the transport's rules decide. */
export interface Answer {
  errors?: readonly unknown[]
  data?: unknown
  /** The charge, when it was made. */
  cost: Cost | null
  status: number | null
  retryAfterSeconds: number | null
  limited: RefusingLimit | null
}

/** What the resolvers said of the answer (schema/context.ts). */
export interface Trace { readonly references: Set<string>, isOld: boolean }

export interface Execute {
  operation (request: FastifyRequest, reply: FastifyReply, asked: GraphqlRequest, trace?: Trace): Promise<Answer>
  /** Charges its caller for an answer that was executed for another one: the charge, or the answer that refuses it. */
  pay (request: FastifyRequest, points: number): Promise<Cost | Answer>
}

/** One operation of an HTTP request, executed by mercurius: its context before, what the answer needs after. */
export function createExecute (app: FastifyInstance): Execute {
  const cookies = createDeviceCookies(app.config.trustProxy)

  /** `data` is left out when nothing was executed, and errors come first: that is what a person reads. */
  async function operation (
    request: FastifyRequest,
    reply: FastifyReply,
    asked: GraphqlRequest,
    trace: Trace = { references: new Set(), isOld: false }
  ): Promise<Answer> {
    const context = contextOf(request, reply, { asked, trace })
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
        cost: context.cost,
        status: context.errorStatus,
        retryAfterSeconds: context.retryAfterSeconds,
        limited: context.limited
      }
    } catch (error) {
      return refusedAnswer(error as Error, context)
    }
  }

  async function pay ({ transaction, id: requestId }: FastifyRequest, points: number): Promise<Cost | Answer> {
    if (transaction === null) return { points, limit: points, remaining: 0, resetSeconds: 0 }
    try {
      return await app.chargePoints({ principal: transaction.principal, countedAs: countedAs(transaction), points })
    } catch (error) {
      return refusedAnswer(error as Error, { assessmentId: transaction.id, requestId })
    }
  }

  function refusedAnswer (error: Error & { errors?: GraphQLError[] }, origin: ErrorOrigin): Answer {
    const errors = error.errors ?? [error]
    const { limited = null } = error as { limited?: RefusingLimit }
    return {
      errors: errors.map((one) => app.graphqlEdge.formatError(one, origin)),
      cost: null,
      status: statusOfErrors(errors, null),
      retryAfterSeconds: retryAfterOf(error),
      limited
    }
  }

  function contextOf (
    request: FastifyRequest,
    reply: FastifyReply,
    { asked, trace }: { asked: GraphqlRequest, trace: Trace }
  ): OperationContext {
    const { transaction } = request
    return {
      app,
      clock: app.clock,
      principal: transaction?.principal ?? null,
      client: transaction?.client ?? `ip:${request.ip}`,
      countedAs: transaction === null ? `ip:${request.ip}` : countedAs(transaction),
      address: transaction?.address ?? request.ip,
      requestId: request.id,
      assessmentId: transaction?.id ?? null,
      score: transaction?.score ?? null,
      isGone: () => request.raw.socket.destroyed,
      readsFrom: (reference) => { trace.references.add(reference) },
      mayBeOld: () => { trace.isOld = true },
      device: cookies(request, reply),
      carriesSecret: () => app.keepUncompressed(request, reply),
      method: request.method === 'HEAD' ? 'GET' : request.method,
      operationName: asked.operationName,
      errorStatus: null,
      cost: null,
      retryAfterSeconds: null,
      limited: null,
      onLoginFailed: () => { if (transaction !== null) transaction.loginFailed = true },
      onAttemptLimited: () => { if (transaction !== null) transaction.attemptLimited = true }
    }
  }

  return { operation, pay }
}
