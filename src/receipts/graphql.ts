import { connection, connectionSdl, pageSize } from '../schema/connection.ts'
import type { GraphqlContext, RoomGraphql } from '../schema/context.ts'
import { eventStream } from '../std/event-stream.ts'
import type { AssessmentFilter } from './lookup.ts'
import { showFactor, type Assessment } from './shapes.ts'

interface ThreatsArgs extends AssessmentFilter { first?: number | null, after?: string | null }

export const receiptsGraphql: RoomGraphql = {
  sdl: /* GraphQL */ `
    """What one of the seven factors gave to a score."""
    type Factor {
      """frequency, userAgent, endpoint, headers, timing, payload or behavior."""
      name: String!
      """Points; the seven add up to the score."""
      contribution: Float!
      """What it saw, for a person, without secrets."""
      evidence: [String!]!
    }

    """The receipt of one request."""
    type Assessment {
      """As in the header x-neko-assessment."""
      id: ID!
      """When the request came."""
      at: DateTime!
      """Who asked: user:, key: or ip: and an id."""
      client: String!
      """The request's method."""
      method: String!
      """Its path without query, secrets masked."""
      path: String!
      """0 to 100."""
      score: Float!
      """What the score and standing decisions came to."""
      action: Action!
      """True in shadow: nobody was refused because of it."""
      simulated: Boolean!
      """thread, inline, none; decision or limit for a request refused before scoring."""
      source: String!
      """True when no thread could answer in time and the cheap score was given."""
      degraded: Boolean!
      """By which numbers it was scored."""
      policyVersion: String!
      """All seven; empty for a request refused before scoring."""
      factors: [Factor!]!
      """What was not looked at, or not held against the caller, and why."""
      notInspected: [String!]!
      """The standing decision that refused it or let it pass."""
      decision: Decision
    }

    ${connectionSdl('Assessment')}

    """Requests of a window, over all processes."""
    type Stats {
      """The window, ending now; over two minutes in whole minutes."""
      windowSeconds: Int!
      """Requests judged."""
      requests: Int!
      """How many of each action."""
      byAction: [ActionCount!]!
      """Half of all scores are not above this."""
      scoreP50: Float!
      """95 of 100 scores are not above this."""
      scoreP95: Float!
      """99 of 100 scores are not above this."""
      scoreP99: Float!
      """Points that each factor gives on average, largest first."""
      topFactors: [FactorShare!]!
    }

    """How many requests an action met."""
    type ActionCount {
      """The action."""
      action: Action!
      """Requests."""
      count: Int!
    }

    """A factor's part in the scores."""
    type FactorShare {
      """The factor."""
      name: String!
      """Points per request on average."""
      contribution: Float!
    }

    """Evidence that counts for nothing at one place of one route, for a while."""
    type Allowance {
      """Its id."""
      id: ID!
      """The rule, like sqli.union-select."""
      rule: String!
      """The parameter, header or field."""
      place: String!
      """The route pattern; null for routes that we do not have."""
      route: String
      """Until when."""
      expiresAt: DateTime!
    }

    """What marking a false alarm came to."""
    type FalsePositive {
      """What is allowed from now on."""
      allowances: [Allowance!]!
      """How many recent verdicts would have been others, over all processes."""
      changedVerdicts: Int!
    }

    extend type Query {
      """
      Recorded assessments, newest first: all from 20 points on (up to 200 a second and process), and one in a hundred
      of the others.
      """
      threats(
        "At least this score."
        minScore: Float
        "Only these."
        action: Action
        "Not before."
        since: DateTime
        "1-100, 20 when absent."
        first: Int
        "A cursor."
        after: String
      ): AssessmentConnection! @auth(scope: "read")
      """One receipt; those that were not recorded can be found for some minutes."""
      assessment("As in the header x-neko-assessment." id: ID!): Assessment @auth(scope: "read")
      """Figures of the last 1 to 86400 seconds."""
      stats("1-86400." windowSeconds: Int! = 300): Stats! @public
    }

    extend type Subscription {
      """Receipts as they are made in any process, at most 50 a second of each."""
      assessmentAdded("At least this score." minScore: Float = 20): Assessment! @auth(scope: "read")
    }

    extend type Mutation {
      """
      Says that an assessment was a false alarm: its evidence is allowed at its places for thirty days, never the client
      as a whole.
      """
      markFalsePositive("The receipt." assessmentId: ID!): FalsePositive! @auth(scope: "decide")
    }
  `,
  resolvers: {
    Query: {
      async threats (_parent, { first, after = null, ...filter }: ThreatsArgs, { app }: GraphqlContext) {
        const page = await app.receipts.find(filter, { first: pageSize(first), after })
        return connection(page, () => app.receipts.count(filter), after)
      },
      assessment: (_parent, { id }: { id: string }, { app }: GraphqlContext) => app.receipts.get(id),
      stats: (_parent, { windowSeconds }: { windowSeconds: number }, { app }: GraphqlContext) =>
        app.receipts.stats(windowSeconds)
    },
    Mutation: {
      markFalsePositive: (
        _parent,
        { assessmentId }: { assessmentId: string },
        { app, principal }: GraphqlContext
      ) => app.receipts.markFalsePositive(assessmentId, principal!.clientKey)
    },
    Subscription: {
      assessmentAdded: {
        subscribe: (_parent, { minScore }: { minScore: number | null }, { app }: GraphqlContext) =>
          eventStream((push) => app.receipts.onShown(minScore ?? 0, push)),
        resolve: (assessment: Assessment) => assessment
      }
    },
    Assessment: {
      factors: ({ factors }: Assessment) => factors.map(showFactor),
      decision: ({ decisionId }: Assessment, _args, { app }: GraphqlContext) =>
        decisionId === null ? null : app.decisions.get(decisionId)
    }
  }
}
