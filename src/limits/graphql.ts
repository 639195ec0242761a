import type { GraphqlContext, RoomGraphql } from '../schema/context.ts'
import type { LimitAnswer } from './shapes.ts'

export const limitsGraphql: RoomGraphql = {
  sdl: /* GraphQL */ `
    """How many requests the caller has left."""
    type RateLimit {
      """strict, standard, relaxed or service."""
      tier: String!
      """Requests per window."""
      limit: Int!
      """Requests left in this window."""
      remaining: Int!
      """Seconds until the window is empty again."""
      resetSeconds: Int!
      """The budget for the cost of GraphQL operations."""
      cost: CostBudget!
    }

    """Points for the cost of GraphQL operations."""
    type CostBudget {
      """Points per window."""
      limit: Int!
      """Points left in this window."""
      remaining: Int!
      """Seconds until the window is empty again."""
      resetSeconds: Int!
    }

    extend type Query {
      """The caller's own limit. Asking counts as a request like any other."""
      rateLimit: RateLimit! @public
    }
  `,
  resolvers: {
    Query: {
      rateLimit (_parent, _args, { app, principal, client }: GraphqlContext) {
        const tier = principal?.tier ?? 'standard'
        return { ...shown(app.limits.peek(tier, client)), cost: shown(app.limits.peekCost(tier, client)) }
      }
    }
  }
}

function shown (
  { tier, limit, remaining, resetSeconds }: LimitAnswer
): Pick<LimitAnswer, 'tier' | 'limit' | 'remaining' | 'resetSeconds'> {
  return { tier, limit, remaining, resetSeconds }
}
