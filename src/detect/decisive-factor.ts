import type { FactorName, Score } from './shapes.ts'

/** The factor with the largest contribution, or null when the score is 0 or there is none. Pure. */
export function decisiveFactor (score: Pick<Score, 'factors'> | null): FactorName | null {
  let name: FactorName | null = null
  let largest = 0
  for (const factor of score?.factors ?? []) {
    if (factor.contribution <= largest) continue
    largest = factor.contribution
    name = factor.name
  }
  return name
}
