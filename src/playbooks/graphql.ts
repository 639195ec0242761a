import type { FastifyInstance } from 'fastify'
import { codeOf } from '../audit/shapes.ts'
import { NEKO_ERR_AUDIT_UNAVAILABLE } from '../errors.ts'
import { connection, connectionSdl, pageSize } from '../schema/connection.ts'
import type { GraphqlContext, RoomGraphql } from '../schema/context.ts'
import { eventStream } from '../std/event-stream.ts'
import type { Incident, IncidentStatus, PlaybookName } from './shapes.ts'

interface ListArgs { status?: IncidentStatus, first?: number, after?: string | null }
interface RunArgs { name: PlaybookName, assessmentId: string, dryRun?: boolean }

export const playbooksGraphql: RoomGraphql = {
  sdl: /* GraphQL */ `
    """Whether somebody has seen to it."""
    enum IncidentStatus {
      """Nobody has seen it."""
      OPEN
      """Somebody is at it."""
      ACKNOWLEDGED
      """It is over."""
      RESOLVED
    }

    """The eight playbooks, highest priority first."""
    enum PlaybookName {
      """A score of 90 or more."""
      CRITICAL_THREAT_RESPONSE
      """Payload evidence that has no ordinary reading."""
      ACTIVE_ATTACK_DETECTED
      """A limit crossed at login, or the third time within 10 minutes."""
      RATE_LIMIT_VIOLATION
      """Signs of automation."""
      AUTOMATION_DETECTED
      """A decoy was touched."""
      HONEYPOT_CAPTURE
      """A client that behaves unlike itself."""
      BEHAVIORAL_ANOMALY
      """Refused by its score for the third time within 10 minutes."""
      HIGH_THREAT_RESPONSE
      """Anything else at or above the challenge threshold."""
      STANDARD_MONITORING
    }

    """A rule: when it fires and what it does."""
    type Playbook {
      """Its name."""
      name: PlaybookName!
      """What it is for."""
      description: String!
      """What it does, in order."""
      steps: [String!]!
      """Whether a person sees it as an incident."""
      opensIncident: Boolean!
      """One run per attacker in this time."""
      windowSeconds: Int!
    }

    """One execution of a playbook."""
    type PlaybookRun {
      """Its id."""
      id: ID!
      """Which playbook."""
      playbook: PlaybookName!
      """Against whom."""
      attacker: String!
      """When."""
      at: DateTime!
      """The receipt that it acted on."""
      assessmentId: ID!
      """done, failed, simulated or skipped."""
      result: String!
      """What each step came to."""
      steps: [PlaybookStep!]!
      """True when nothing was done."""
      dryRun: Boolean!
    }

    """One step of a run."""
    type PlaybookStep {
      """block, escalate, alert, capture, tag, quarantine, limit or watch."""
      step: String!
      """done, failed, simulated or skipped."""
      result: String!
      """In words."""
      detail: String!
      """How often it was tried."""
      attempts: Int!
    }

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

    ${connectionSdl('DeadLetter')}

    """A webhook that could not be delivered; kept for 30 days."""
    type DeadLetter {
      """Its id."""
      id: ID!
      """When it was given up."""
      at: DateTime!
      """Where it should have gone."""
      url: String!
      """What it says: JSON, without its signature."""
      body: String!
      """Why it was given up."""
      problem: String!
    }

    extend type Query {
      """Webhooks that could not be delivered, newest first."""
      webhookDeadLetters(
        """1-100, 20 when absent."""
        first: Int
        """A cursor to go on from."""
        after: String
      ): DeadLetterConnection! @auth(scope: "manage")
      """The playbooks in force, highest priority first."""
      playbooks: [Playbook!]! @auth(scope: "read")
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
      """Sends a webhook that could not be delivered once more; false when it failed again and stays."""
      replayWebhook(
        """Its id."""
        id: ID!
      ): Boolean! @auth(scope: "manage")
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
      """Runs a playbook on a receipt, or with dryRun says what it would do."""
      runPlaybook(
        """Which."""
        name: PlaybookName!
        """The receipt to act on."""
        assessmentId: ID!
        """True: do nothing, say what would be done."""
        dryRun: Boolean = false
      ): PlaybookRun! @auth(scope: "decide")
    }

    extend type Subscription {
      """Incidents as they are opened and change, over all processes."""
      incidentChanged: Incident! @auth(scope: "read")
    }
  `,
  resolvers: {
    Query: {
      playbooks: (_parent, _args, { app }: GraphqlContext) => app.playbooks.list(),
      async incidents (_parent, { status, first, after = null }: ListArgs, { app }: GraphqlContext) {
        const page = await app.playbooks.incidents.list(status ?? null, { first: pageSize(first), after })
        return connection(page, () => app.playbooks.incidents.count(status ?? null), after)
      },
      incident: (_parent, { id }: { id: string }, { app }: GraphqlContext) => app.playbooks.incidents.get(id),
      async webhookDeadLetters (_parent, { first, after = null }: ListArgs, { app }: GraphqlContext) {
        const page = await app.webhooks.deadLetters({ first: pageSize(first), after })
        return connection(page, () => app.webhooks.countDeadLetters(), after)
      }
    },
    Mutation: {
      replayWebhook: (_parent, { id }: { id: string }, { app, principal }: GraphqlContext) =>
        replayAudited(app, id, principal!.clientKey),
      acknowledgeIncident: (_parent, { id }: { id: string }, { app, principal }: GraphqlContext) =>
        app.playbooks.incidents.setStatus(id, 'ACKNOWLEDGED', principal!.clientKey),
      resolveIncident: (_parent, { id }: { id: string }, { app, principal }: GraphqlContext) =>
        app.playbooks.incidents.setStatus(id, 'RESOLVED', principal!.clientKey),
      runPlaybook: (
        _parent,
        { name, assessmentId, dryRun = false }: RunArgs,
        { app, principal }: GraphqlContext
      ) => app.playbooks.runOn(name, assessmentId, { dryRun, actor: principal!.clientKey })
    },
    Subscription: {
      incidentChanged: {
        subscribe: (_parent, _args, { app }: GraphqlContext) =>
          eventStream((push) => app.playbooks.incidents.onChanged(push)),
        resolve: (incident: Incident) => incident
      }
    },
    PlaybookStep: {
      step: (step: { do: string }) => step.do
    },
    Incident: {
      async assessments (
        incident: Incident,
        { first, after }: { first?: number, after?: string | null },
        { app }: GraphqlContext
      ) {
        return await app.receipts.pageOf(incident.assessmentIds, { first: pageSize(first), after: after ?? null })
      }
    }
  }
}

/**
 * What it came to is known only afterwards, and a message changes nothing here: it is recorded then, and
 * refused before when it could not be.
 */
async function replayAudited (
  { audit, webhooks }: Pick<FastifyInstance, 'audit' | 'webhooks'>,
  id: string,
  actor: string
): Promise<boolean> {
  if (!audit.healthy()) throw new NEKO_ERR_AUDIT_UNAVAILABLE()
  const event = { category: 'security', type: 'webhook.replay', actor, target: id } as const
  const isDelivered = await webhooks.replay(id).catch((error: unknown) => {
    audit.record({ ...event, outcome: 'failed', details: { code: codeOf(error) } })
    throw error
  })
  await audit.durable({ ...event, outcome: isDelivered ? 'ok' : 'failed' })
  return isDelivered
}
