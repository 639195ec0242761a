import type { FastifyReply } from 'fastify'
import type { Transaction } from '../../transaction/transaction.ts'

/** Fewer points are shown as 0, which says nothing. */
const POINT_MIN = 1

/**
 * Score, action and factors, for callers who may see them. A request that a standing decision refused was not scored,
 * and says so as its receipt does; a client over a limit is not called an attacker in a header. Points are rounded
 * down: 74.99 is challenged, and must not be shown as the 75 that blocks, nor a factor as more than the whole.
 */
export function showVerdict (reply: FastifyReply, transaction: Transaction): void {
  reply.headers(verdictHeaders(transaction))
}

export function verdictHeaders ({ score, verdict }: Transaction): Record<string, string | number> {
  const factors = (score?.factors ?? [])
    .filter((factor) => factor.contribution >= POINT_MIN)
    .sort((a, b) => b.contribution - a.contribution)
  const shown = factors.map((factor) => `${factor.name}=${Math.floor(factor.contribution)}`)
  return {
    'x-neko-score': Math.floor(score?.value ?? 0),
    'x-neko-action': verdict?.action ?? 'BLOCK',
    'x-neko-factors': shown.join(',')
  }
}
