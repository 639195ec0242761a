import { buildSchema, isEnumType, isObjectType, isScalarType, validateSchema, type GraphQLSchema } from 'graphql'
import { authorizeSchema } from './authorize.ts'
import { baseResolvers, baseSdl } from './base.ts'
import type { RoomGraphql, SubscriptionResolver } from './context.ts'
import { boundResolvers } from './resolver-budget.ts'

/**
 * One schema from the rooms' SDL and resolvers, checked at start: a field of a root without a resolver, a resolver
 * without a field, or a schema that GraphQL refuses stops the process before it listens.
 */
export function buildNekoSchema (rooms: readonly RoomGraphql[]): GraphQLSchema {
  const schema = buildSchema([baseSdl, ...rooms.map((room) => room.sdl)].join('\n'))
  attach(schema, baseResolvers)
  for (const room of rooms) attach(schema, room.resolvers)
  countWhenAsked(schema)
  const [problem] = validateSchema(schema)
  if (problem !== undefined) throw problem
  requireRootResolvers(schema)
  boundResolvers(schema)
  authorizeSchema(schema)
  return schema
}

function attach (schema: GraphQLSchema, resolvers: Record<string, object>): void {
  for (const [typeName, fields] of Object.entries(resolvers)) {
    const type = schema.getType(typeName)
    if (isScalarType(type) || isEnumType(type)) {
      Object.assign(type, fields)
      continue
    }
    if (!isObjectType(type)) throw new Error(`resolvers name the type ${typeName}, which the SDL lacks`)
    for (const [fieldName, resolver] of Object.entries(fields)) {
      const field = type.getFields()[fieldName]
      if (field === undefined) throw new Error(`resolvers name ${typeName}.${fieldName}, which the SDL lacks`)
      if (typeof resolver === 'function') field.resolve = resolver
      else {
        const { subscribe, resolve } = resolver as SubscriptionResolver
        field.subscribe = subscribe
        if (resolve !== undefined) field.resolve = resolve
      }
    }
  }
}

/**
 * A connection counts only when asked; compiled queries do not call functions that stand for values, so a
 * resolver does.
 */
function countWhenAsked (schema: GraphQLSchema): void {
  for (const type of Object.values(schema.getTypeMap())) {
    if (!isObjectType(type) || !type.name.endsWith('Connection')) continue
    const field = type.getFields().totalCount
    if (field !== undefined) {
      field.resolve = ({ totalCount }: { totalCount: number | (() => number | Promise<number>) }) =>
        typeof totalCount === 'function' ? totalCount() : totalCount
    }
  }
}

function requireRootResolvers (schema: GraphQLSchema): void {
  for (const type of [schema.getQueryType(), schema.getMutationType(), schema.getSubscriptionType()]) {
    for (const field of Object.values(type?.getFields() ?? {})) {
      if (field.resolve === undefined && field.subscribe === undefined) {
        throw new Error(`${type?.name}.${field.name} has no resolver`)
      }
    }
  }
}
