import type { Decision, Verdict } from '../decisions/shapes.ts'
import type { Principal } from '../identity/shapes.ts'
import type { LimitAnswer } from '../limits/shapes.ts'
import type { Observation, Score } from '../detect/shapes.ts'

/** One request's way through the gate: what each hop came back with. */
export interface Passage {
  /** The assessment's id, minted first. */
  readonly id: string
  /** Monotonic, ms. */
  readonly startedMs: number
  /** Wall clock, ms. */
  readonly at: number
  /** Canonical address of the client; the peer's when there is no proxy to believe. */
  readonly address: string
  /**
   * False where NEVER_BLOCK does not look at the address: its default, for a peer that TRUST_PROXY does not
   * name and that sent X-Forwarded-For.
   */
  readonly covered: boolean
  /** ClientKey. */
  client: string
  principal: Principal | null
  /** Why a shown credential did not hold, or null. */
  credentialRefused: string | null
  limit: LimitAnswer | null
  /** The raw bytes as received, given again to Fastify's parser; null when the gate read none. */
  body: Buffer | null
  observation: Observation | null
  score: Score | null
  verdict: Verdict | null
  /** The standing decision that refused the request or let it pass. */
  decision: Decision | null
  refusedBy: 'decision' | 'limit' | 'score' | null
  /** The body is what others sent (assess, imports), from a caller who may hand it in: it is not scored. */
  bodyIsOthers: boolean
  /** The handler found a login or refresh that did not hold. */
  loginFailed: boolean
  /** A login or refresh over the strict tier. */
  attemptLimited: boolean
  /** The handler found nothing, though it answers 200 as GraphQL does. */
  nothingFound: boolean
  /** Playbooks were told, by whoever answers slowly on purpose. */
  sighted: boolean
}

declare module 'fastify' {
  interface FastifyRequest {
    passage: Passage | null
    /** The aftermath has run. */
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
