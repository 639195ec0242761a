import { health } from '../http/health.ts'
import type { GraphqlContext, RoomGraphql } from './context.ts'

/** What the platform says of itself. */
export const platformGraphql: RoomGraphql = {
  sdl: /* GraphQL */ `
    """Whether the server can do its work."""
    type Health {
      """ok, degraded or stopping."""
      status: String!
      """One line for each part."""
      checks: [HealthCheck!]!
      """What an operator should know."""
      notes: [String!]!
    }

    """One part of the server."""
    type HealthCheck {
      """storage, audit or scoring."""
      name: String!
      """Whether it works."""
      up: Boolean!
      """Why not, as a class of error."""
      detail: String
    }

    """The processes that serve."""
    type Cluster {
      """Processes that serve now."""
      processes: Int!
      """The process that answered."""
      processId: String!
      """Its slot, 0 to WORKERS - 1."""
      slot: Int!
      """REGION, when it is set."""
      region: String
    }

    """A breaker in front of something that can fail."""
    type Breaker {
      """What it stands before."""
      name: String!
      """closed, half-open or open."""
      state: String!
    }

    extend type Query {
      """Whether the server can do its work."""
      health: Health! @public
      """The processes that serve."""
      cluster: Cluster! @auth(scope: "manage")
      """Breakers of this process; all, or the one of that name."""
      breakers(
        """A breaker's name, like storage."""
        name: String
      ): [Breaker!]! @auth(scope: "manage")
    }
  `,
  resolvers: {
    Query: {
      health (_parent, _args, { app }: GraphqlContext) {
        const { checks, ...rest } = health(app)
        return { ...rest, checks: Object.entries(checks).map(([name, check]) => ({ name, ...check })) }
      },
      cluster (_parent, _args, { app }: GraphqlContext) {
        return { processes: app.fleet.processCount(), processId: app.fleet.processId, slot: app.fleet.slot, region: app.config.region }
      },
      breakers (_parent, { name }: { name?: string | null }, { app }: GraphqlContext) {
        const storage = { name: 'storage', state: app.storage.health().up ? 'closed' : 'open' }
        return [storage].filter((breaker) => name === undefined || name === null || breaker.name === name)
      }
    }
  }
}
