import { addSign, ramp } from '../evidence.ts'
import type { Signs } from '../evidence.ts'
import type { HistorySnapshot } from '../history-shapes.ts'

/**
 * How widely a client asks: sweeps through pages, ids and routes of one whom nobody knows; of one with a valid
 * credential only how much of it fails.
 */
export function addBreadthSigns (history: HistorySnapshot, patience: number, signs: Signs): void {
  addSweepSigns(history, patience, signs)
  addEnumerationSigns(history, patience, signs)
  addMissSigns(history, patience, signs)
  addScanSigns(history, patience, signs)
}

/**
 * Nobody is a scraper before the fortieth request, nor for paging through thirty pages, once or again and again. The
 * count of different things is an estimate, six above thirty being three deviations of it. A client whose agent
 * changes with every other request is no program that pages.
 */
const BROAD_REQUESTS_MIN = 40
const BROAD_VARIATIONS_MIN = 31
const BROAD_TARGETS_MIN = 36
const AGENTS_CHANGING_MIN = 3

function isBroad (history: HistorySnapshot): boolean {
  const { requests3600s, distinctAgents3600s, agentChanges3600s } = history
  if (distinctAgents3600s >= AGENTS_CHANGING_MIN && agentChanges3600s > 0.4 * requests3600s) return true
  return requests3600s >= BROAD_REQUESTS_MIN && history.variations600s >= BROAD_VARIATIONS_MIN &&
    history.distinctTargets3600s >= BROAD_TARGETS_MIN
}

/** One question with ever new values, without a pause: a scraper, whatever its rhythm. */
function addSweepSigns (history: HistorySnapshot, patience: number, signs: Signs): void {
  if (!isBroad(history)) return
  const novelty = noveltyOf(history)
  const variations = Math.max(0, history.variations600s - history.strays600s)
  const share = variations / Math.max(1, history.requests600s)
  // Where many people sit behind one address, their questions interleave.
  const crowd = history.distinctAgents3600s >= 4 ? 0.5 : 1
  const size = ramp(variations, 10, 36)
  const persistence = Math.max(ramp(history.streakRequests, 8, 28), 0.6 * ramp(variations, 40, 90))
  addSign(
    signs,
    0.66 * patience * crowd * size * ramp(novelty, 0.55, 0.85) * ramp(share, 0.4, 0.75) * persistence,
    'behavior.sweep',
    'client',
    `${variations} of ${history.requests600s} requests vary one question`,
    'T1119'
  )
}

/** Share of the requests that asked for something new; the sketch saturates at some hundreds, which is new enough. */
export function noveltyOf (history: HistorySnapshot): number {
  return history.distinctTargets3600s >= TARGETS_MANY
    ? 1
    : history.distinctTargets3600s / Math.max(1, history.requests3600s)
}

const TARGETS_MANY = 250

/** A poller of things that have gone misses every time, and asks for the same few again. */
function noveltyWeight (history: HistorySnapshot): number {
  return ramp(noveltyOf(history), 0.2, 0.5)
}

/** A list of thirty things is read by their numbers as well; and ten that are asked for in turn are no run. */
const RUN_MIN = 31
const RUN_TARGETS_MIN = 26

/** Numbers that count upwards, those of pages excepted (clients/traits.ts). */
function addEnumerationSigns (history: HistorySnapshot, patience: number, signs: Signs): void {
  if (history.sequentialRun < RUN_MIN || history.distinctTargets3600s < RUN_TARGETS_MIN) return
  addSign(
    signs,
    0.62 * patience,
    'behavior.enumeration',
    'client',
    `${history.sequentialRun} numbers in a row`,
    'T1119'
  )
}

/** Things that mostly do not exist. */
function addMissSigns (history: HistorySnapshot, patience: number, signs: Signs): void {
  // An address that a link, a form or an app led to is missed by many visitors alike.
  const notFound = Math.max(0, history.notFound600s - history.strays600s)
  const missing = notFound / Math.max(1, history.requests600s)
  const misses = Math.min(notFound, history.variations600s, history.distinctTargets3600s)
  addSign(
    signs,
    0.5 * patience * ramp(misses, 10, 20) * ramp(missing, 0.35, 0.7) * noveltyWeight(history),
    'behavior.misses',
    'client',
    `${notFound} of ${history.requests600s} things asked for do not exist`,
    'T1087'
  )
}

/**
 * Ever new routes that nothing led to, and hardly one of them exists. A page that lost its files, an old bookmark and a
 * visitor of another site under our name miss as often, but links, cookies, forms or queries led them here
 * (clients/traits.ts).
 */
function addScanSigns (history: HistorySnapshot, patience: number, signs: Signs): void {
  const missing = history.notFound3600s / Math.max(1, history.requests3600s)
  const breadth = Math.min(history.distinctShapes3600s, history.guesses3600s)
  // Several visitors behind one address miss some each.
  const each = breadth / Math.max(1, history.distinctAgents3600s - 1)
  addSign(
    signs,
    0.72 * patience * ramp(each, 3, 6) * ramp(breadth, 6, 18) * ramp(history.notFound3600s, 5, 16) *
      ramp(missing, 0.45, 0.8) * noveltyWeight(history),
    'behavior.scan',
    'client',
    `${history.guesses3600s} unknown paths of about ${breadth} shapes that nothing led to`,
    'T1595.003'
  )
}

/**
 * A caller with a credential whose requests fail more often than not: things that do not exist, also where a link could
 * have led to them, and doors that its scopes do not open. One such thing that is asked for again and again is a
 * forgotten program's.
 */
export function addFailureSigns (history: HistorySnapshot, signs: Signs): void {
  const requests = Math.max(1, history.requests600s)
  const misses = Math.min(history.notFound600s, history.distinctTargets3600s)
  addSign(
    signs,
    0.5 * ramp(misses, 6, 20) * ramp(history.notFound600s / requests, 0.5, 0.75),
    'behavior.misses',
    'client',
    `${history.notFound600s} of ${history.requests600s} things asked for do not exist`,
    'T1087'
  )
  const denied = history.denied600s
  addSign(
    signs,
    (0.15 + 0.4 * ramp(history.distinctShapes3600s, 2, 6)) * ramp(denied, 4, 12) * ramp(denied / requests, 0.5, 0.75),
    'behavior.denied',
    'client',
    `${denied} of ${history.requests600s} requests ask for what its scopes do not cover`,
    'T1078'
  )
}
