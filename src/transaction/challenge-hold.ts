import type { Limits } from '../limits/limiter.ts'
import type { Transaction } from './transaction.ts'

/** Three challenges within ten minutes hold a client to the strict rate for ten. */
const CHALLENGES_TO_HOLD = 3
const HOLD_MS = 600_000

/**
 * Where a challenge becomes a hold: at the third of one client, this one included. In shadow nobody is held, and no
 * proxy that TRUST_PROXY lacks: its clients may be everybody.
 */
export function holdAfterChallenges (
  { client, principal, unnamedProxy, verdict, observation, crossSite }: Transaction,
  limits: Pick<Limits, 'hold'>
): void {
  if (verdict?.action !== 'CHALLENGE' || verdict.simulated || crossSite) return
  if (unnamedProxy === 'private' && principal === null) return
  const before = observation?.history?.challenged600s ?? 0
  if (before + 1 >= CHALLENGES_TO_HOLD) limits.hold(client, HOLD_MS)
}
