import { wholeSeconds } from './retry-after.ts'
import type { Bucket, LimitAnswer, LimitStoreName } from './shapes.ts'

/** How counts read as answers (pure): every LimitAnswer is made here. */

interface Admission extends Pick<Bucket, 'tier' | 'rate'> {
  /** With this request in it. */
  count: number
  resetSeconds: number
  store: LimitStoreName
}

export function admitted ({ tier, rate, count, resetSeconds, store }: Admission): LimitAnswer {
  return {
    allowed: true,
    tier,
    limit: rate.max,
    windowSeconds: rate.windowSeconds,
    remaining: Math.max(0, rate.max - count),
    resetSeconds,
    retryAfterSeconds: 0,
    retryAfterMs: 0,
    crossed: false,
    count,
    store
  }
}

interface Rejection extends Pick<Bucket, 'tier' | 'rate'> {
  count: number
  /** Until then one more is certainly refused. */
  retryAfterMs: number
  /** Default: the milliseconds, rounded up. The primary's own number, where it told one. */
  retryAfterSeconds?: number
  crossed: boolean
  store: LimitStoreName
}

export function refused (rejection: Rejection): LimitAnswer {
  const { tier, rate, count, retryAfterMs, crossed, store } = rejection
  const { retryAfterSeconds = wholeSeconds(retryAfterMs) } = rejection
  return {
    allowed: false,
    tier,
    limit: rate.max,
    windowSeconds: rate.windowSeconds,
    remaining: 0,
    resetSeconds: retryAfterSeconds,
    retryAfterSeconds,
    retryAfterMs,
    crossed,
    count,
    store
  }
}
