import type { Playbook, PlaybookCondition, Detection, Step } from './shapes.ts'

/** CHALLENGE_THRESHOLD and BLOCK_THRESHOLD. */
export interface ScoreThresholds { challenge: number, block: number }

/** Which playbooks a detection fires, in their order of priority, with the steps that are left to each (pure). */
export interface Match { playbook: Playbook, steps: Step[] }

/** Violations within ten minutes that are more than impatience. */
const VIOLATIONS_MIN = 3

/**
 * One blocking run per request: the first that blocks keeps its block, later ones record. STANDARD_MONITORING is for
 * requests that fire nothing else.
 */
export function matchPlaybooks (
  detection: Detection,
  playbooks: readonly Playbook[],
  thresholds: ScoreThresholds
): Match[] {
  const matches: Match[] = []
  let blocked = false
  for (const playbook of playbooks) {
    const isMet = [playbook.when, playbook.orWhen].some((when) =>
      when !== undefined && holds(when, detection, thresholds)
    )
    if (!isMet) continue
    if (!playbook.opensIncident && matches.length > 0) continue
    const steps = stepsOf(playbook, detection, thresholds).filter((step) => step.do !== 'block' || !blocked)
    blocked ||= steps.some((step) => step.do === 'block')
    matches.push({ playbook, steps })
  }
  return matches
}

/**
 * For how long a violation of a limit is answered by the limit itself, in seconds: 0 when that depends on more than
 * the violation.
 */
export function violationSeconds (playbooks: readonly Playbook[]): number {
  const unconditional = playbooks.filter(({ when }) => when.limitViolation === true && Object.keys(when).length === 1)
  return Math.max(
    0,
    ...unconditional.flatMap(({ steps }) => steps.map((step) => step.do === 'limit' ? step.seconds : 0))
  )
}

/** The steps whose own condition, if they have one, holds too; of its blocks the first. */
export function stepsOf (playbook: Playbook, detection: Detection, thresholds: ScoreThresholds): Step[] {
  const due = playbook.steps.filter((step) =>
    step.do !== 'block' || step.when === undefined || holds(step.when, detection, thresholds)
  )
  const block = due.find((step) => step.do === 'block')
  return due.filter((step) => step.do !== 'block' || step === block)
}

/** A score that is only the cheap one is no evidence for what stands: it reaches no threshold but the lowest. */
function holds (when: PlaybookCondition, detection: Detection, { challenge, block }: ScoreThresholds): boolean {
  const measured = detection.degraded !== true
  return (when.scoreAtLeast === undefined || (measured && detection.score >= when.scoreAtLeast)) &&
    (when.challengingScore !== true || detection.score >= challenge) &&
    (when.blockingScore !== true || (measured && detection.score >= block)) &&
    (when.certainEvidence !== true || (measured && detection.grade === 'certain')) &&
    (when.decoy !== true || detection.decoy) &&
    (when.automation !== true || detection.automation) &&
    (when.anomaly !== true || detection.anomaly) &&
    (when.refusals600sAtLeast === undefined ||
      (detection.refused && detection.refusals600s >= when.refusals600sAtLeast)) &&
    (when.exhausts600sAtLeast === undefined || detection.exhausts600s >= when.exhausts600sAtLeast) &&
    (when.limitViolation !== true ||
      (detection.crossed !== null &&
        (detection.crossed.attempt || detection.crossed.violations600s >= VIOLATIONS_MIN)))
}
