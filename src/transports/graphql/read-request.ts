import type { FastifyRequest } from 'fastify'
import { NEKO_ERR_BODY_INVALID, NEKO_ERR_MEDIA_UNSUPPORTED } from '../../errors.ts'

/** An operation as GraphQL over HTTP carries it. */
export interface GraphqlRequest {
  query: string
  variables: Record<string, unknown> | null
  operationName: string | null
}

/**
 * The members of a GET. Keys of JSON in a query string are checked here; those of bodies were by own-keys.ts of the
 * HTTP transport.
 */
export function readQuery (request: FastifyRequest): Record<string, unknown> {
  const query = request.query as Record<string, unknown>
  const [variables, extensions] = ['variables', 'extensions'].map((name) => fromJson(query[name], name))
  request.server.refuseKeys(request, { variables, extensions }, 'query')
  return { query: query.query, operationName: query.operationName, variables, extensions }
}

function fromJson (value: unknown, name: string): unknown {
  if (value === undefined || value === '') return undefined
  if (typeof value !== 'string') throw new NEKO_ERR_BODY_INVALID(`${name} must be given once, as JSON`)
  try {
    return JSON.parse(value)
  } catch {
    throw new NEKO_ERR_BODY_INVALID(`${name} must be JSON`)
  }
}

export function readBody (request: FastifyRequest): object {
  const type = (request.headers['content-type'] ?? '').split(';', 1)[0]?.trim().toLowerCase()
  if (type !== 'application/json' && type !== 'application/graphql') throw new NEKO_ERR_MEDIA_UNSUPPORTED()
  return isPlainObject(request.body) || Array.isArray(request.body) ? request.body : refuseMember()
}

export function refuseMember (): never {
  throw new NEKO_ERR_BODY_INVALID('it must be one JSON object with a query')
}

/** @throws NEKO_ERR_BODY_INVALID when a member has another type than GraphQL over HTTP gives it. */
export function readMembers ({ query, variables, operationName, extensions }: Record<string, unknown>): GraphqlRequest {
  if (typeof query !== 'string' || query === '') throw new NEKO_ERR_BODY_INVALID('query must be a text')
  if (operationName !== undefined && operationName !== null && typeof operationName !== 'string') {
    throw new NEKO_ERR_BODY_INVALID('operationName must be a text')
  }
  if (!isObjectOrNothing(variables)) throw new NEKO_ERR_BODY_INVALID('variables must be an object')
  if (!isObjectOrNothing(extensions)) throw new NEKO_ERR_BODY_INVALID('extensions must be an object')
  return {
    query,
    variables: (variables ?? null) as GraphqlRequest['variables'],
    operationName: operationName === '' ? null : operationName ?? null
  }
}

function isObjectOrNothing (value: unknown): boolean {
  return value === undefined || value === null || isPlainObject(value)
}

export function isPlainObject (value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
