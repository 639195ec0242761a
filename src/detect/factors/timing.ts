import { isAddressKey } from '../../std/ip.ts'
import { addSign, ramp, resultOf } from '../evidence.ts'
import { patienceWith } from '../tolerance.ts'
import type { Signs } from '../evidence.ts'
import type { Policy } from '../policy.ts'
import type { HistorySnapshot } from '../history-shapes.ts'
import type { RequestView } from '../request-view.ts'
import type { FactorResult, Observation } from '../shapes.ts'

/**
 * The rhythm: intervals more regular, shorter or more tireless than a person's. Monitors, pollers and wall displays are
 * regular by nature and ask for the same few things, so a client whose targets are few is heard only faintly, and a
 * ceiling in the policy keeps rhythm alone under the challenge threshold.
 */
export function measureTiming (observation: Observation, view: RequestView, policy: Policy): FactorResult {
  const signs: Signs = { found: null }
  const history = observation.history
  if (history === null || history.intervals < INTERVALS_MIN) return resultOf('timing', signs, 0)
  // A credential is given out to be used by programs, and programs keep time.
  if (!isAddressKey(observation.client)) return resultOf('timing', signs, 0)
  const loudness = loudnessOf(history) * patienceWith(history, view)
  addRegularitySigns(history, loudness, signs)
  addSign(
    signs,
    0.22 * loudness * ramp(400 - history.intervalMeanMs, 0, 300) * ramp(history.streakRequests, 12, 40),
    'timing.inhuman',
    'client',
    `${Math.round(history.intervalMeanMs)} ms between requests, ${history.streakRequests} in a row`,
    'T1119'
  )
  addSign(
    signs,
    0.14 * loudness * ramp(history.streakRequests, 25, 80) * ramp(history.streakSeconds, 15, 60),
    'timing.tireless',
    'client',
    `${history.streakRequests} requests in ${Math.round(history.streakSeconds)} s without a pause of ten`,
    'T1119'
  )
  return resultOf('timing', signs, policy.ceilings.timing)
}

/** Fewer intervals have no rhythm. */
const INTERVALS_MIN = 8
/**
 * A deviation under a tenth of the mean is a timer's; people are above a half (also measured on the access
 * log of the DEV corpus).
 */
const TIMER_DEVIATION = 0.1
const LOOSE_DEVIATION = 0.4
const SLOW_MS = 30_000

function addRegularitySigns (history: HistorySnapshot, loudness: number, signs: Signs): void {
  const mean = history.intervalMeanMs
  if (mean <= 0 || mean > SLOW_MS) return
  const deviation = history.intervalDeviationMs / mean
  const regularity = 1 - ramp(deviation, TIMER_DEVIATION, LOOSE_DEVIATION)
  addSign(
    signs,
    0.26 * loudness * regularity * ramp(history.intervals, INTERVALS_MIN - 1, 20),
    'timing.regular',
    'client',
    `every ${Math.round(mean)} ms, give or take ${Math.round(history.intervalDeviationMs)}`,
    'T1119'
  )
}

/**
 * 0.25 for who asks for a handful of things, 1 for who asks for something new nearly every time; many agents
 * have no rhythm in common, and a page asks for its files all at once.
 */
function loudnessOf (history: HistorySnapshot): number {
  const novelty = history.distinctTargets3600s / Math.max(1, history.requests3600s)
  const crowd = 1 - 0.75 * ramp(history.distinctAgents3600s, 2, 8)
  const page = 1 - 0.75 * ramp(history.strays600s / Math.max(1, history.requests600s), 0.5, 0.9)
  return crowd * page * (history.distinctTargets3600s <= 4 ? 0.25 : 0.25 + 0.75 * ramp(novelty, 0.15, 0.6))
}
