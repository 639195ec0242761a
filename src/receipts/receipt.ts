import type { Verdict } from '../decisions/shapes.ts'
import type { Observation, Score } from '../detect/shapes.ts'

/** Receipts as the walk hands them in: with everything that it knew, and nothing redacted. */
/** A scored request, as the walk knew it. */
export interface Recorded {
  readonly observation: Observation
  readonly score: Score
  readonly verdict: Verdict
  readonly status: number
  readonly decisionId: string | null
  readonly address: string
  /** Wall clock, ms. */
  readonly at: number
  readonly external?: boolean
  /** False where the body was too large to be kept, so that the request cannot be scored again. */
  readonly isWhole?: boolean
}

/** A request refused before it was scored. */
export interface Refused {
  readonly id: string
  readonly at: number
  readonly client: string
  readonly address: string
  readonly method: string
  readonly url: string
  readonly source: 'decision' | 'limit'
  readonly decisionId: string | null
  readonly status: number
}

export type Receipt = Recorded | Refused
