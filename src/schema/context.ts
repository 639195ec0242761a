import type { FastifyInstance } from 'fastify'
import type { Clock } from '../std/clock.ts'
import type { Principal } from '../identity/shapes.ts'
import type { Score } from '../detect/shapes.ts'

/** The third argument of every resolver, over HTTP and over WebSocket alike. */
export interface GraphqlContext {
  app: FastifyInstance
  clock: Clock
  /** The caller; null for an anonymous one. */
  principal: Principal | null
  /** ClientKey. */
  client: string
  /** Canonical address of the caller. */
  address: string
  requestId: string
  /** Receipt of the request that carries this operation. */
  assessmentId: string | null
  /** The score of that request, known before it is executed. */
  score: Score | null
  /** The client hung up, or asked for no answer any more. */
  isGone (): boolean
  /** Names what this answer is read from, so that a change of that ends the answer where it is kept. */
  readsFrom (reference: string): void
  /** Something in this answer may be older than what is stored, since the store is away: nobody keeps it. */
  mayBeOld (): void
  device: DeviceCookie
  /** Keeps this answer from being compressed (BREACH): called by a resolver that returns a credential. */
  carriesSecret (): void
}

/** The device that a caller signed in from before, where its transport has cookies. */
export interface DeviceCookie {
  shown (): string | null
  /** Over HTTPS or at localhost; elsewhere nothing is kept. */
  keep (device: { text: string, seconds: number }): void
}

// A resolver's arguments are checked by the schema before it runs; each resolver names their type itself.
// eslint-disable-next-line @typescript-eslint/no-explicit-any
export type Resolver = (parent: any, args: any, context: GraphqlContext) => unknown

export interface SubscriptionResolver {
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  subscribe: (parent: any, args: any, context: GraphqlContext) => AsyncIterable<unknown>
  resolve?: Resolver
}
type TypeResolvers = Record<string, Resolver | SubscriptionResolver>

/** A room's part of the schema: its SDL and one line per field to its service. */
export interface RoomGraphql {
  sdl: string
  resolvers: Record<string, TypeResolvers>
}

/** The charge of an operation, and the rest of its caller's budget. */
export interface Cost { points: number, limit: number, remaining: number, resetSeconds: number }

/** An operation's context while it runs, with what the answer needs afterwards. */
export interface OperationContext extends GraphqlContext {
  /** The name under which its points are counted: its client's, or that of other sites' pages at its address. */
  countedAs: string
  method: string
  operationName: string | null
  /** The status that the answer's errors ask for, or null. */
  errorStatus: number | null
  /** The charge of the operation, once it was made. */
  cost: Cost | null
  /** When its errors say when to come back. */
  retryAfterSeconds: number | null
  /** The limit that refused it where it was not that of its requests: login, refresh, cost. */
  limited: RefusingLimit | null
  /** A login or refresh that did not hold, or that was over its limit. */
  onLoginFailed (): void
  onAttemptLimited (): void
}

/** The limit that refused an operation; `tier` is the policy's name. */
export interface RefusingLimit { tier: string, limit: number, windowSeconds: number }
