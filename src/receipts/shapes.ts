import type { Action } from '../decisions/shapes.ts'
import type { AllowableSign } from '../detect/allowable.ts'
import type { FactorContribution, FactorName, Grade } from '../detect/shapes.ts'
import type { CollectionDefinition } from '../storage/port.ts'

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

/** An Observation without its secrets, as replay needs it. */
export interface RedactedObservation {
  method: string
  url: string
  headers: string[]
  /** Base64 of the redacted body, at most 16 KiB of bytes; null when none, or when it is listed in `masked`. */
  bodyBase64: string | null
  route: string | null
  history: { [fact: string]: number } | null
  /** Places whose value was replaced by its shape (letters a, digits 0) or left out. */
  masked: MaskedPlace[]
}

/**
 * A place that was masked, and the factors that found something there: replay takes their contribution from
 * the receipt.
 */
export interface MaskedPlace {
  place: string
  factors: FactorName[]
}

/** An Assessment in the store. */
export interface StoredAssessment extends Assessment {
  expiresAt: number
  /** By which version of the rules it was redacted; absent in those of before there were versions (cleaning.ts). */
  redaction?: number
}

export const assessmentCollection: CollectionDefinition = {
  name: 'assessments',
  expiryField: 'expiresAt',
  indexes: [
    { name: 'assessments_at', fields: [['at', -1]] },
    { name: 'assessments_action', fields: [['action', 1], ['at', -1]] },
    { name: 'assessments_redaction', fields: [['redaction', 1]] }
  ]
}

/** An expiring allowance for one sign (detect/allowances.ts), never for a client. */
export interface StoredAllowance extends AllowableSign {
  /** The same for the same sign: whoever marks it again prolongs it. */
  id: string
  /** `user:<id>` or `key:<id>`. */
  origin: string
  assessmentId: string
  createdAt: number
  expiresAt: number
}

export const allowanceCollection: CollectionDefinition = {
  name: 'allowances',
  expiryField: 'expiresAt',
  versionFields: { madeAt: 'createdAt', endsAt: 'expiresAt' },
  // One that was removed must not come back from a copy of the past.
  primaryReads: true,
  indexes: [{ name: 'allowances_created', fields: [['createdAt', -1]] }]
}

/** Of a message or a document: those of versions without a target and a shape held for whole routes, and have ended. */
export function isBoundAllowance (one: unknown): one is StoredAllowance {
  const { id, expiresAt } = (one ?? {}) as { [field: string]: unknown }
  return typeof id === 'string' && typeof expiresAt === 'number' && isAllowableSign(one)
}

/** Of a message. */
export function isAllowableSign (one: unknown): one is AllowableSign {
  const { rule, place, target, shape, grade, text } = (one ?? {}) as { [field: string]: unknown }
  return [rule, place, target, shape, grade, text].every((field) => typeof field === 'string')
}

export const assessmentCollections: CollectionDefinition[] = [assessmentCollection, allowanceCollection]

/** The figures of a window, over all processes. */
export interface Stats {
  windowSeconds: number
  requests: number
  byAction: Array<{ action: Action, count: number }>
  scoreP50: number
  scoreP95: number
  scoreP99: number
  /** Points that each factor gives on average, largest first; those that gave none are left out. */
  topFactors: Array<{ name: FactorName, contribution: number }>
}

/** A factor with its evidence as sentences: what GraphQL and `/v1/assess` show. */
export function showFactor (
  { name, contribution, evidence }: Assessment['factors'][number]
): { name: string, contribution: number, evidence: string[] } {
  return { name, contribution, evidence: evidence.map((one) => one.text) }
}
