/** Shapes of scoring: what we saw (Observation), what a measure says (FactorResult), what it comes to (Score). */
import type { HistorySnapshot } from './history-shapes.ts'

export const FACTOR_NAMES = ['frequency', 'userAgent', 'endpoint', 'headers', 'timing', 'payload', 'behavior'] as const
export type FactorName = typeof FACTOR_NAMES[number]

/** Flat, bounded, cloneable; the only input of the scorer. Bytes are as they came over the wire. */
export interface Observation {
  /** The assessment's id. */
  id: string
  /** Wall clock, ms. */
  at: number
  /** ClientKey: `user:<id>`, `key:<id>` or `ip:<canonical address>`. */
  client: string
  method: string
  /** The request target exactly as on the wire. */
  url: string
  /** name, value, name, value ... in wire order, repeats kept. */
  headers: string[]
  /** Raw bytes, not decompressed; null when there were none. */
  body: Uint8Array | null
  /** The route pattern that answers, or null for an unknown route. */
  route: string | null
  /** The client's requests before this one, or null when scored without history (`/v1/assess` without ip). */
  history: HistorySnapshot | null
}

/** certain: no ordinary reading; likely: attack structure that prose or code may contain; weak: a sign. */
export type Grade = 'certain' | 'likely' | 'weak'

export interface Evidence {
  /** Stable id of the rule, like `sqli.union-select`. */
  rule: string
  /** Where, like `query.q`, `body.user.name`, `variables.input.name`, `header.user-agent`, `path`. */
  place: string
  grade: Grade
  /** For a person, never with a secret: `matched "union select" in variables.input.name`. At most 160 characters. */
  text: string
  /** MITRE ATT&CK technique, or null. */
  technique: string | null
}

export interface FactorResult {
  name: FactorName
  /** 0-1. */
  value: number
  /** Strongest first, at most 8. */
  evidence: Evidence[]
}

export interface FactorContribution {
  name: FactorName
  /** Points of the score; the seven add up to it exactly (in hundredths, integer arithmetic). */
  contribution: number
  evidence: Evidence[]
}

/** Head: URL, headers and cookies; body: the body. */
export type Beyond = 'head' | 'body'

export interface Score {
  /** 0-100, two decimals. */
  value: number
  /** All seven, in FACTOR_NAMES order. */
  factors: FactorContribution[]
  /** The strongest grade of payload evidence, or null. */
  grade: Grade | null
  /** 0-1: what the payload factor says by itself; its contribution is a share of the whole. */
  payloadValue: number
  /** True when a decoy was touched. */
  decoy: boolean
  /** True when automation signs reach the policy's bar (AUTOMATION_DETECTED). */
  automation: boolean
  /** True when behaviour signs reach the policy's bar (BEHAVIORAL_ANOMALY). */
  anomaly: boolean
  policyVersion: string
  /** Parts that were not inspected and why, like `body: 1 MiB over the 64 KiB bound`. */
  notInspected: string[]
  /**
   * Something that the client put into this part of the request lies beyond our bounds and was not read; the body wins.
   * Null: all was read, or was left out on purpose (`notInspected` says what).
   */
  beyond: Beyond | null
  source: 'thread' | 'inline' | 'none'
  /** True when this is the cheap answer. */
  degraded: boolean
}

/** One sign that counts for nothing: a rule, at a place of a target, in a text of a shape (allowances.ts). */
export interface Allowance {
  rule: string
  place: string
  /** `route /catalog`, or `path /old/report` where no route of ours answers. */
  target: string
  /** See sign-shape.ts. */
  shape: string
}

/** Shapes that are allowed, by rule and place, of one target. */
export type TargetAllowances = ReadonlyMap<string, ReadonlySet<string>>
/** By target. */
export type AllowanceTable = ReadonlyMap<string, TargetAllowances>

/** One allowance, one text: two that say the same are one. */
export function allowanceKey ({ rule, place, target, shape }: Allowance): string {
  return JSON.stringify([rule, place, target, shape])
}
