import { attempt } from '../../audit/shapes.ts'
import { NEKO_ERR_NOT_FOUND } from '../../errors.ts'
import { receiptOf } from '../../schema/audit-receipt.ts'
import type { GraphqlContext, RoomGraphql } from '../../schema/context.ts'

/** The named caches for administrators: what they hold, and their end. Counts are Float: Int ends at 2^31. */
export const cachesGraphql: RoomGraphql = {
  sdl: /* GraphQL */ `
    """A named cache, as the process that answers has it: each process counts for itself."""
    type CacheStats {
      """What clearCache takes: graphql holds whole answers."""
      name: String!
      """Answers that are held."""
      entries: Int!
      """What they take in memory, with what holding them costs."""
      bytes: Int!
      """Beyond it the least recently used go."""
      bytesMax: Int!
      """Answers from memory, or from Redis."""
      hits: Float!
      """Answers that had to be computed."""
      misses: Float!
      """Old answers in place of an error, while the store was away."""
      stale: Float!
      """Answers that went because of the bound."""
      evictions: Float!
      """Changes after which answers were forgotten, heard of by this process."""
      invalidations: Float!
    }

    extend type Query {
      """The named caches of the process that answers."""
      cacheStats: [CacheStats!]! @auth(scope: "manage")
    }

    extend type Mutation {
      """Empties caches in every process and says what this one holds then. Nothing but time is lost."""
      clearCache(
        """The one of that name, NEKO_ERR_NOT_FOUND where there is none; all when it is absent."""
        name: String
      ): [CacheStats!]! @auth(scope: "manage")
    }
  `,
  resolvers: {
    Query: {
      cacheStats: (_parent, _args, { app }: GraphqlContext) => app.caches.stats()
    },
    Mutation: {
      async clearCache (_parent, { name = null }: { name?: string | null }, context: GraphqlContext) {
        const { app, client, assessmentId, score } = context
        if (name !== null && !app.caches.stats().some((cache) => cache.name === name)) {
          throw new NEKO_ERR_NOT_FOUND('There is no such cache')
        }
        const event = { category: 'data', type: 'cache.clear', actor: client, target: name } as const
        const audited = { ...event, ...receiptOf(assessmentId, score) }
        await attempt(app.audit, audited, () => app.caches.clear(name ?? undefined))
        return app.caches.stats()
      }
    }
  }
}
