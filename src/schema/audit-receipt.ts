import type { Receipt } from '../audit/shapes.ts'
import type { Score } from '../detect/shapes.ts'
import { decisiveFactor } from '../detect/decisive-factor.ts'

/**
 * The receipt of the request that an audit event belongs to; the score is known before anything is
 * executed.
 */
export function receiptOf (assessmentId: string | null, score: Score | null): Receipt {
  return { assessmentId, score: score?.value ?? null, factor: decisiveFactor(score) }
}
