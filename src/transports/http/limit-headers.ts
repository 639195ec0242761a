import type { FastifyReply } from 'fastify'
import type { LimitAnswer } from '../../limits/shapes.ts'

/** What a limit says of itself to its client; `tier` is the policy's name. */
export type ShownLimit = Pick<LimitAnswer, 'limit' | 'remaining' | 'resetSeconds' | 'windowSeconds'> & { tier: string }

/**
 * The customary headers beside the IETF's (draft-ietf-httpapi-ratelimit-headers). Later calls replace what
 * earlier ones said.
 */
export function showLimit (
  reply: FastifyReply,
  { tier, limit, remaining, resetSeconds, windowSeconds }: ShownLimit
): void {
  reply.header('x-ratelimit-limit', limit)
  reply.header('x-ratelimit-remaining', remaining)
  reply.header('x-ratelimit-reset', resetSeconds)
  reply.header('ratelimit-policy', `"${tier}";q=${limit};w=${windowSeconds}`)
  reply.header('ratelimit', `"${tier}";r=${remaining};t=${resetSeconds}`)
}
