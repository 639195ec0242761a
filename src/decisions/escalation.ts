/**
 * How much longer the block of a repeat offender lasts (pure): each block twice as long as the one before, from the
 * playbook's own length up to a ceiling; a step is forgotten for every week without a new one.
 */
export interface Step { step: number, at: number }

const STEP_MAX = 8
const TTL_SECONDS_MAX = 30 * 86_400
const DECAY_MS = 7 * 86_400_000

interface Offence {
  /** The length that the playbook gives. */
  ttlSeconds: number
  /** The client's last step, null for a first offence. */
  last: Step | null
  /** The client is blocked already: this request was on the way when the block came, which is no further offence. */
  isSame: boolean
}

/** How long the block lasts, and the client's next step; null where it takes none. */
export function escalate ({ ttlSeconds, last, isSame }: Offence, nowMs: number): {
  ttlSeconds: number,
  next: Step | null
} {
  const step = currentStep(last, nowMs)
  if (isSame) return { ttlSeconds: escalatedTtl(ttlSeconds, Math.max(0, step - 1)), next: null }
  return { ttlSeconds: escalatedTtl(ttlSeconds, step), next: { step: Math.min(STEP_MAX, step + 1), at: nowMs } }
}

/** The step that counts now: 0 for a first offence. */
function currentStep (last: Step | null, nowMs: number): number {
  if (last === null) return 0
  return Math.max(0, last.step - Math.floor(Math.max(0, nowMs - last.at) / DECAY_MS))
}

/** Seconds: `ttlSeconds * 2^step`, at most 30 days. */
export function escalatedTtl (ttlSeconds: number, step: number): number {
  return Math.min(TTL_SECONDS_MAX, ttlSeconds * 2 ** Math.min(step, STEP_MAX))
}
