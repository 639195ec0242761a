import type { FactorResult, Grade, Observation } from '../shapes.ts'

/** What the payload factor says beside its value: its strongest grade, and what it could not look at. */
export interface PayloadResult extends FactorResult {
  grade: Grade | null
  notInspected: string[]
}

/** Placeholder until the payload rules stand: says nothing. */
export function inspectPayload (_observation: Observation, _options: { sensitivity: 1 | 2 | 3 | 4 }): PayloadResult {
  return { name: 'payload', value: 0, evidence: [], grade: null, notInspected: [] }
}
