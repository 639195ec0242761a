import type { Decisions } from '../decisions/decisions.ts'
import { decisiveFactor } from '../detect/decisive-factor.ts'
import type { Score } from '../detect/shapes.ts'
import type { Limits } from '../limits/limiter.ts'
import { attackerOf, type Attacker, type Detection } from '../playbooks/shapes.ts'
import { redactPath, tellableEvidence } from '../receipts/redact.ts'
import { subnetOf } from '../std/ip.ts'
import { isOfOthers } from './carried.ts'
import { decidingScore } from './own-data.ts'
import type { Transaction } from './transaction.ts'
import type { UnnamedProxies } from './unnamed-proxies.ts'

/** From a transaction to a Detection, the message to playbooks: its score, and a limit that it crossed. */
export interface DetectionOptions {
  challengeThreshold: number
  shadow: boolean
  limits: Pick<Limits, 'isHeld' | 'countViolation'>
  decisions: Pick<Decisions, 'blocksNeighbour'>
  unnamedProxies: Pick<UnnamedProxies, 'kindOf'>
  /** Closed lists alone: it reaches incidents and reasons. */
  methodLabel (method: string): string
}

/**
 * Null for a transaction that says nothing of its client: no limit was crossed, and nothing of the score is notable; or
 * it is of a page of another site.
 */
export function detectionOf (transaction: Transaction, options: DetectionOptions): Detection | null {
  if (isOfOthers(transaction)) return null
  const { verdict, observation, client, limit } = transaction
  const score = decidingScore(transaction)
  const crossed = crossedLimit(transaction, options.limits)
  const exhausts600s = transaction.unjudged === 'exhausts' ? (observation?.history?.exhausts600s ?? 0) + 1 : 0
  if (score === null || verdict === null || observation === null) {
    if (limit === null || crossed === null) return null
  } else if (crossed === null && exhausts600s === 0 && !isNotable(score, options.challengeThreshold)) return null
  const attacker = attackerOf(client, transaction.address)
  // Nobody was named: a sample without an address.
  if (attacker === null) return null
  const simulated = verdict?.simulated ?? options.shadow
  return {
    assessmentId: transaction.id,
    at: transaction.at,
    attacker: widened(attacker, simulated, options.decisions),
    client,
    address: transaction.neverBlockApplies ? transaction.address : null,
    proxy: transaction.principal === null ? options.unnamedProxies.kindOf(transaction) : null,
    score: score?.value ?? 0,
    grade: score?.grade ?? null,
    degraded: score?.degraded === true,
    decoy: score?.decoy === true,
    automation: score?.automation === true,
    anomaly: score?.anomaly === true,
    action: verdict?.action ?? 'BLOCK',
    simulated,
    refused: isRefused(transaction),
    refusals600s: (observation?.history?.refused600s ?? 0) + 1,
    exhausts600s,
    method: options.methodLabel(transaction.method),
    path: redactPath(transaction.target),
    factor: decisiveFactor(score),
    evidence: score === null ? [] : tellableEvidence(score.factors, observation),
    crossed
  }
}

/** The first address of a /64 that attacks is blocked by itself, since neighbours share it; then all of it. */
function widened (attacker: Attacker, simulated: boolean, decisions: DetectionOptions['decisions']): Attacker {
  const { scope, value } = attacker
  if (scope !== 'IP' || !value.includes(':') || !decisions.blocksNeighbour(value, simulated)) return attacker
  return { scope: 'RANGE', value: subnetOf(value) }
}

/** By its score, also where it is only simulated. A sample's decoy would have answered its bait. */
function isRefused ({ authority, refusedBy, verdict, score }: Transaction): boolean {
  if (refusedBy === 'score') return true
  if (verdict?.action !== 'BLOCK') return false
  return verdict.simulated || (authority === 'sample' && score?.decoy !== true)
}

function isNotable (score: Score, challengeThreshold: number): boolean {
  return score.value >= challengeThreshold || score.decoy === true || score.automation === true ||
    score.anomaly === true
}

/** A violation is one crossing of a limit; the rate that a challenge imposes never counts. */
function crossedLimit (
  { client, limit, attemptLimited }: Transaction,
  limits: DetectionOptions['limits']
): Detection['crossed'] {
  if (attemptLimited) {
    const violations600s = limits.countViolation(client, { tier: 'strict', attempt: true })
    return { tier: 'strict', key: client, attempt: true, violations600s }
  }
  if (limit === null || !limit.crossed || limits.isHeld(client)) return null
  const { tier } = limit
  return { tier, key: client, attempt: false, violations600s: limits.countViolation(client, { tier, attempt: false }) }
}
