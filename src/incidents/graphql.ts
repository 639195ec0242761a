import { connection, connectionSdl, pageSize } from '../schema/connection.ts'
import type { GraphqlContext, RoomGraphql } from '../schema/context.ts'
import { eventStream } from '../std/event-stream.ts'
import type { Incident, IncidentStatus } from './shapes.ts'

export const incidentsGraphql: RoomGraphql = {
  sdl: /* GraphQL */ `
    """Something a person should see: one open one per attacker."""
    type Incident {
      """Its id."""
      id: ID!
      """Whether somebody has seen to it."""
      status: IncidentStatus!
      """True when a playbook escalated."""
      critical: Boolean!
      """The highest playbook that fired."""
      playbook: PlaybookName!
      """Who: ip:<address>, range:<cidr>, key:<id> or user:<id>."""
      attacker: String!
      """When it was opened."""
      openedAt: DateTime!
      """When it last changed."""
      updatedAt: DateTime!
      """Who acknowledged it, as user:<id> or key:<id>."""
      acknowledgedBy: String
      """When it was acknowledged."""
      acknowledgedAt: DateTime
      """Who resolved it."""
      resolvedBy: String
      """When it was resolved."""
      resolvedAt: DateTime
      """How many runs joined it."""
      count: Int!
      """What happened, oldest first, at most 200: the newest runs, and what people did."""
      timeline: [TimelineEntry!]!
      """Redacted evidence, at most 50 pieces."""
      evidence: [IncidentEvidence!]!
      """MITRE ATT&CK techniques of the evidence."""
      techniques: [String!]!
      """The receipts that led to it, newest last."""
      assessments(
        """1-100, 20 when absent."""
        first: Int
        """A cursor to go on from."""
        after: String
      ): AssessmentConnection!
    }

    ${connectionSdl('Incident')}

    """One line of an incident's story."""
    type TimelineEntry {
      """When."""
      at: DateTime!
      """Who: a playbook or a person."""
      actor: String!
      """What."""
      what: String!
      """The receipt it is about."""
      assessmentId: ID
    }

    """One piece of evidence."""
    type IncidentEvidence {
      """The rule that matched."""
      rule: String!
      """Where it matched."""
      place: String!
      """certain, likely or weak."""
      grade: String!
      """For a person to read, redacted."""
      text: String!
      """MITRE ATT&CK technique."""
      technique: String
    }

    extend type Query {
      """Incidents, the last changed first."""
      incidents(
        """Only with this status."""
        status: IncidentStatus
        """1-100, 20 when absent."""
        first: Int
        """A cursor to go on from."""
        after: String
      ): IncidentConnection! @auth(scope: "read")
      """One incident."""
      incident(
        """Its id."""
        id: ID!
      ): Incident @auth(scope: "read")
    }

    extend type Mutation {
      """Says that somebody is at it."""
      acknowledgeIncident(
        """Its id."""
        id: ID!
      ): Incident! @auth(scope: "decide")
      """Says that it is over; the attacker's next run opens a new one."""
      resolveIncident(
        """Its id."""
        id: ID!
      ): Incident! @auth(scope: "decide")
    }

    extend type Subscription {
      """Incidents as they are opened and change, over all processes."""
      incidentChanged: Incident! @auth(scope: "read")
    }

    """Whether somebody has seen to it."""
    enum IncidentStatus {
      """Nobody has seen it."""
      OPEN
      """Somebody is at it."""
      ACKNOWLEDGED
      """It is over."""
      RESOLVED
    }
  `,
  resolvers: {
    Query: {
      async incidents (_parent, { status, ...page }: ListArgs, { app: { incidents } }: GraphqlContext) {
        const { first, after = null } = page
        const found = await incidents.list(status ?? null, { first: pageSize(first), after })
        return connection(found, () => incidents.count(status ?? null), after)
      },
      incident: (_parent, { id }: { id: string }, { app }: GraphqlContext) => app.incidents.get(id)
    },
    Mutation: {
      acknowledgeIncident: (_parent, { id }: { id: string }, { app, principal }: GraphqlContext) =>
        app.incidents.setStatus(id, 'ACKNOWLEDGED', principal!.clientKey),
      resolveIncident: (_parent, { id }: { id: string }, { app, principal }: GraphqlContext) =>
        app.incidents.setStatus(id, 'RESOLVED', principal!.clientKey)
    },
    Subscription: {
      incidentChanged: {
        subscribe: (_parent, _args, { app }: GraphqlContext) => eventStream((push) => app.incidents.onChanged(push)),
        resolve: (incident: Incident) => incident
      }
    },
    Incident: {
      assessments: ({ assessmentIds }: Incident, { first, after = null }: PageArgs, { app }: GraphqlContext) =>
        app.receipts.pageOf(assessmentIds, { first: pageSize(first), after })
    }
  }
}

interface PageArgs { first?: number, after?: string | null }
interface ListArgs extends PageArgs { status?: IncidentStatus }
