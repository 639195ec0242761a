import fp from 'fastify-plugin'
import {
  NoSchemaIntrospectionCustomRule,
  type GraphQLError,
  type GraphQLFormattedError,
  type GraphQLSchema
} from 'graphql'
import mercurius from 'mercurius'
import { ARMOR } from '../../schema/armor.ts'
import armor from './armor-plugin.ts'
import graphiql from './graphiql.ts'
import { formatError, statusOfErrors, type ErrorOrigin } from '../../schema/errors.ts'
import { buildNekoSchema } from '../../schema/build-schema.ts'
import type { OperationContext, RefusingLimit, RoomGraphql } from '../../schema/context.ts'
import { createDataEraser } from '../../schema/own-data.ts'
import type { EraseData } from '../../transaction/own-data.ts'
import { retryAfterOf } from '../../std/retryable.ts'
import graphqlRoute from './route.ts'

declare module 'fastify' {
  interface FastifyInstance {
    graphqlEdge: {
      schema: GraphQLSchema
      eraseData: EraseData
      formatError (error: Error, origin: ErrorOrigin): GraphQLFormattedError
    }
  }
}

/**
 * The GraphQL edge: mercurius executes (with its compiled queries and bounded caches), the route is our own.
 *
 * Owns: the schema, how errors leave, what a document may be. Never does: know a room's rules.
 * Why our own route: mercurius' coerces bodies, drops hooks given in its options and answers whatever Accept says;
 * `reply.graphql` behind a route of ours has none of that.
 */
export default fp(async (app, { rooms }: { rooms: readonly RoomGraphql[] }) => {
  const schema = buildNekoSchema(rooms)
  const edge = {
    production: app.config.production,
    onMasked (error: Error, requestId: string | null) {
      app.log.error({ err: error, requestId }, 'unexpected error in GraphQL')
    }
  }
  await app.register(mercurius, {
    schema,
    routes: false,
    // 64 documents of each kind, 3 errors each: 1,024 failed 1 MB documents would fill the heap.
    cache: 64,
    graphql: { parseOptions: { maxTokens: ARMOR.tokens }, validateOptions: { maxErrors: 3 } },
    jit: { minCount: 3, eluThreshold: 0.7, maxCompilePerTick: 1, maxQueueSize: 32 },
    validationRules: app.config.production ? [NoSchemaIntrospectionCustomRule] : [],
    errorFormatter (execution, context) {
      const errors = (execution.errors ?? []) as GraphQLError[]
      const operation = context as unknown as OperationContext
      noteErrors(errors, execution.data, operation)
      return {
        statusCode: 200,
        response: {
          data: execution.data,
          errors: errors.map((error) => formatError(error, edge, operation))
        } as never
      }
    }
  })
  app.decorate('graphqlEdge', {
    schema,
    eraseData: createDataEraser(schema),
    formatError: (error: Error, origin: ErrorOrigin) => formatError(error, edge, origin)
  })
  // The route's own check of the operation comes before it is charged.
  await app.register(graphqlRoute)
  await app.register(armor, { schema })
  await app.register(graphiql)

  /** Facts of the errors that the answer's status and the client's history need. */
  function noteErrors (
    errors: readonly GraphQLError[],
    data: Record<string, unknown> | null | undefined,
    context: OperationContext
  ): void {
    context.errorStatus = statusOfErrors(errors, data)
    for (const error of errors) {
      context.retryAfterSeconds = retryAfterOf(error.originalError) ?? context.retryAfterSeconds
      const field = error.path?.[0]
      const code = (error.originalError as { code?: string } | null | undefined)?.code
      if (field !== 'login' && field !== 'refreshToken') continue
      if (code === 'NEKO_ERR_UNAUTHENTICATED') context.onLoginFailed()
      if (code === 'NEKO_ERR_LIMIT_EXCEEDED') {
        const { max, windowSeconds } = app.limits.rate('strict')
        const { limited = { tier: 'strict', limit: max, windowSeconds }, isViolation = true } =
          error.originalError as { limited?: RefusingLimit, isViolation?: boolean }
        context.limited = limited
        if (isViolation) context.onAttemptLimited()
      }
    }
  }
}, { name: 'graphql', dependencies: ['config', 'http', 'limits', 'identity', 'intel', 'receipts', 'decisions'] })
