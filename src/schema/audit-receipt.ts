import type { Receipt } from '../audit/shapes.ts'
import type { Score } from '../detect/shapes.ts'
import { decisiveFactor } from '../detect/decisive-factor.ts'

/**
 * What the audit trail says of the request that an event belongs to; the score is known before anything is
 * executed.
 */
export function receiptOf (assessmentId: string | null, score: Score | null): Receipt {
  return { assessmentId, score: score?.value ?? null, factor: decisiveFactor(score) }
}
