import { health } from '../../telemetry/health.ts'
import { BREAKER_STATE_VALUE } from '../../std/breaker.ts'
import type { GraphqlContext, RoomGraphql } from '../../schema/context.ts'

/** By the gauge's value. */
const BREAKER_STATES = Object.keys(BREAKER_STATE_VALUE)

/** The platform's own types: health, processes, breakers. */
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
      """storage, audit, scoring, and redis where REDIS_URL is set."""
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
      cluster: Cluster! @auth(scope: "read")
      """Breakers of this process; all, or the one of that name."""
      breakers(
        """A breaker's name: storage, redis, cache."""
        name: String
      ): [Breaker!]! @auth(scope: "read")
    }
  `,
  resolvers: {
    Query: {
      health (_parent, _args, { app }: GraphqlContext) {
        const { checks, ...rest } = health(app)
        return { ...rest, checks: Object.entries(checks).map(([name, check]) => ({ name, ...check })) }
      },
      cluster (_parent, _args, { app }: GraphqlContext) {
        return {
          processes: app.fleet.processCount(),
          processId: app.fleet.processId,
          slot: app.fleet.slot,
          region: app.config.region
        }
      },
      async breakers (_parent, { name }: { name?: string | null }, { app }: GraphqlContext) {
        // Every breaker shows itself as neko_breaker_state: one truth, and none can be forgotten here.
        const { values } = await app.metrics.breakerState.get()
        const breakers = values.map(({ labels, value }) => ({ name: labels.name, state: BREAKER_STATES[value] }))
        return name === undefined || name === null ? breakers : breakers.filter((breaker) => breaker.name === name)
      }
    }
  }
}
