/**
 * Allowances: evidence that people marked as a false alarm counts for nothing at that place of that route, until the
 * allowance expires. Pure. Never about a client: what a client does over time (frequency, timing, behaviour) cannot be
 * allowed, since nobody else shares it and an attacker would.
 */
import { hashText } from './hash.ts'
import { ALLOWABLE_FACTORS, allowanceKey } from './shapes.ts'
import type { Policy } from './policy.ts'
import type { Allowance, Evidence, FactorResult, Grade } from './shapes.ts'

/** The same policy with these allowances; its version names them by a hash. */
export function withAllowances (policy: Policy, allowances: readonly Allowance[]): Policy {
  const base = policy.version.split('+', 1)[0] as string
  const { allowances: _, ...numbers } = policy
  if (allowances.length === 0) return Object.freeze({ ...numbers, version: base })
  const hash = hashText(allowances.map(allowanceKey).sort().join('\n'), 0x5bd1e995, 1_000_000)
  return Object.freeze({
    ...numbers,
    version: `${base}+${hash.toString(16).padStart(8, '0')}`,
    allowances: Object.freeze([...allowances])
  })
}

/** The results without what is allowed on this route; the same array when nothing is. */
export function applyAllowances (
  results: FactorResult[],
  route: string | null,
  allowances: readonly Allowance[]
): FactorResult[] {
  const here = allowances.filter((allowance) => allowance.route === route)
  if (here.length === 0) return results
  return results.map((result) => ALLOWABLE_FACTORS.has(result.name) ? without(result, here) : result)
}

/** The strongest grade among evidence, or null. */
export function strongestGrade (evidence: readonly Evidence[]): Grade | null {
  if (evidence.some((one) => one.grade === 'certain')) return 'certain'
  if (evidence.some((one) => one.grade === 'likely')) return 'likely'
  return evidence.length > 0 ? 'weak' : null
}

/**
 * The most that evidence says whose strongest grade is this: what is left cannot say more than the grade it
 * still has.
 */
const VALUE_MAX = { certain: 1, likely: 0.86, weak: 0.35 }

function without (result: FactorResult, allowances: readonly Allowance[]): FactorResult {
  const evidence = result.evidence.filter((one) =>
    !allowances.some((allowance) => allowance.rule === one.rule && allowance.place === one.place)
  )
  if (evidence.length === result.evidence.length) return result
  const grade = strongestGrade(evidence)
  return { ...result, evidence, value: grade === null ? 0 : Math.min(result.value, VALUE_MAX[grade]) }
}
