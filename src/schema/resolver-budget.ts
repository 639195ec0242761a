import { isObjectType, type GraphQLFieldResolver, type GraphQLSchema } from 'graphql'
import { NEKO_ERR_TIMEOUT } from '../errors.ts'
import { withDeadline } from '../std/deadline.ts'

/**
 * A resolver has 3 s: more than one call of the database may take (2 s), less than a handler (10 s). What
 * comes later is dropped; the caller of a mutation is told that it took too long, not that nothing was done.
 *
 * Subscriptions last as long as somebody listens, and `assess` scores up to a hundred requests: the handler's
 * budget is theirs.
 */
const RESOLVER_MS = 3_000
const UNBOUNDED = new Set(['Mutation.assess'])
/** A login may wait five seconds for its turn before it does the work of a resolver. */
const LINE_MS = 5_000
const WAITING = new Set(['Mutation.login'])

/** Bounds every resolver of the schema that answers with a promise. @throws (the resolvers) NEKO_ERR_TIMEOUT */
export function boundResolvers (schema: GraphQLSchema, ms = RESOLVER_MS): void {
  for (const type of Object.values(schema.getTypeMap())) {
    if (!isObjectType(type) || type === schema.getSubscriptionType() || type.name.startsWith('__')) continue
    for (const [name, field] of Object.entries(type.getFields())) {
      if (field.resolve !== undefined && !UNBOUNDED.has(`${type.name}.${name}`)) {
        field.resolve = bounded(field.resolve, WAITING.has(`${type.name}.${name}`) ? ms + LINE_MS : ms)
      }
    }
  }
}

type AnyResolver = GraphQLFieldResolver<unknown, unknown>

function bounded (resolve: AnyResolver, ms: number): AnyResolver {
  return (parent, args, context, info) => {
    const value = resolve(parent, args, context, info)
    return value instanceof Promise ? withDeadline(value, ms, () => new NEKO_ERR_TIMEOUT()) : value
  }
}
