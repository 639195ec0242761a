import type { LimitAnswer } from '../limits/shapes.ts'

/** A limit as its client is told of it; `tier` is the policy's name. */
type ShownLimit = Pick<LimitAnswer, 'limit' | 'remaining' | 'resetSeconds' | 'windowSeconds'> & { tier: string }

/** The customary headers beside the IETF's (draft-ietf-httpapi-ratelimit-headers). */
export function limitHeaders (
  { tier, limit, remaining, resetSeconds, windowSeconds }: ShownLimit
): Record<string, string | number> {
  return {
    'x-ratelimit-limit': limit,
    'x-ratelimit-remaining': remaining,
    'x-ratelimit-reset': resetSeconds,
    'ratelimit-policy': `"${tier}";q=${limit};w=${windowSeconds}`,
    ratelimit: `"${tier}";r=${remaining};t=${resetSeconds}`
  }
}
