import { connection, connectionSdl, pageSize } from '../schema/connection.ts'
import type { GraphqlContext, RoomGraphql } from '../schema/context.ts'
import { formOfShape } from '../detect/sign-shape.ts'
import type { Allowance } from '../detect/shapes.ts'
import type { Principal } from '../identity/shapes.ts'
import { eventStream } from '../std/event-stream.ts'
import type { AssessmentFilter } from './lookup.ts'
import type { AllowanceActor } from './false-positives.ts'
import { showFactor, type Assessment } from './shapes.ts'

interface PageArgs { first?: number | null, after?: string | null }
interface ThreatsArgs extends AssessmentFilter, PageArgs {}
interface MarkArgs { assessmentId: string, dryRun?: boolean | null, force?: boolean | null }

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

    """
    A sign that counts for nothing for a while, for every client: one rule, at one place of one target, in a text of one
    shape.
    """
    type Allowance {
      """Its id, the same whenever the same sign is marked."""
      id: ID!
      """The rule, like sqli.union-select."""
      rule: String!
      """The parameter, header or field."""
      place: String!
      """The route pattern; null where no route of ours answers."""
      route: String
      """The exact path where no route of ours answers; else null."""
      path: String
      """weak, likely or certain; what is certain was allowed by force."""
      grade: String!
      """
      What the text must look like: exact for that text alone, or its form, with w for any names and 0 for any number.
      """
      shape: String!
      """The sign that was marked, for a person."""
      text: String!
      """Who marked it: user:<id> or key:<id>."""
      origin: String!
      """The receipt that was marked."""
      assessmentId: ID!
      """When it was marked last."""
      createdAt: DateTime!
      """Until when."""
      expiresAt: DateTime!
    }

    ${connectionSdl('Allowance')}

    """What marking a false alarm came to."""
    type FalsePositive {
      """What is allowed from now on; of a dry run, what would be."""
      allowances: [Allowance!]!
      """
      How many recent verdicts would have been others, over all processes; of a dry run, verdicts of stored receipts.
      """
      changedVerdicts: Int!
      """True when nothing was kept."""
      dryRun: Boolean!
      """What it would have let through; null unless it was a dry run."""
      letThrough: LetThrough
    }

    """Stored receipts that allowances would have let through."""
    type LetThrough {
      """Receipts whose verdict would have been milder."""
      count: Int!
      """How many were looked at: the newest 2,000 from the challenge threshold on."""
      scanned: Int!
      """The newest ten."""
      examples: [LetThroughExample!]!
    }

    """One of them."""
    type LetThroughExample {
      """The receipt."""
      assessmentId: ID!
      """Its score by the rules as they are now."""
      score: Float!
      """Its score with the allowances."""
      scoreAfter: Float!
      """What the score comes to."""
      action: Action!
      """What it would have come to."""
      actionAfter: Action!
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
      """Allowances that stand, newest first."""
      allowances(
        "1-100, 20 when absent."
        first: Int
        "A cursor."
        after: String
      ): AllowanceConnection! @auth(scope: "read")
      """Figures of the last 1 to 86400 seconds."""
      stats("1-86400." windowSeconds: Int! = 300): Stats! @public @cached(time: STATS)
    }

    extend type Subscription {
      """Receipts as they are made in any process, at most 50 a second of each."""
      assessmentAdded("At least this score." minScore: Float = 20): Assessment! @auth(scope: "read")
    }

    extend type Mutation {
      """
      Says that an assessment was a false alarm: for thirty days its signs count for nothing in texts of the same shape,
      at the same place of the same target. A certain sign has no ordinary reading: that needs the scope manage as well.
      """
      markFalsePositive(
        "The receipt."
        assessmentId: ID!
        "True: keep nothing, say what it would have let through among the stored receipts."
        dryRun: Boolean = false
        "True: certain signs are meant."
        force: Boolean = false
      ): FalsePositive! @auth(scope: "decide")
      """Ends an allowance, in all processes; one of a certain sign needs the scope manage as well."""
      removeAllowance("Its id." id: ID!): Allowance @auth(scope: "decide")
    }
  `,
  resolvers: {
    Query: {
      async threats (_parent, { first, after = null, ...filter }: ThreatsArgs, { app }: GraphqlContext) {
        const page = await app.receipts.find(filter, { first: pageSize(first), after })
        return connection(page, () => app.receipts.count(filter), after)
      },
      assessment: (_parent, { id }: { id: string }, { app }: GraphqlContext) => app.receipts.get(id),
      allowances (_parent, { first, after = null }: PageArgs, { app }: GraphqlContext) {
        const { receipts } = app
        return connection(receipts.allowances({ first: pageSize(first), after }), receipts.countAllowances, after)
      },
      stats: (_parent, { windowSeconds }: { windowSeconds: number }, { app }: GraphqlContext) =>
        app.receipts.stats(windowSeconds)
    },
    Mutation: {
      markFalsePositive: (
        _parent,
        { assessmentId, dryRun, force }: MarkArgs,
        { app, principal }: GraphqlContext
      ) => app.receipts.markFalsePositive(assessmentId, {
        ...actorOf(principal!),
        dryRun: dryRun === true,
        force: force === true
      }),
      removeAllowance: (_parent, { id }: { id: string }, { app, principal }: GraphqlContext) =>
        app.receipts.removeAllowance(id, actorOf(principal!))
    },
    Subscription: {
      assessmentAdded: {
        subscribe: (_parent, { minScore }: { minScore: number | null }, { app }: GraphqlContext) =>
          eventStream((push) => app.receipts.onShown(minScore ?? 0, push)),
        resolve: (assessment: Assessment) => assessment
      }
    },
    Allowance: {
      route: ({ target }: Allowance) => target.startsWith('route ') ? target.slice('route '.length) : null,
      path: ({ target }: Allowance) => target.startsWith('path ') ? target.slice('path '.length) : null,
      shape: ({ shape }: Allowance) => formOfShape(shape) ?? 'exact'
    },
    Assessment: {
      factors: ({ factors }: Assessment) => factors.map(showFactor),
      decision: ({ decisionId }: Assessment, _args, { app }: GraphqlContext) =>
        decisionId === null ? null : app.decisions.get(decisionId)
    }
  }
}

function actorOf ({ clientKey, scopes }: Principal): AllowanceActor {
  return { actor: clientKey, mayManage: scopes.includes('manage') }
}
