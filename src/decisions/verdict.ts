import type { Score } from '../detect/shapes.ts'
import type { Action, Decision, Verdict } from './shapes.ts'

/** The configuration that a verdict depends on. */
export interface Thresholds { challenge: number, block: number, shadow: boolean }

/**
 * Score and standing decision to Verdict (pure).
 *
 * A person's allow lifts a block by score; a standing challenge raises an allow. A degraded score never blocks: a
 * missing measurement is no evidence, so the risky are challenged instead (deploy/reference.md, "When something is
 * missing"), and a request that writes is risky. A certain sign of its raw bytes is a measurement.
 */
export function decideVerdict (
  { score, decision, method, thresholds }: {
    score: Score,
    decision: Decision | null,
    method: string,
    thresholds: Thresholds
  }
): Verdict {
  const standing = decision !== null && !decision.simulated ? decision.action : null
  return {
    action: standing === 'ALLOW' ? 'ALLOW' : raise(byScore(score, method, thresholds), standing),
    simulated: thresholds.shadow
  }
}

function byScore (score: Score, method: string, { challenge, block }: Thresholds): Action {
  if (score.degraded && score.grade === 'certain' && score.value >= block) return 'BLOCK'
  const writes = method !== 'GET' && method !== 'HEAD'
  if (score.degraded) return score.value >= challenge || (writes && score.source === 'none') ? 'CHALLENGE' : 'ALLOW'
  if (score.value >= block) return 'BLOCK'
  return score.value >= challenge ? 'CHALLENGE' : 'ALLOW'
}

function raise (action: Action, standing: Action | null): Action {
  return standing === 'CHALLENGE' && action === 'ALLOW' ? 'CHALLENGE' : action
}
