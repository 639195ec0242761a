import type { Action } from '../decisions/shapes.ts'
import type { FactorContribution, Grade } from '../scoring/shapes.ts'

/** The receipt of one request: can be explained, and replayed when it was scored. */
export interface Assessment {
  id: string
  at: number
  client: string
  /** Canonical address (IPv6 in full, not its /64). */
  address: string
  method: string
  /** Path without query, redacted, at most 512 characters. */
  path: string
  /** The route pattern, or null. */
  route: string | null
  status: number
  score: number
  action: Action
  simulated: boolean
  source: 'thread' | 'inline' | 'none' | 'decision' | 'limit'
  degraded: boolean
  policyVersion: string
  factors: FactorContribution[]
  grade: Grade | null
  notInspected: string[]
  /** The standing decision that refused it or let it pass, or null. */
  decisionId: string | null
  /** True when `/v1/assess` made it about a request that others saw. */
  external: boolean
  /** The redacted observation, as replay needs it; null for requests refused before scoring. */
  observation: RedactedObservation | null
}

/** An Observation without its secrets. `masked` names places whose value was replaced and what they contributed. */
export interface RedactedObservation {
  method: string
  url: string
  headers: string[]
  /** Base64 of the redacted body, at most 16 KiB of bytes; null when none or too large. */
  bodyBase64: string | null
  route: string | null
  history: { [fact: string]: number } | null
  masked: string[]
}
