import { GraphQLError, Kind } from 'graphql'

/**
 * SDL that every room may use: scalars, directives, the enums that several rooms share, and the three roots that
 * rooms extend. A root field carries @public or @auth; one that carries neither is refused to everybody, and
 * one without @cached is answered anew each time.
 */
export const baseSdl = /* GraphQL */ `
  """RFC 3339 date and time in UTC, like 2026-11-21T09:30:00.000Z."""
  scalar DateTime

  """Open to everybody, at the anonymous tier."""
  directive @public on FIELD_DEFINITION

  """
  Open to callers who hold the scope: read, assess, decide or manage. The empty string asks for any signed-in
  caller.
  """
  directive @auth(scope: String!) on FIELD_DEFINITION

  """For how long an answer may be kept."""
  enum CacheTime {
    """CACHE_TTL."""
    STANDARD
    """CACHE_TTL_SHORT."""
    SHORT
    """CACHE_TTL_MEDIUM."""
    MEDIUM
    """CACHE_TTL_LONG."""
    LONG
    """Ten seconds: figures."""
    STATS
    """An hour: what changes with a release alone."""
    STATIC
  }

  """
  An answer of this field may be kept, for the caller's role and scopes where it is shared, and else for the caller.
  Fields without it are never kept.
  """
  directive @cached(time: CacheTime!, shared: Boolean! = true) on FIELD_DEFINITION

  """What to do with a request or a client."""
  enum Action {
    """Let it pass."""
    ALLOW
    """Let it pass and mark it."""
    CHALLENGE
    """Refuse it."""
    BLOCK
  }

  """Where a page stands in its list."""
  type PageInfo {
    """True when more follow."""
    hasNextPage: Boolean!
    """True when this page began after a cursor."""
    hasPreviousPage: Boolean!
    """Cursor of the first item."""
    startCursor: String
    """Cursor of the last item: pass it as \`after\`."""
    endCursor: String
  }

  """What can be read."""
  type Query

  """What can be changed."""
  type Mutation

  """What can be followed live (graphql-transport-ws)."""
  type Subscription
`

export const baseResolvers = {
  DateTime: {
    serialize (value: unknown): string {
      const date = new Date(value as number)
      if (Number.isNaN(date.getTime())) throw new GraphQLError('DateTime cannot show this value')
      return date.toISOString()
    },
    parseValue: parseDateTime,
    parseLiteral (node: { kind: string, value?: unknown }): number {
      return parseDateTime(node.kind === Kind.STRING ? node.value : null)
    }
  }
}

const RFC_3339 = /^(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)$/

/**
 * Takes RFC 3339 with an offset, gives ms since the epoch: a date without an offset would mean another time
 * on another machine.
 */
function parseDateTime (value: unknown): number {
  if (typeof value === 'string' && RFC_3339.test(value)) {
    const ms = Date.parse(value)
    const day = Number(value.slice(8, 10))
    if (!Number.isNaN(ms) && day <= daysIn(Number(value.slice(0, 4)), Number(value.slice(5, 7)))) return ms
  }
  throw new GraphQLError('DateTime takes RFC 3339, like 2026-11-21T09:30:00Z', {
    extensions: { code: 'NEKO_ERR_INPUT_INVALID' }
  })
}

/** Date.parse rolls 31 February over into March; RFC 3339 does not. */
function daysIn (year: number, month: number): number {
  return new Date(Date.UTC(year, month, 0)).getUTCDate()
}
