/**
 * What a client did before and with this request, as flat numbers: they cross to a thread as one Float64Array and
 * stand in receipts, so that a score can be replayed. Units stand last in the names (`Ms`, `Seconds`); `600s` names
 * the sliding window a count is taken over. Counts include the request at hand where they count requests; outcomes
 * (not found, failed logins ...) are those of earlier requests. All values are finite and, but for -1 = unknown, >= 0.
 */
export const HISTORY_FACTS = [
  /** Since this client was first seen (by this process, as long as it is remembered). */
  'knownSeconds',
  /** Since its previous request; -1 for a first one. */
  'intervalMs',
  'requests10s',
  'requests60s',
  'requests600s',
  'requests3600s',
  /** Share of its tier's limit that is used up, 0-1; -1 when the limiter gave no answer. */
  'limitUsed',
  /** Its own habit: mean requests per active minute before this one; 0 without a past of two active minutes. */
  'habitPerMinute',
  /** How many intervals the mean and the deviation rest on, at most 64. */
  'intervals',
  'intervalMeanMs',
  /** Mean absolute deviation. */
  'intervalDeviationMs',
  /** Requests, and seconds, since its last pause of ten seconds or more. */
  'streakRequests',
  'streakSeconds',
  /** Estimates (linear counting), over one to two hours at most. */
  'distinctTargets3600s',
  'distinctShapes3600s',
  'distinctRoutes3600s',
  'distinctAgents3600s',
  'distinctAddresses3600s',
  /** How often the agent was another than the request before. */
  'agentChanges3600s',
  /** Length of the run of requests of one shape whose number moved on by 1 to 10. */
  'sequentialRun',
  /** Requests of one shape with another content than the one before: how often one question was varied. */
  'variations600s',
  'unknownRoutes3600s',
  'notFound600s',
  'notFound3600s',
  /** Answers 400-499 but 401, 403, 404 and 429. */
  'clientErrors600s',
  'failedLogins600s',
  'failedLogins3600s',
  'badTokens600s',
  'badTokens3600s',
  /** Requests that carried credentials to check (login, refresh, a token endpoint). */
  'loginAttempts600s',
  'challenged600s',
  'refused600s',
  /** 1 when this request carries credentials to check. */
  'loginAttempt',
  /** The same fingerprint (agent, header order, languages, encodings) over all addresses. */
  'fingerprintRequests600s',
  'fingerprintAddresses600s',
  'fingerprintLoginAttempts600s',
  'fingerprintFailedLogins600s',
  'fingerprintFailingAddresses600s',
  'fingerprintBadTokens600s'
] as const
export type HistoryFact = typeof HISTORY_FACTS[number]
export type HistorySnapshot = { [fact in HistoryFact]: number }

/** Numbers that one snapshot takes in an array. */
export const HISTORY_LENGTH = HISTORY_FACTS.length

/** Writes the facts in HISTORY_FACTS order from `offset`; the array must have HISTORY_LENGTH places left. */
export function encodeHistory (snapshot: HistorySnapshot, out: Float64Array, offset = 0): void {
  for (let i = 0; i < HISTORY_LENGTH; i++) out[offset + i] = snapshot[HISTORY_FACTS[i] as HistoryFact]
}

/** The inverse of encodeHistory. */
export function decodeHistory (from: Float64Array, offset = 0): HistorySnapshot {
  const snapshot = emptyHistory()
  for (let i = 0; i < HISTORY_LENGTH; i++) snapshot[HISTORY_FACTS[i] as HistoryFact] = from[offset + i] as number
  return snapshot
}

/** The history of somebody who was never seen: every fact 0, the unknown ones -1. One literal, so that all snapshots share a hidden class. */
export function emptyHistory (): HistorySnapshot {
  return {
    knownSeconds: 0,
    intervalMs: -1,
    requests10s: 0,
    requests60s: 0,
    requests600s: 0,
    requests3600s: 0,
    limitUsed: -1,
    habitPerMinute: 0,
    intervals: 0,
    intervalMeanMs: 0,
    intervalDeviationMs: 0,
    streakRequests: 0,
    streakSeconds: 0,
    distinctTargets3600s: 0,
    distinctShapes3600s: 0,
    distinctRoutes3600s: 0,
    distinctAgents3600s: 0,
    distinctAddresses3600s: 0,
    agentChanges3600s: 0,
    sequentialRun: 0,
    variations600s: 0,
    unknownRoutes3600s: 0,
    notFound600s: 0,
    notFound3600s: 0,
    clientErrors600s: 0,
    failedLogins600s: 0,
    failedLogins3600s: 0,
    badTokens600s: 0,
    badTokens3600s: 0,
    loginAttempts600s: 0,
    challenged600s: 0,
    refused600s: 0,
    loginAttempt: 0,
    fingerprintRequests600s: 0,
    fingerprintAddresses600s: 0,
    fingerprintLoginAttempts600s: 0,
    fingerprintFailedLogins600s: 0,
    fingerprintFailingAddresses600s: 0,
    fingerprintBadTokens600s: 0
  }
}
