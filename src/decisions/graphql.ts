import { connection, connectionSdl, pageSize } from '../schema/connection.ts'
import type { GraphqlContext, RoomGraphql } from '../schema/context.ts'
import { eventStream } from '../std/event-stream.ts'
import type { Action, Decision, DecisionScope } from './shapes.ts'

interface ListArgs { scope?: DecisionScope, action?: Action, value?: string, first?: number, after?: string | null }
interface AddArgs {
  scope: DecisionScope
  value: string
  action: Action
  ttlSeconds?: number | null
  reason: string
  force?: boolean | null
}

export const decisionsGraphql: RoomGraphql = {
  sdl: /* GraphQL */ `
    """Whom a decision is about."""
    enum DecisionScope {
      """One address."""
      IP
      """A range of addresses (CIDR)."""
      RANGE
      """An API key."""
      KEY
      """A user."""
      USER
      """One session of a user."""
      SESSION
    }

    """A standing rule about a client."""
    type Decision {
      """Its id."""
      id: ID!
      """Whom it is about."""
      scope: DecisionScope!
      """The address, range or id."""
      value: String!
      """What happens to the client's requests."""
      action: Action!
      """Who made it: user:<id>, key:<id> or playbook:<name>."""
      origin: String!
      """Why."""
      reason: String!
      """True when it is only recorded (shadow)."""
      simulated: Boolean!
      """When it was made."""
      createdAt: DateTime!
      """When it ends; null: when it is removed."""
      expiresAt: DateTime
      """The receipt that led to it."""
      assessmentId: ID
    }

    ${connectionSdl('Decision')}

    extend type Query {
      """Standing decisions, newest first."""
      decisions(
        """Only about such clients."""
        scope: DecisionScope
        """Only with this action."""
        action: Action
        """Only about this address, range or id."""
        value: String
        """1-100, 20 when absent."""
        first: Int
        """A cursor to go on from."""
        after: String
      ): DecisionConnection! @auth(scope: "read")
      """One decision."""
      decision(
        """Its id."""
        id: ID!
      ): Decision @auth(scope: "read")
    }

    extend type Mutation {
      """Makes a decision; it stands in every process within a second. An allow wins over every block."""
      addDecision(
        """Whom it is about."""
        scope: DecisionScope!
        """The address, range or id."""
        value: String!
        """What happens to the client's requests."""
        action: Action!
        """How long it stands; until removed when absent."""
        ttlSeconds: Int
        """Why, for whoever reads it later."""
        reason: String!
        """Also a block that holds for yourself, or a range wider than /16 (IPv6: /32), which needs the scope manage."""
        force: Boolean = false
      ): Decision @auth(scope: "decide")
      """Ends a decision and forgets the client's history, so that its next ordinary request passes."""
      removeDecision(
        """Its id."""
        id: ID!
      ): Decision @auth(scope: "decide")
    }

    extend type Subscription {
      """Decisions as they are made, expire or are removed (then with expiresAt in the past or now)."""
      decisionChanged: Decision! @auth(scope: "read")
    }
  `,
  resolvers: {
    Query: {
      async decisions (_parent, { first, after = null, ...filter }: ListArgs, { app }: GraphqlContext) {
        const page = await app.decisions.list(filter, { first: pageSize(first), after })
        return connection(page, () => app.decisions.count(filter), after)
      },
      decision: (_parent, { id }: { id: string }, { app }: GraphqlContext) => app.decisions.get(id)
    },
    Mutation: {
      addDecision: (
        _parent,
        { ttlSeconds = null, force, ...input }: AddArgs,
        { app, principal, address, assessmentId }: GraphqlContext
      ) => app.decisions.add({ ...input, ttlSeconds }, {
        origin: principal!.clientKey,
        maker: { principal: principal!, address },
        force: force === true,
        assessmentId
      }),
      removeDecision: (_parent, { id }: { id: string }, { app, principal }: GraphqlContext) =>
        app.decisions.remove(id, principal!.clientKey)
    },
    Subscription: {
      decisionChanged: {
        subscribe: (_parent, _args, { app, clock }: GraphqlContext) =>
          eventStream((push) =>
            app.decisions.onChanged(({ decision, removed }) =>
              push(
                removed
                  ? { ...decision, expiresAt: Math.min(decision.expiresAt ?? Infinity, clock.now()) }
                  : decision
              )
            )
          ),
        resolve: (decision: Decision) => decision
      }
    }
  }
}
