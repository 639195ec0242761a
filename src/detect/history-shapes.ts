/**
 * A client's history up to and with this request, as flat numbers: they cross to a thread as one Float64Array and
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
  /** Header names in their order, languages and encodings, whatever the agent. */
  'distinctHeaderSets3600s',
  /** Different tokens or keys shown, valid or not. */
  'distinctCredentials3600s',
  /** How often the agent was another than the request before. */
  'agentChanges3600s',
  /** Length of the run of requests of one shape whose number moved on by 1 to 10. */
  'sequentialRun',
  /** Requests of one shape with another content than the one before: how often one question was varied. */
  'variations600s',
  /** Requests to unknown routes that nothing led to: no page, cookie, credential, form or query. */
  'guesses3600s',
  /** Requests to unknown routes that something led to. */
  'strays600s',
  'notFound600s',
  'notFound3600s',
  /** Answers 400-499 but 401, 403, 404 and 429. */
  'clientErrors600s',
  /** Refused for a scope that its credential lacks. */
  'denied600s',
  'failedLogins600s',
  'failedLogins3600s',
  'badTokens600s',
  'badTokens3600s',
  /** Requests that carried credentials to check (login, refresh, a token endpoint). */
  'loginAttempts600s',
  /** Requests that scored at least 20 and were answered with an error: probes. */
  'probes3600s',
  'challenged600s',
  'refused600s',
  /** Requests that used up the time of scoring threads. */
  'exhausts600s',
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

/**
 * Writes the facts in HISTORY_FACTS order from `offset`; the array must have HISTORY_LENGTH places left. Written out,
 * because reading properties by computed names costs eight times as much, and every request passes here.
 */
export function encodeHistory (snapshot: HistorySnapshot, out: Float64Array, offset = 0): void {
  out[offset + 0] = snapshot.knownSeconds
  out[offset + 1] = snapshot.intervalMs
  out[offset + 2] = snapshot.requests10s
  out[offset + 3] = snapshot.requests60s
  out[offset + 4] = snapshot.requests600s
  out[offset + 5] = snapshot.requests3600s
  out[offset + 6] = snapshot.limitUsed
  out[offset + 7] = snapshot.habitPerMinute
  out[offset + 8] = snapshot.intervals
  out[offset + 9] = snapshot.intervalMeanMs
  out[offset + 10] = snapshot.intervalDeviationMs
  out[offset + 11] = snapshot.streakRequests
  out[offset + 12] = snapshot.streakSeconds
  out[offset + 13] = snapshot.distinctTargets3600s
  out[offset + 14] = snapshot.distinctShapes3600s
  out[offset + 15] = snapshot.distinctRoutes3600s
  out[offset + 16] = snapshot.distinctAgents3600s
  out[offset + 17] = snapshot.distinctAddresses3600s
  out[offset + 18] = snapshot.distinctHeaderSets3600s
  out[offset + 19] = snapshot.distinctCredentials3600s
  out[offset + 20] = snapshot.agentChanges3600s
  out[offset + 21] = snapshot.sequentialRun
  out[offset + 22] = snapshot.variations600s
  out[offset + 23] = snapshot.guesses3600s
  out[offset + 24] = snapshot.strays600s
  out[offset + 25] = snapshot.notFound600s
  out[offset + 26] = snapshot.notFound3600s
  out[offset + 27] = snapshot.clientErrors600s
  out[offset + 28] = snapshot.denied600s
  out[offset + 29] = snapshot.failedLogins600s
  out[offset + 30] = snapshot.failedLogins3600s
  out[offset + 31] = snapshot.badTokens600s
  out[offset + 32] = snapshot.badTokens3600s
  out[offset + 33] = snapshot.loginAttempts600s
  out[offset + 34] = snapshot.probes3600s
  out[offset + 35] = snapshot.challenged600s
  out[offset + 36] = snapshot.refused600s
  out[offset + 37] = snapshot.exhausts600s
  out[offset + 38] = snapshot.loginAttempt
  out[offset + 39] = snapshot.fingerprintRequests600s
  out[offset + 40] = snapshot.fingerprintAddresses600s
  out[offset + 41] = snapshot.fingerprintLoginAttempts600s
  out[offset + 42] = snapshot.fingerprintFailedLogins600s
  out[offset + 43] = snapshot.fingerprintFailingAddresses600s
  out[offset + 44] = snapshot.fingerprintBadTokens600s
}

/** The inverse of encodeHistory. */
export function decodeHistory (from: Float64Array, offset = 0): HistorySnapshot {
  return {
    knownSeconds: from[offset + 0] as number,
    intervalMs: from[offset + 1] as number,
    requests10s: from[offset + 2] as number,
    requests60s: from[offset + 3] as number,
    requests600s: from[offset + 4] as number,
    requests3600s: from[offset + 5] as number,
    limitUsed: from[offset + 6] as number,
    habitPerMinute: from[offset + 7] as number,
    intervals: from[offset + 8] as number,
    intervalMeanMs: from[offset + 9] as number,
    intervalDeviationMs: from[offset + 10] as number,
    streakRequests: from[offset + 11] as number,
    streakSeconds: from[offset + 12] as number,
    distinctTargets3600s: from[offset + 13] as number,
    distinctShapes3600s: from[offset + 14] as number,
    distinctRoutes3600s: from[offset + 15] as number,
    distinctAgents3600s: from[offset + 16] as number,
    distinctAddresses3600s: from[offset + 17] as number,
    distinctHeaderSets3600s: from[offset + 18] as number,
    distinctCredentials3600s: from[offset + 19] as number,
    agentChanges3600s: from[offset + 20] as number,
    sequentialRun: from[offset + 21] as number,
    variations600s: from[offset + 22] as number,
    guesses3600s: from[offset + 23] as number,
    strays600s: from[offset + 24] as number,
    notFound600s: from[offset + 25] as number,
    notFound3600s: from[offset + 26] as number,
    clientErrors600s: from[offset + 27] as number,
    denied600s: from[offset + 28] as number,
    failedLogins600s: from[offset + 29] as number,
    failedLogins3600s: from[offset + 30] as number,
    badTokens600s: from[offset + 31] as number,
    badTokens3600s: from[offset + 32] as number,
    loginAttempts600s: from[offset + 33] as number,
    probes3600s: from[offset + 34] as number,
    challenged600s: from[offset + 35] as number,
    refused600s: from[offset + 36] as number,
    exhausts600s: from[offset + 37] as number,
    loginAttempt: from[offset + 38] as number,
    fingerprintRequests600s: from[offset + 39] as number,
    fingerprintAddresses600s: from[offset + 40] as number,
    fingerprintLoginAttempts600s: from[offset + 41] as number,
    fingerprintFailedLogins600s: from[offset + 42] as number,
    fingerprintFailingAddresses600s: from[offset + 43] as number,
    fingerprintBadTokens600s: from[offset + 44] as number
  }
}

/**
 * The history of somebody who was never seen: every fact 0, the unknown ones -1. One literal, so that all
 * snapshots share a hidden class.
 */
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
    distinctHeaderSets3600s: 0,
    distinctCredentials3600s: 0,
    agentChanges3600s: 0,
    sequentialRun: 0,
    variations600s: 0,
    guesses3600s: 0,
    strays600s: 0,
    notFound600s: 0,
    notFound3600s: 0,
    clientErrors600s: 0,
    denied600s: 0,
    failedLogins600s: 0,
    failedLogins3600s: 0,
    badTokens600s: 0,
    badTokens3600s: 0,
    loginAttempts600s: 0,
    probes3600s: 0,
    challenged600s: 0,
    refused600s: 0,
    exhausts600s: 0,
    loginAttempt: 0,
    fingerprintRequests600s: 0,
    fingerprintAddresses600s: 0,
    fingerprintLoginAttempts600s: 0,
    fingerprintFailedLogins600s: 0,
    fingerprintFailingAddresses600s: 0,
    fingerprintBadTokens600s: 0
  }
}
