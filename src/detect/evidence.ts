import type { Evidence, FactorName, FactorResult, Grade } from './shapes.ts'

const TEXT_MAX = 160
const EVIDENCE_MAX = 8

/** Gathers a factor's signs: each says what it is worth alone (0-1); they combine as independent evidence. */
export interface Signs {
  found: Array<{ value: number, evidence: Evidence }> | null
}

/** One more sign. `text` is for a person and must not carry a secret; `value` outside 0-1 is cut. */
export function addSign (
  signs: Signs,
  value: number,
  rule: string,
  place: string,
  text: string,
  technique: string | null = null
): void {
  if (!(value > 0)) return
  const bounded = value > 1 ? 1 : value
  const evidence: Evidence = {
    rule,
    place,
    grade: gradeOf(bounded),
    text: text.length > TEXT_MAX ? text.slice(0, TEXT_MAX - 1) + '…' : text,
    technique
  }
  if (signs.found === null) signs.found = [{ value: bounded, evidence }]
  else signs.found.push({ value: bounded, evidence })
}

/** The factor's result: 1 - product of (1 - value), at most `ceiling`. */
export function resultOf (name: FactorName, signs: Signs, ceiling: number): FactorResult {
  const found = signs.found
  if (found === null) return { name, value: 0, evidence: [] }
  let rest = 1
  for (const sign of found) rest *= 1 - sign.value
  if (found.length > 1) found.sort((a, b) => b.value - a.value)
  const value = Math.min(ceiling, 1 - rest)
  return { name, value, evidence: found.slice(0, EVIDENCE_MAX).map((sign) => sign.evidence) }
}

function gradeOf (value: number): Grade {
  if (value >= 0.75) return 'certain'
  return value >= 0.4 ? 'likely' : 'weak'
}

/** Linear from 0 at `low` to 1 at `high`, cut at both ends. */
export function ramp (x: number, low: number, high: number): number {
  if (x <= low) return 0
  return x >= high ? 1 : (x - low) / (high - low)
}
