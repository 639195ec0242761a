/**
 * How long the next block of the same client lasts (pure): each time twice the playbook's own length, up to a ceiling;
 * a step is forgotten for every week without a new one.
 */
export interface Step { step: number, at: number }

export const STEP_MAX = 8
const TTL_SECONDS_MAX = 30 * 86_400
const DECAY_MS = 7 * 86_400_000

/** The step that counts now: 0 for a first offence. */
export function currentStep (last: Step | null, nowMs: number): number {
  if (last === null) return 0
  return Math.max(0, last.step - Math.floor(Math.max(0, nowMs - last.at) / DECAY_MS))
}

/** Seconds: `ttlSeconds * 2^step`, at most 30 days. */
export function escalatedTtl (ttlSeconds: number, step: number): number {
  return Math.min(TTL_SECONDS_MAX, ttlSeconds * 2 ** Math.min(step, STEP_MAX))
}
