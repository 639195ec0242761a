import { connection, connectionSdl, pageSize } from '../schema/connection.ts'
import type { GraphqlContext, RoomGraphql } from '../schema/context.ts'
import { NEKO_ERR_INPUT_INVALID, NEKO_ERR_UNAUTHENTICATED } from '../errors.ts'
import type { Principal, Role, SessionTokens } from './shapes.ts'

interface PageArgs { first?: number | null, after?: string | null }

/** Ids are short; a longer text is none, and is not carried into the store or the trail. */
const ID_CHARACTERS_MAX = 64

export const identityGraphql: RoomGraphql = {
  sdl: /* GraphQL */ `
    """What a person may do."""
    enum Role {
      """Scope read."""
      VIEWER
      """Scopes read, assess and decide."""
      ANALYST
      """All scopes: people, keys and actors too."""
      ADMIN
    }

    """The caller."""
    type Me {
      """Null for an API key."""
      username: String
      """Null for an API key."""
      role: Role
      """What the caller may do."""
      scopes: [String!]!
      """True when the password was given by the operator: until changePassword, the caller may do nothing else."""
      mustChangePassword: Boolean!
      """The limit that holds for the caller: relaxed or service."""
      tier: String!
    }

    """A person who may sign in."""
    type User {
      """Names the user for good."""
      id: ID!
      """The name to sign in with."""
      username: String!
      """What the user may do."""
      role: Role!
      """True when the user may not sign in."""
      disabled: Boolean!
      """When the user was made."""
      createdAt: DateTime!
      """When the user was last changed."""
      updatedAt: DateTime!
      """
      Keys that come from the user, made by hand or with another key of the user: the newest 100. Those of a disabled
      user are revoked.
      """
      apiKeys: [ApiKey!]! @auth(scope: "manage")
    }

    """An API key, without its secret."""
    type ApiKey {
      """Names the key for good; it is part of the key's text."""
      id: ID!
      """What people call it."""
      name: String!
      """What its holder may do, as far as its maker still may."""
      scopes: [String!]!
      """Who made it: user or key, and the id."""
      createdBy: String!
      """When it was made."""
      createdAt: DateTime!
      """When it ends; null: when it is revoked."""
      expiresAt: DateTime
      """When it was revoked."""
      revokedAt: DateTime
      """When it was last used, to the minute."""
      lastUsedAt: DateTime
      """Until when the secret before the last rotation holds."""
      overlapEndsAt: DateTime
    }

    """An API key with the text that is shown this once."""
    type NewApiKey {
      """The whole key, for the x-api-key header. It cannot be shown again."""
      key: String!
      """The key as it is listed."""
      apiKey: ApiKey!
    }

    """What a login or a refresh gives."""
    type SessionTokens {
      """For the Authorization header, after Bearer."""
      accessToken: String!
      """Good for one refresh. Used twice, it ends the session."""
      refreshToken: String!
      """Seconds until the access token ends."""
      expiresInSeconds: Int!
    }

    ${connectionSdl('User')}
    ${connectionSdl('ApiKey')}

    extend type Query {
      """The caller."""
      me: Me! @auth(scope: "") @cached(time: SHORT, shared: false)
      """People who may sign in."""
      users(first: Int, after: String): UserConnection! @auth(scope: "manage")
      """API keys."""
      apiKeys(first: Int, after: String): ApiKeyConnection! @auth(scope: "manage")
    }

    extend type Mutation {
      """Opens a session. Strictly limited by address; strangers to an account wait for their try."""
      login(username: String!, password: String!): SessionTokens! @public
      """Goes on with a session: new tokens for the newest refresh token. An older one ends the session."""
      refreshToken(refreshToken: String!): SessionTokens! @public
      """
      Ends the caller's session: its access tokens and its refresh tokens. False for a caller without one (an API key).
      """
      logout: Boolean! @auth(scope: "")
      """
      Sets a new password and ends all sessions of the caller, this one too. It has 12 characters or more, and is none
      of those most in use, no pattern, and not the user's own name.
      """
      changePassword(currentPassword: String!, newPassword: String!): Boolean! @auth(scope: "")
      """Makes a user. The rules of changePassword hold for the password."""
      createUser(username: String!, password: String!, role: Role!): User! @auth(scope: "manage")
      """Gives a user another role, in every process within a second."""
      setUserRole(id: ID!, role: Role!): User! @auth(scope: "manage")
      """
      Keeps a user from signing in, ends all sessions of that user and revokes all API keys that come from that user.
      """
      disableUser(id: ID!): User! @auth(scope: "manage")
      """Lets a disabled user sign in again. API keys that were revoked stay so."""
      enableUser(id: ID!): User! @auth(scope: "manage")
      """
      Makes an API key. Scopes: read, assess, decide, manage, as far as the caller holds them. It never has more than
      its maker has now, and ends when the maker is disabled; one that a key makes ends with that key too. With manage
      it ends within 90 days (after 90 when expiresAt is absent).
      """
      createApiKey(name: String!, scopes: [String!]!, expiresAt: DateTime): NewApiKey! @auth(scope: "manage")
      """
      Gives an API key a new secret; the old one holds for overlapSeconds more (a day when absent, at most 30 days). The
      key's end stays, and the new secret has no more than the key's maker and the caller have.
      """
      rotateApiKey(id: ID!, overlapSeconds: Int): NewApiKey! @auth(scope: "manage")
      """Ends an API key for good, with all keys that were made with it, in every process within a second."""
      revokeApiKey(id: ID!): ApiKey! @auth(scope: "manage")
    }
  `,
  resolvers: {
    Query: {
      me (_parent, _args, context: GraphqlContext) {
        const { kind, name, role, scopes, tier, mustChangePassword = false } = caller(context)
        return { username: kind === 'user' ? name : null, role, scopes, mustChangePassword, tier }
      },
      async users (_parent, { first, after }: PageArgs, { app }: GraphqlContext) {
        return connection(
          await app.identity.listUsers(pageSize(first), after ?? null),
          () => app.identity.countUsers(),
          after ?? null
        )
      },
      async apiKeys (_parent, { first, after }: PageArgs, { app }: GraphqlContext) {
        return connection(
          await app.identity.listApiKeys(pageSize(first), after ?? null),
          () => app.identity.countApiKeys(),
          after ?? null
        )
      }
    },
    User: {
      apiKeys: ({ id }: { id: string }, _args, { app }: GraphqlContext) => app.identity.apiKeysOf(id)
    },
    Mutation: {
      async login (
        _parent,
        { username, password }: { username: string, password: string },
        context: GraphqlContext
      ) {
        const { app, address, device, isGone } = context
        const signedIn = app.identity.login({ username, password, address, device: device.shown(), isGone })
        const { device: kept, ...tokens } = await secret(context, signedIn)
        device.keep(kept)
        return tokens
      },
      refreshToken: (_parent, { refreshToken }: { refreshToken: string }, context: GraphqlContext) =>
        secret(context, context.app.identity.refresh({ refreshToken, address: context.address })),
      logout: (_parent, _args, context: GraphqlContext) => context.app.identity.logout(caller(context)),
      async changePassword (
        _parent,
        { currentPassword, newPassword }: { currentPassword: string, newPassword: string },
        context: GraphqlContext
      ) {
        await context.app.identity.changePassword(caller(context), { currentPassword, newPassword })
        return true
      },
      createUser: (
        _parent,
        { username, password, role }: { username: string, password: string, role: Role },
        context: GraphqlContext
      ) => context.app.identity.createUser(caller(context), { username, password, role }),
      setUserRole: (_parent, { id, role }: { id: string, role: Role }, context: GraphqlContext) =>
        context.app.identity.setUserRole(caller(context), known(id), role),
      disableUser: (_parent, { id }: { id: string }, context: GraphqlContext) =>
        context.app.identity.disableUser(caller(context), known(id)),
      enableUser: (_parent, { id }: { id: string }, context: GraphqlContext) =>
        context.app.identity.enableUser(caller(context), known(id)),
      createApiKey: (
        _parent,
        { name, scopes, expiresAt }: { name: string, scopes: string[], expiresAt?: number | null },
        context: GraphqlContext
      ) =>
        secret(
          context,
          context.app.identity.createApiKey(caller(context), { name, scopes, expiresAt: expiresAt ?? null })
        ),
      rotateApiKey: (
        _parent,
        { id, overlapSeconds }: { id: string, overlapSeconds?: number | null },
        context: GraphqlContext
      ) =>
        secret(
          context,
          context.app.identity.rotateApiKey(caller(context), known(id), overlapSeconds ?? undefined)
        ),
      revokeApiKey: (_parent, { id }: { id: string }, context: GraphqlContext) =>
        context.app.identity.revokeApiKey(caller(context), known(id))
    }
  }
}

/** The directive has let nobody else through; this only says so to the types. */
function caller ({ principal }: GraphqlContext): Principal {
  if (principal === null) throw new NEKO_ERR_UNAUTHENTICATED()
  return principal
}

/** An answer that holds a credential is never compressed: its length would tell about it (BREACH). */
function secret<T extends SessionTokens | { key: string }> (context: GraphqlContext, answer: Promise<T>): Promise<T> {
  context.carriesSecret()
  return answer
}

function known (id: string): string {
  if (id.length === 0 || id.length > ID_CHARACTERS_MAX) throw new NEKO_ERR_INPUT_INVALID('id is none of ours')
  return id
}
