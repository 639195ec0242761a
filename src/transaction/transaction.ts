import type { Decision, Verdict } from '../decisions/shapes.ts'
import type { Observation, Score } from '../detect/shapes.ts'
import type { CredentialHeaders } from '../identity/identity.ts'
import type { Principal, Scope } from '../identity/shapes.ts'
import type { LimitAnswer } from '../limits/shapes.ts'
import type { Unjudged } from '../threads/shapes.ts'

/**
 * One request on its walk: plain data that no transport owns. A transport begins it with what it read from its wire,
 * hands it from call to call (walk.ts), and answers what they say.
 */

/** Which series of receipt ids a transaction's id belongs to, and which words its log line speaks. */
export type Door = 'http' | 'websocket' | 'assess'

/**
 * The weight of a request's words. `caller`: somebody asks us, with credentials, limits and consequences.
 * `sample`: a request that others saw and handed in; no credential of it is read, nothing is refused, and
 * only one that `acts` has consequences.
 */
export type Authority = 'caller' | 'sample'

/** A peer that forwards for others and is not in TRUST_PROXY, by the kind of its own address. */
export type UnnamedProxy = 'private' | 'public'

/** Facts of the route that was asked for, made once per route by its transport. */
export interface Route {
  /** As the router knows it, `/v1/things/:id`; null where no route of ours fits. */
  readonly pattern: string | null
  /** Refusals are GraphQL errors, and a document may name decoys: also for methods that no route of /graphql takes. */
  readonly isGraphql: boolean
  /** Bait that only scanners ask for. */
  readonly isDecoy: boolean
  /** The scope whose holders may hand in other people's requests here, hostile by design; null elsewhere. */
  readonly bodyScope: Scope | null
}

/** A request as its transport read it, before its body. */
export interface Arrival {
  readonly door: Door
  readonly authority: Authority
  /** Of a sample: it counts in its client's history, and playbooks hear of it. */
  acts: boolean
  /** Canonical address of the client, without proxies; null for a sample that names none. */
  readonly address: string | null
  /** False where NEVER_BLOCK does not look at the address: its default, for a peer whose forwarding we do not trust. */
  readonly neverBlockApplies: boolean
  /** Null where the address is not that of an unnamed proxy. */
  readonly unnamedProxy: UnnamedProxy | null
  readonly method: string
  /** The request target as it stood on the wire. */
  readonly target: string
  /** Names and values in turn, as received. */
  readonly headers: readonly string[]
  readonly route: Route
  /** The credential that was shown, to be checked by `admit`; null when there was none. */
  readonly shown: CredentialHeaders | null
  /** ClientKey of whoever hands in a sample: its work is theirs. Null for a caller. */
  readonly submitter: string | null
  /** The holder of a connection that was authenticated when it was opened. */
  readonly holder: Principal | null
}

/** Nothing of ours stands at this address. */
export const NO_ROUTE: Route = Object.freeze({ pattern: null, isGraphql: false, isDecoy: false, bodyScope: null })

export interface Transaction extends Arrival {
  /** The assessment's id, minted first. */
  readonly id: string
  /** Monotonic, ms. */
  readonly startedMs: number
  /** Wall clock, ms. */
  readonly at: number
  /** That of the request that it stands for, where that is another than the one on the wire. */
  target: string
  /** ClientKey. */
  client: string
  principal: Principal | null
  /** Why a shown credential did not hold, or null. */
  credentialRefused: string | null
  /** A page of another site may have made a browser send it: nothing that comes of it is held against its client. */
  crossSite: boolean
  /** It would be refused for its Cookie or Referer alone (carried.ts): nothing of that is held against its client. */
  refusedForCarried: boolean
  limit: LimitAnswer | null
  /** The standing decision that refused the request or let it pass. */
  decision: Decision | null
  /** From a blocked address, and read because it may be a login or refresh: what is neither is refused. */
  signsIn: boolean
  /** The body holds other people's requests, from a caller who may hand them in: it is not scored. */
  submittedSample: boolean
  /** The raw bytes as received; null when none were read. */
  body: Uint8Array | null
  observation: Observation | null
  score: Score | null
  /** The score without what an authorised caller wrote as data: what follows, follows from it. Null: from `score`. */
  scoreWithoutData: Score | null
  /** What is held against a signed-in caller whose operation was refused or challenged (held-score.ts). Null: all. */
  heldScore: Score | null
  verdict: Verdict | null
  /** Why it has no verdict of its own, or null. */
  unjudged: Unjudged | null
  /** `unjudged`: it could not be judged, or holds what nobody reads here. */
  refusedBy: 'decision' | 'limit' | 'score' | 'unjudged' | null
  /** A login or refresh that did not hold, found by the handler. */
  loginFailed: boolean
  /** A login or refresh over the strict tier, found by the handler. */
  attemptLimited: boolean
  /** Playbooks were told. */
  responded: boolean
}

/** How the reading of a body ended: all of it, more than the route takes, or too slowly. */
type BodyEnd = 'whole' | 'over' | 'slow'

/** A body as its transport read it. */
export interface Body { readonly bytes: Uint8Array | null, readonly end: BodyEnd }

/** The end of a request, once its answer has left. */
export interface Outcome {
  /** As HTTP has it; 0 for a sample. */
  readonly status: number
  /** The thing asked for does not exist, though the status does not say so. */
  readonly notFound?: boolean
  /** The transport's part of the log line; absent where a request leaves none. */
  readonly logLine?: LogLine
}

/** What only the transport knows of a request's line. */
export interface LogLine {
  readonly requestId: string | null
  /** Of a closed list (methodLabel), or WS. */
  readonly method: string
  readonly route: string | null
  readonly status: number
  /** From its first byte to its answer; null where nobody measured it. */
  readonly ms: number | null
}
