import type { Tier } from '../identity/shapes.ts'

/** What the limiter says of one request. */
export interface LimitAnswer {
  allowed: boolean
  tier: Tier
  /** Requests per window. */
  limit: number
  windowSeconds: number
  /** Left in this window, 0 when refused. */
  remaining: number
  /** Whole seconds, at least 1, until the window is as good as empty again (or until the block ends). */
  resetSeconds: number
  /** Whole seconds, at least 1, after which one more is certainly admitted; 0 when allowed. */
  retryAfterSeconds: number
  /** True for the one request that crossed the limit; what is refused while the block lasts belongs to the same violation. */
  crossed: boolean
  /** Requests of this key in the current window, over all processes as far as known. */
  count: number
}
