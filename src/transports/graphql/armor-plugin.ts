import fp from 'fastify-plugin'
import type { GraphQLSchema } from 'graphql'
import { NEKO_ERR_KEY_FORBIDDEN, NEKO_ERR_LIMIT_EXCEEDED, NEKO_ERR_QUERY_TOO_COSTLY } from '../../errors.ts'
import { refuseDocument, refuseJsonSource } from '../../schema/armor.ts'
import { costOf, usedPoints } from '../../schema/armor-cost.ts'
import type { Cost, OperationContext } from '../../schema/context.ts'
import { retryable } from '../../std/retryable.ts'

/**
 * Puts the armor around mercurius: before its parser, between parser and validation, and before execution.
 * Only the last runs for cached documents, and has what changes between requests: variables, and what the
 * caller has left. After execution the caller gets back what was charged for lists that turned out shorter.
 */
declare module 'fastify' {
  interface FastifyInstance {
    /** Charges an operation to its caller's budget; what runs over another transport calls it too. */
    chargeOperation (charge: Charge): Promise<Cost>
    /** The same for an answer whose points are known. */
    chargePoints (charge: Payer & { points: number }): Promise<Cost>
  }
}

type Payer = Pick<OperationContext, 'principal' | 'countedAs'>
type Charge = Payer & {
  document: Parameters<typeof costOf>[1],
  variables: Readonly<Record<string, unknown>> | null | undefined
}

export default fp(async (app, { schema }: { schema: GraphQLSchema }) => {
  app.decorate('chargeOperation', async ({ principal, countedAs, document, variables }) =>
    await app.chargePoints({ principal, countedAs, points: costOf(schema, document, variables ?? {}) }))
  app.decorate('chargePoints', async ({ principal, countedAs, points }) => {
    const tier = principal?.tier ?? 'standard'
    const answer = await app.limits.takeCost(tier, countedAs, points)
    // No waiting helps a query that is larger than the budget.
    if (points > answer.limit) throw new NEKO_ERR_QUERY_TOO_COSTLY(String(points), String(answer.limit))
    if (!answer.allowed) {
      const limited = { tier: `${tier}-cost`, limit: answer.limit, windowSeconds: answer.windowSeconds }
      const { retryAfterSeconds } = answer
      const error = retryable(new NEKO_ERR_LIMIT_EXCEEDED(String(retryAfterSeconds)), retryAfterSeconds)
      throw Object.assign(error, { limited })
    }
    return { points, limit: answer.limit, remaining: answer.remaining, resetSeconds: answer.resetSeconds }
  })

  app.graphql.addHook('preParsing', async (_schema, source) => refuseJsonSource(source))
  app.graphql.addHook('preValidation', async (_schema, document, context) => {
    try {
      refuseDocument(document)
    } catch (error) {
      const { client, assessmentId, score } = context as unknown as OperationContext
      if (error instanceof NEKO_ERR_KEY_FORBIDDEN) {
        app.forbiddenKeySeen({
          client,
          assessmentId,
          score,
          place: 'document',
          key: 'prototype',
          target: '/graphql'
        })
      }
      throw error
    }
  })
  app.graphql.addHook('preExecution', async (_schema, document, context, variables) => {
    const operation = context as unknown as OperationContext
    operation.cost = await app.chargeOperation({
      principal: operation.principal,
      countedAs: operation.countedAs,
      document,
      variables
    })
  })
  app.graphql.addHook('onResolution', async ({ data, errors }, context) => {
    const operation = context as unknown as OperationContext
    // An operation that failed on the way may have done all its work.
    if (operation.cost === null || (errors !== undefined && errors.length > 0)) return
    const points = usedPoints(data, operation.cost.points)
    const unused = operation.cost.points - points
    if (unused === 0) return
    app.limits.refundCost(operation.principal?.tier ?? 'standard', operation.countedAs, unused)
    operation.cost = { ...operation.cost, points, remaining: operation.cost.remaining + unused }
  })
}, { name: 'armor', dependencies: ['mercurius', 'limits', 'http'] })
