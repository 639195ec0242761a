import { connection, connectionSdl, pageSize } from '../schema/connection.ts'
import type { Connection } from '../schema/connection.ts'
import type { RoomGraphql } from '../schema/context.ts'
import type { Storage, Where } from '../storage/port.ts'
import { auditEvents } from '../journal/collections.ts'
import type { StoredAuditEvent } from '../journal/collections.ts'

interface AuditArguments {
  category?: string | null
  type?: string | null
  actor?: string | null
  since?: number | null
  until?: number | null
  first?: number | null
  after?: string | null
}

export const auditGraphql: RoomGraphql = {
  sdl: /* GraphQL */ `
    """What an audit event is about."""
    enum AuditCategory {
      """Logins, tokens, credentials."""
      AUTH
      """Who read or was refused what."""
      ACCESS
      """Verdicts, decisions, playbooks, incidents."""
      SECURITY
      """Changes of what is stored, and of the configuration."""
      DATA
    }

    """How it ended."""
    enum AuditOutcome {
      """It was done."""
      OK
      """It was not allowed."""
      REFUSED
      """It was tried and did not work."""
      FAILED
    }

    """Something that happened, as the append-only trail holds it."""
    type AuditEvent {
      """Names the process start and the place in its chain."""
      id: ID!
      """When it happened."""
      at: DateTime!
      """What it is about."""
      category: AuditCategory!
      """Noun and verb, like decision.add."""
      type: String!
      """Who did it: user, key, ip or system."""
      actor: String!
      """On what, if on anything."""
      target: String
      """How it ended."""
      outcome: AuditOutcome!
      """The receipt of the request it belongs to."""
      assessmentId: ID
      """The score of that request, 0 to 100."""
      score: Float
      """The factor that decided that score."""
      factor: String
      """Small facts about it, as JSON text."""
      details: String
      """The process start whose log holds it."""
      processId: String!
      """Its place in that log's chain, from 0."""
      seq: Int!
    }

    ${connectionSdl('AuditEvent')}

    extend type Query {
      """The audit trail, newest first; an event shows up within 10 seconds of being durable."""
      auditEvents(
        category: AuditCategory
        type: String
        actor: String
        since: DateTime
        until: DateTime
        first: Int
        after: String
      ): AuditEventConnection! @auth(scope: "manage")
    }
  `,
  resolvers: {
    Query: {
      auditEvents: (_parent, args: AuditArguments, { app }) => listAuditEvents(app.storage, args)
    },
    AuditEvent: {
      category: (event: StoredAuditEvent) => event.category.toUpperCase(),
      outcome: (event: StoredAuditEvent) => event.outcome.toUpperCase(),
      details: (event: StoredAuditEvent) => event.details === undefined ? null : JSON.stringify(event.details)
    }
  }
}

/**
 * Newest first; `since` included, `until` excluded, both ms.
 * @throws NEKO_ERR_INPUT_INVALID, NEKO_ERR_CURSOR_INVALID, NEKO_ERR_STORE_UNAVAILABLE
 */
export async function listAuditEvents (storage: Storage, args: AuditArguments): Promise<Connection<StoredAuditEvent>> {
  const where: Where = {}
  if (args.category != null) where.category = args.category.toLowerCase()
  if (args.type != null) where.type = args.type
  if (args.actor != null) where.actor = args.actor
  if (args.since != null || args.until != null) {
    where.at = { ...(args.since == null ? {} : { gte: args.since }), ...(args.until == null ? {} : { lt: args.until }) }
  }
  const events = storage.collection<StoredAuditEvent>(auditEvents)
  const page = await events.find({ where, sort: [['at', -1]], first: pageSize(args.first), after: args.after ?? null })
  return connection(page, () => events.count(where), args.after ?? null)
}
