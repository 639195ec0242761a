import { classifyAgent } from './agents.ts'
import { headerOf } from './request-view.ts'
import type { HistorySnapshot } from './history-shapes.ts'
import type { RequestView } from './request-view.ts'

/** A polite crawl, requests a minute. */
const ROBOT_RATE_MAX = 90
/** Nobody reads faster; mean milliseconds between requests. */
const READING_MS = 900

/**
 * How much tirelessness and breadth count against this client, 0-1. A key was given out to be used by a program; a
 * search engine says that it is one and keeps a polite pace; a browser at a reader's pace is most likely read. What a
 * client fails at (logins, tokens, probes) is judged without patience.
 */
export function patienceWith (client: string, history: HistorySnapshot, view: RequestView): number {
  if (client.startsWith('key:')) return 0.3
  const { kind } = classifyAgent(view.agent)
  if (kind === 'search-bot' && history.requests60s <= ROBOT_RATE_MAX) return 0.15
  if (kind === 'robot' && history.requests60s <= ROBOT_RATE_MAX) return 0.4
  if (kind === 'browser' && history.intervalMeanMs >= READING_MS && headerOf(view, 'accept-language') !== null) return 0.6
  return 1
}
