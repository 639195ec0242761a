import type { FastifyRequest } from 'fastify'
import { NO_ROUTE, type Route, type Transaction } from '../../transaction/transaction.ts'

declare module 'fastify' {
  interface FastifyRequest {
    transaction: Transaction | null
    /** Its outcome was told to the walk. */
    settled: boolean
  }

  interface FastifyContextConfig {
    /** Health routes: never limited, scored or logged. */
    ungated?: boolean
    /** Answers are GraphQL. */
    graphql?: boolean
    /**
     * The scope whose holders may send a larger or streamed body here, hostile by design and so not held
     * against them.
     */
    bodyScope?: 'assess' | 'manage'
    /** Bait that only scanners ask for. */
    decoy?: boolean
    /** The handler reads the body itself (imports). */
    streamed?: boolean
  }
}

const NO_GRAPHQL_ROUTE: Route = Object.freeze({ ...NO_ROUTE, isGraphql: true })

/** By the options that Fastify keeps for each route, so that a request costs one look-up. */
const known = new WeakMap<object, Route>()

/** The facts of a request's route that the walk needs. */
export function routeOf (request: FastifyRequest): Route {
  if (request.is404) return asksGraphql(request.raw.url ?? '') ? NO_GRAPHQL_ROUTE : NO_ROUTE
  const { url, config } = request.routeOptions
  const one = known.get(config)
  if (one !== undefined) return one
  const made: Route = Object.freeze({
    pattern: url ?? null,
    isGraphql: config.graphql === true,
    isDecoy: config.decoy === true,
    bodyScope: config.bodyScope ?? null
  })
  known.set(config, made)
  return made
}

/** Also for methods that no route of /graphql takes. */
function asksGraphql (url: string): boolean {
  return url === '/graphql' || url.startsWith('/graphql?')
}
