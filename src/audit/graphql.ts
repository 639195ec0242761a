import { connection, connectionSdl, pageSize } from '../schema/connection.ts'
import type { Connection } from '../schema/connection.ts'
import type { RoomGraphql } from '../schema/context.ts'
import type { Storage, Where } from '../storage/port.ts'
import { newestCheckpoint } from './collections.ts'
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

    """
    A signed statement about the trail: one log ran through this hash at this event. Kept elsewhere, it proves later
    that what stood there then still does: neko audit verify --against takes this answer as it is.
    """
    type AuditCheckpoint {
      """The process start whose log it is about."""
      processId: ID!
      """Its place among that log's checkpoints, from 0."""
      number: Int!
      """checkpoint, or close: nothing follows."""
      kind: String!
      """The segment that holds the last event covered."""
      segment: Int!
      """The last event covered; -1 before the first."""
      seq: Int!
      """SHA-256 of the last line covered, in hex."""
      hash: String!
      """When it was signed."""
      at: DateTime!
      """Names the key that signed it."""
      keyId: String!
      """Ed25519, in hex."""
      signature: String!
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
      """The newest checkpoint of the trail, at most 5 seconds behind what happened; null before the first."""
      auditCheckpoint(
        """Of this process start; of all when absent."""
        processId: ID
      ): AuditCheckpoint @auth(scope: "manage")
    }
  `,
  resolvers: {
    Query: {
      auditEvents: (_parent, args: AuditArguments, { app }) => listAuditEvents(app.storage, args),
      auditCheckpoint: (_parent, { processId }: { processId?: string | null }, { app }) =>
        newestCheckpoint(app.storage, processId ?? null)
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
