import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { GraphQLError } from 'graphql'
import type { OperationContext, RefusingLimit } from '../../schema/context.ts'
import { statusOfErrors } from '../../schema/errors.ts'
import { retryAfterOf } from '../../std/retryable.ts'
import { countedAs } from '../../transaction/cross-site.ts'
import { createDeviceCookies } from './device-cookie.ts'
import type { GraphqlRequest } from './read-request.ts'

/** The end of one operation; `status` is null where only the transport's rules decide. */
export interface Answer {
  errors?: readonly unknown[]
  data?: unknown
  extensions?: unknown
  status: number | null
  retryAfterSeconds: number | null
  limited: RefusingLimit | null
}

type Execute = (request: FastifyRequest, reply: FastifyReply, asked: GraphqlRequest) => Promise<Answer>

/** One operation of an HTTP request, executed by mercurius: its context before, what the answer needs after. */
export function createExecute (app: FastifyInstance): Execute {
  const cookies = createDeviceCookies(app.config.trustProxy)

  /** `data` is left out when nothing was executed, and errors come first: that is what a person reads. */
  return async function execute (request, reply, asked) {
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
      const { limited = null } = error as { limited?: RefusingLimit }
      return {
        errors: errors.map((one) => app.graphqlEdge.formatError(one, context)),
        status: statusOfErrors(errors, null),
        retryAfterSeconds: retryAfterOf(error),
        limited
      }
    }
  }

  function contextOf (request: FastifyRequest, reply: FastifyReply, asked: GraphqlRequest): OperationContext {
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
}
