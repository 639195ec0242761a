import type { Assessment } from '../../receipts/shapes.ts'
import type { GraphqlContext, RoomGraphql } from '../../schema/context.ts'
import type { AssessRequest } from './read-sample.ts'

/** The mutation `assess`: samples over GraphQL, where they only ask. */
export const assessGraphql: RoomGraphql = {
  sdl: /* GraphQL */ `
    """A request that others saw."""
    input AssessRequest {
      """Its method."""
      method: String!
      """The request target as on the wire."""
      url: String!
      """In the order of the wire, repeats kept."""
      headers: [HeaderInput!]
      """The body as text."""
      body: String
      """The body as base64, when it is not text."""
      bodyBase64: String
      """Who sent it; then it is scored against that address's history."""
      ip: String
    }

    """One header."""
    input HeaderInput {
      """Its name."""
      name: String!
      """Its value."""
      value: String!
    }

    extend type Mutation {
      """Scores up to 100 requests that others saw, and acts on nothing."""
      assess("In this order." requests: [AssessRequest!]!): [Assessment!]! @auth(scope: "assess")
    }
  `,
  resolvers: {
    Mutation: {
      assess: (
        _parent,
        { requests }: { requests: AssessRequest[] },
        { app, client }: GraphqlContext
      ): Promise<Assessment[]> => app.assess(requests, { acts: false, submitter: client })
    }
  }
}
