/** What of a request can be marked as a false alarm: its signs, each with its shape. Pure. */
import { headTextOf, targetOf, withAllowances } from './allowances.ts'
import { findingsOf } from './factors/payload.ts'
import { rescore } from './rescore.ts'
import { shapeOf } from './sign-shape.ts'
import { allowanceKey } from './shapes.ts'
import type { Policy } from './policy.ts'
import type { Allowance, Evidence, FactorContribution, Grade, Observation } from './shapes.ts'

/** An allowance that would let a sign of this request pass. */
export interface AllowableSign extends Allowance {
  /** What is certain is allowed by force alone. */
  grade: Grade
  /** The sign, for a person. */
  text: string
}

/** Evidence that hardly counted did not raise the alarm, and stays forbidden. */
const ALLOWED_FROM_POINTS = 5

/**
 * All signs that raised the alarm, whatever is allowed already, each once. `observation`: what was kept of the request;
 * `isKept`: false for a place whose text was masked, where nobody knows what was found.
 */
export function allowableSigns (
  observation: Observation,
  policy: Policy,
  isKept: (place: string) => boolean
): AllowableSign[] {
  const target = targetOf(observation)
  const found = new Map<string, AllowableSign>()
  const add = ({ rule, place, grade, text }: Evidence, inspected: string | null | undefined): void => {
    if (inspected === null || inspected === undefined || !isKept(place)) return
    const sign = { rule, place, target, shape: shapeOf({ rule, grade }, inspected), grade, text }
    found.set(allowanceKey(sign), sign)
  }
  for (const factor of alarmingFactors(observation, policy)) {
    if (factor.name === 'payload') {
      for (const { finding, evidence } of findingsOf(observation)) add(evidence, finding.text)
    } else for (const one of factor.evidence) add(one, headTextOf(factor.name, one, observation))
  }
  return [...found.values()]
}

function alarmingFactors (observation: Observation, policy: Policy): FactorContribution[] {
  return rescore(observation, null, withAllowances(policy, [])).factors
    .filter(({ contribution }) => contribution >= ALLOWED_FROM_POINTS)
}
