import type { FastifyReply } from 'fastify'
import type { Transaction } from '../../transaction/transaction.ts'

/** Fewer points are shown as 0, which says nothing. */
const POINT_MIN = 0.5

/**
 * Score, action and factors, for callers who may see them. A request that a standing decision refused was not scored,
 * and says so as its receipt does; a client over a limit is not called an attacker in a header.
 */
export function showVerdict (reply: FastifyReply, { score, verdict }: Transaction): void {
  const factors = (score?.factors ?? [])
    .filter((factor) => factor.contribution >= POINT_MIN)
    .sort((a, b) => b.contribution - a.contribution)
  reply.header('x-neko-score', Math.round(score?.value ?? 0))
  reply.header('x-neko-action', verdict?.action ?? 'BLOCK')
  const shown = factors.map((factor) => `${factor.name}=${Math.round(factor.contribution)}`)
  reply.header('x-neko-factors', shown.join(','))
}
