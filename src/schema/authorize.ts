import {
  defaultFieldResolver,
  getDirectiveValues,
  isObjectType,
  type GraphQLField,
  type GraphQLFieldResolver,
  type GraphQLSchema
} from 'graphql'
import type { Denial } from '../audit/denials.ts'
import { codeOf } from '../audit/shapes.ts'
import { NEKO_ERR_FORBIDDEN, NEKO_ERR_UNAUTHENTICATED } from '../errors.ts'
import { receiptOf } from './audit-receipt.ts'
import type { Principal, Scope } from '../identity/shapes.ts'
import type { GraphqlContext } from './context.ts'

/**
 * Default deny. Walks the schema once at start and puts a check in front of every root field, taken from its @public
 * or @auth directive; a field of any other type may carry @auth too. A root field without either is refused to all.
 */
export function authorizeSchema (schema: GraphQLSchema): void {
  const roots = [schema.getQueryType(), schema.getMutationType(), schema.getSubscriptionType()]
  const accessOf = accessReader(schema)
  for (const type of Object.values(schema.getTypeMap())) {
    if (!isObjectType(type) || type.name.startsWith('__')) continue
    for (const field of Object.values(type.getFields())) {
      const isRoot = roots.includes(type)
      // Events that it records belong to the request, whatever room records them.
      if (type === schema.getMutationType()) field.resolve = withinRequest(field.resolve ?? defaultFieldResolver)
      const access = accessOf(field)
      if (access === 'public' || (access === null && !isRoot)) continue
      const place = { target: `${type.name}.${field.name}`, needs: access?.scope ?? 'nobody' }
      const check = access === null
        ? refuseAll
        : (principal: Principal | null) => requireScope(principal, access.scope)
      if (type === schema.getSubscriptionType()) {
        field.subscribe = guard(field.subscribe ?? defaultFieldResolver, check, place)
      } else field.resolve = guard(field.resolve ?? defaultFieldResolver, check, place)
    }
  }
}

/** Who may use a field, as its directive says: everybody, or holders of a scope ('': any signed-in caller). */
type Access = 'public' | { scope: string }

/** Reads a field's directive; null for a field without one. */
export function accessReader (schema: GraphQLSchema): (field: GraphQLField<unknown, unknown>) => Access | null {
  const publicDirective = schema.getDirective('public')
  const authDirective = schema.getDirective('auth')
  if (!publicDirective || !authDirective) throw new Error('the base SDL lacks @public or @auth')
  return ({ astNode }) => {
    if (astNode == null) return null
    if (getDirectiveValues(publicDirective, astNode) !== undefined) return 'public'
    return getDirectiveValues(authDirective, astNode) as { scope: string } | undefined ?? null
  }
}

/**
 * @param scope a Scope, or '' for any signed-in caller.
 * @throws NEKO_ERR_UNAUTHENTICATED, NEKO_ERR_FORBIDDEN
 */
export function requireScope (principal: Principal | null, scope: string): asserts principal is Principal {
  if (principal === null) throw new NEKO_ERR_UNAUTHENTICATED()
  if (scope === '' || principal.scopes.includes(scope as Scope)) return
  throw new NEKO_ERR_FORBIDDEN(
    principal.mustChangePassword === true ? 'a password of your own: changePassword' : `the scope ${scope}`
  )
}

function refuseAll (): void {
  throw new NEKO_ERR_FORBIDDEN('a permission that nobody holds')
}

type AnyResolver = GraphQLFieldResolver<unknown, GraphqlContext>

function guard (
  resolve: AnyResolver,
  check: (principal: Principal | null) => void,
  place: Pick<Denial, 'target' | 'needs'>
): AnyResolver {
  return (parent, args, context, info) => {
    try {
      check(context.principal)
    } catch (error) {
      const { app, client, assessmentId, score } = context
      app.audit.denied({ ...place, actor: client, code: codeOf(error), ...receiptOf(assessmentId, score) })
      throw error
    }
    return resolve(parent, args, context, info)
  }
}

function withinRequest (resolve: AnyResolver): AnyResolver {
  return (parent, args, context, info) =>
    context.app.audit.within(
      receiptOf(context.assessmentId, context.score),
      () => resolve(parent, args, context, info)
    )
}
