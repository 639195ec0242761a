import type { FastifyInstance } from 'fastify'
import { codeOf } from '../audit/shapes.ts'
import { NEKO_ERR_AUDIT_UNAVAILABLE } from '../errors.ts'
import { connection, connectionSdl, pageSize } from '../schema/connection.ts'
import type { GraphqlContext, RoomGraphql } from '../schema/context.ts'

export const webhooksGraphql: RoomGraphql = {
  sdl: /* GraphQL */ `
    extend type Query {
      """Webhooks that could not be delivered, newest first."""
      webhookDeadLetters(
        """1-100, 20 when absent."""
        first: Int
        """A cursor to go on from."""
        after: String
      ): DeadLetterConnection! @auth(scope: "manage")
    }

    extend type Mutation {
      """Sends a webhook that could not be delivered once more; false when it failed again and stays."""
      replayWebhook(
        """Its id."""
        id: ID!
      ): Boolean! @auth(scope: "manage")
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
  `,
  resolvers: {
    Query: {
      async webhookDeadLetters (_parent, { first, after = null }: PageArgs, { app }: GraphqlContext) {
        const page = await app.webhooks.deadLetters({ first: pageSize(first), after })
        return connection(page, () => app.webhooks.countDeadLetters(), after)
      }
    },
    Mutation: {
      replayWebhook: (_parent, { id }: { id: string }, { app, principal }: GraphqlContext) =>
        replayAudited(app, id, principal!.clientKey)
    }
  }
}

interface PageArgs { first?: number, after?: string | null }

/**
 * Whether a replay arrived is known only afterwards, and a message changes nothing here: it is recorded then, and
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
