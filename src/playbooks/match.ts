import type { Playbook, PlaybookCondition, Sighting, Step } from './shapes.ts'

/** Which playbooks a sighting fires, in their order of priority, with the steps that are left to each (pure). */
export interface Match { playbook: Playbook, steps: Step[], /** True for the one run that may block. */ blocks: boolean }

/** Violations within ten minutes that are more than impatience. */
const VIOLATIONS_MIN = 3

/**
 * One blocking run per request: the first that blocks keeps its block, later ones record. STANDARD_MONITORING is for
 * what nothing else says: it fires only alone.
 */
export function matchPlaybooks (sighting: Sighting, playbooks: readonly Playbook[], blockThreshold: number): Match[] {
  const matches: Match[] = []
  let blocked = false
  for (const playbook of playbooks) {
    if (!holds(playbook.when, sighting, blockThreshold)) continue
    if (!playbook.opensIncident && matches.length > 0) continue
    const steps = playbook.steps.filter((step) => step.do !== 'block' || (!blocked && (step.when === undefined || holds(step.when, sighting, blockThreshold))))
    const blocks = steps.some((step) => step.do === 'block')
    blocked ||= blocks
    matches.push({ playbook, steps, blocks })
  }
  return matches
}

function holds (when: PlaybookCondition, sighting: Sighting, blockThreshold: number): boolean {
  return (when.scoreAtLeast === undefined || sighting.score >= when.scoreAtLeast) &&
    (when.blockingScore !== true || sighting.score >= blockThreshold) &&
    (when.certainEvidence !== true || sighting.grade === 'certain') &&
    (when.decoy !== true || sighting.decoy) &&
    (when.automation !== true || sighting.automation) &&
    (when.anomaly !== true || sighting.anomaly) &&
    (when.refusals600sAtLeast === undefined || (sighting.refused && sighting.refusals600s >= when.refusals600sAtLeast)) &&
    (when.limitViolation !== true || (sighting.crossed !== null && (sighting.crossed.attempt || sighting.crossed.violations600s >= VIOLATIONS_MIN)))
}
