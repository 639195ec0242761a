import { classifyAgent } from './signs/agents.ts'
import { ramp } from './evidence.ts'
import { headerOf } from './request-view.ts'
import type { HistorySnapshot } from './history-shapes.ts'
import type { RequestView } from './request-view.ts'

/** A polite crawl, requests a minute. */
const ROBOT_RATE_MAX = 90
/** Nobody reads faster; mean milliseconds between requests. */
const READING_MS = 900

/**
 * How much tirelessness and breadth count against a client without a credential, 0-1. A search engine says that it is
 * one and keeps a polite pace; a browser at a reader's pace is most likely read. What a client fails at (logins,
 * tokens, probes) is judged without patience.
 */
export function patienceWith (history: HistorySnapshot, view: RequestView): number {
  const { kind } = classifyAgent(view.agent)
  if (kind === 'search-bot' && history.requests60s <= ROBOT_RATE_MAX) return 0.15
  if (kind === 'robot' && history.requests60s <= ROBOT_RATE_MAX) return 0.3
  return isSingleMinded(history)
    ? 1
    : readerPatience(kind === 'browser' && headerOf(view, 'accept-language') !== null, history)
}

/** A reader pauses and hurries: intervals at a reader's pace, and the more uneven the likelier. */
function readerPatience (isBrowser: boolean, history: HistorySnapshot): number {
  if (history.intervalMeanMs < READING_MS) return 1
  const unevenness = history.intervalDeviationMs / history.intervalMeanMs
  return (isBrowser ? 0.65 : 1) * (1 - 0.35 * ramp(unevenness, 0.5, 0.8))
}

/** Nearly every request varies one question, and never twice the same. */
function isSingleMinded (history: HistorySnapshot): boolean {
  const requests = Math.max(1, history.requests3600s)
  return history.variations600s > SINGLE_MINDED_MIN && history.distinctTargets3600s / requests > 0.85 &&
    history.variations600s / Math.max(1, history.requests600s) > 0.85
}

const SINGLE_MINDED_MIN = 25
