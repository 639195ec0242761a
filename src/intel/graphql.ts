import { connection, connectionSdl, pageSize } from '../schema/connection.ts'
import type { GraphqlContext, RoomGraphql } from '../schema/context.ts'
import type { ActorInput, ActorPatch } from './actor-input.ts'
import { actorReference, COUNTS, listReference } from './references.ts'
import type { Technique, ThreatCategory } from './shapes.ts'

const inputFields = /* GraphQL */ `
      """Other names."""
      aliases: [String!]
      """ISO 3166-1 alpha-2, like RU."""
      country: String
      """What kind of adversary."""
      category: ThreatCategory
      """What for."""
      motivation: String
      """ATT&CK ids, like T1566.001."""
      techniques: [String!]
      """Where it is written."""
      references: [ReferenceInput!]
      """First known activity."""
      firstSeen: DateTime
      """Last known activity."""
      lastSeen: DateTime
      """A few sentences, at most 4000 characters."""
      description: String`

export const intelGraphql: RoomGraphql = {
  sdl: /* GraphQL */ `
    """What kind of adversary."""
    enum ThreatCategory {
      """Works for a state."""
      STATE_SPONSORED
      """Works for money."""
      CYBERCRIME
      """Works for money by encrypting."""
      RANSOMWARE
      """Works for a cause."""
      HACKTIVIST
      """Works by terror."""
      TERRORIST
      """Works from within."""
      INSIDER
      """The sources do not say."""
      UNKNOWN
    }

    """A known adversary, as all sources together describe it."""
    type ThreatActor {
      """Stays the same over imports; ids from before a merge keep working."""
      id: ID!
      """The name by which the most trusted source knows it."""
      name: String!
      """Its other names."""
      aliases: [String!]!
      """ISO 3166-1 alpha-2 of where it is attributed to, like RU."""
      country: String
      """What kind of adversary."""
      category: ThreatCategory!
      """What for."""
      motivation: String
      """MITRE ATT&CK techniques it was seen to use, by id."""
      techniques: [Technique!]!
      """Where it is written."""
      references: [Reference!]!
      """Who says so: mitre-attack, stix, misp-galaxy, seed, administrator."""
      sources: [String!]!
      """First known activity; the start of the year where only the year is known."""
      firstSeen: DateTime
      """Last known activity; the end of the year where only the year is known."""
      lastSeen: DateTime
      """In the words of the most trusted source."""
      description: String
    }

    """A MITRE ATT&CK technique."""
    type Technique {
      """Like T1566.001."""
      id: String!
      """Its name, where a source gave it."""
      name: String
      """Its page on the ATT&CK site."""
      url: String!
    }

    """A publication about an actor."""
    type Reference {
      """What the source calls it."""
      name: String
      """http or https; leads to a site of others."""
      url: String!
    }

    """How many actors there are of one category."""
    type ThreatCount {
      """The category."""
      category: ThreatCategory!
      """Actors of it."""
      count: Int!
    }

    ${connectionSdl('ThreatActor')}

    """A publication to record."""
    input ReferenceInput {
      """What to call it."""
      name: String
      """http or https."""
      url: String!
    }

    """A new actor."""
    input ThreatActorInput {
      """Not yet name or alias of another actor; at most 200 characters."""
      name: String!
      ${inputFields}
    }

    """A change of an actor: what is absent stays, null takes an administrator's word back."""
    input ThreatActorPatch {
      """Not yet name or alias of another actor."""
      name: String
      ${inputFields}
    }

    extend type Query {
      """How many actors are known, by category, the empty ones too."""
      threatCounts: [ThreatCount!]! @public @cached(time: STANDARD)
      """Known actors by name. The search looks into names and aliases; case, accents and punctuation do not count."""
      threatActors(category: ThreatCategory, search: String, first: Int, after: String): ThreatActorConnection!
        @public
        @cached(time: LONG)
      """One actor, or null."""
      threatActor(id: ID!): ThreatActor @public @cached(time: LONG)
    }

    extend type Mutation {
      """Adds an actor. NEKO_ERR_STORE_DUPLICATE when its name is taken."""
      addThreatActor(input: ThreatActorInput!): ThreatActor! @auth(scope: "manage")
      """Changes an actor; what sources say is kept beneath."""
      updateThreatActor(id: ID!, input: ThreatActorPatch!): ThreatActor! @auth(scope: "manage")
      """Removes an actor with all that sources said about it, and returns it. The next import may bring it again."""
      removeThreatActor(id: ID!): ThreatActor! @auth(scope: "manage")
    }
  `,
  resolvers: {
    Query: {
      async threatCounts (_parent, _args, context: GraphqlContext) {
        context.readsFrom(COUNTS)
        return orOlder(context, await context.app.intel.counts())
      },
      async threatActors (_parent, { category, search, first, after }: ActorsArguments, context: GraphqlContext) {
        context.readsFrom(listReference(category))
        const page = await context.app.intel.page({ category, search, first: pageSize(first), after })
        return orOlder(context, connection(page, page.totalCount, after ?? null))
      },
      async threatActor (_parent, { id }: { id: string }, context: GraphqlContext) {
        context.readsFrom(actorReference(id))
        const actor = await context.app.intel.get(id)
        // One that was merged into another is read from both.
        if (actor !== null && actor.id !== id) context.readsFrom(actorReference(actor.id))
        return actor
      }
    },
    Mutation: {
      addThreatActor: (_parent, { input }: { input: ActorInput }, context: GraphqlContext) =>
        context.app.intel.add(input, context.client),
      updateThreatActor: (
        _parent,
        { id, input }: { id: string, input: ActorPatch },
        context: GraphqlContext
      ) => context.app.intel.update(id, input, context.client),
      removeThreatActor: (_parent, { id }: { id: string }, context: GraphqlContext) =>
        context.app.intel.remove(id, context.client)
    },
    Technique: {
      url: ({ id }: Technique) => `https://attack.mitre.org/techniques/${id.replace('.', '/')}`
    }
  }
}

/** What was read while the store was away is good for this caller, and for nobody after. */
function orOlder<T> ({ app, mayBeOld }: GraphqlContext, read: T): T {
  if (app.intel.isOld()) mayBeOld()
  return read
}

interface ActorsArguments {
  category?: ThreatCategory | null
  search?: string | null
  first?: number | null
  after?: string | null
}
