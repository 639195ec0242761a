/**
 * The history of clients in this process: what each did within the last hour, in O(1) time per request and in a fixed
 * number of bytes however many clients there are (tables of typed arrays, see table.ts: 65,536 clients of 492
 * bytes and 8,192 fingerprints, about 34 MB when full). It never judges, keeps no text and no address, only hashes and
 * counts, and never leaves the main thread; the factors see it as a HistorySnapshot.
 *
 * In: `observe` before a request is scored, `settle` when its outcome is known. Out: the snapshot, and deltas for the
 * siblings, so that a judgement does not depend on which process answers. Durations are monotonic.
 */
import { hashText, mixHash } from '../std/hash.ts'
import * as record from './record.ts'
import { createDeltas } from './delta.ts'
import { createHistoryTable } from './table.ts'
import { readTraits } from './traits.ts'
import type { RequestTraits } from './traits.ts'
import type { HistorySnapshot } from '../detect/history-shapes.ts'
import type { HistoryTable } from './table.ts'
import type { FactorContribution, Observation } from '../detect/shapes.ts'
import type { Clock } from '../std/clock.ts'
import type { Json } from '../std/json.ts'

/** The part of an Observation that history needs; an Observation will do. */
export type ObservedRequest = Pick<Observation, 'client' | 'method' | 'url' | 'headers' | 'body' | 'route'>

interface LimitAnswer {
  limit: number
  remaining: number
}

interface Outcome {
  client: string
  /** Canonical address, IPv6 as in ClientKey. */
  address: string
  /** HTTP status. */
  status: number
  /** The judge's recommendation. */
  action: 'ALLOW' | 'CHALLENGE' | 'BLOCK'
  score?: number
  /** Of the score: what the request itself said, not its history, decides whether a failure was a probe. */
  factors?: FactorContribution[]
  /** A login or refresh that was refused. */
  failedLogin?: boolean
  /** An access token or an API key that did not hold. */
  badToken?: boolean
  /** The thing asked for does not exist, also when the status is 200. */
  notFound?: boolean
  /** Refused for a scope that its credential lacks. */
  denied?: boolean
  /** The request used up the time of scoring threads. */
  exhausts?: boolean
}

export interface History {
  /** Counts the request and tells what its client did so far, this request included. About 1.5 us. */
  observe (request: ObservedRequest, context: { address: string, limit?: LimitAnswer | null }): HistorySnapshot
  /** Tells what came of a request of this client. Unknown clients are ignored. */
  settle (outcome: Outcome): void
  /** The snapshot of somebody as things stand, without counting anything; null for a client that is not remembered. */
  peek (request: ObservedRequest): HistorySnapshot | null
  /**
   * Requests of a client that were refused by their score within ten minutes, in all processes as far as they
   * have told.
   */
  refusals (client: string): number
  /** After a false alarm or the end of a block: starts with a clean record. */
  forget (client: string): void
  /** Changes in this process since the last call, at most 60 KiB of JSON; null when nothing did. */
  drainDelta (): Json | null
  /** A sibling's delta. Anything that is none is ignored. */
  absorb (delta: Json): void
}

interface HistoryOptions {
  clock: Pick<Clock, 'monotonic'>
  /** Powers of two; defaults 65,536 and 8,192. */
  clientsMax?: number
  fingerprintsMax?: number
}

const CLIENTS_MAX = 65_536
const FINGERPRINTS_MAX = 8192
const HIGH_SEED = 0x9e3779b9
/** A silence of this length ends a streak: people read, machines go on. */
const PAUSE_MS = 10_000
const INTERVALS_MAX = 64
/** Intervals are smoothed over the last 32, and none counts for more than ten minutes. */
const SMOOTHED_INTERVALS = 32
const INTERVAL_MAX_MS = 600_000
const STEP_MAX = 10
const LIST_MAX = 2 ** 30
/**
 * From here an unsuccessful request is remembered as a probe, when this much of it is what was asked for: a
 * poor client that misses is no probe.
 */
const PROBE_POINTS = 15
const PROBE_MATTER_POINTS = 5

/** A history of its own memory; make one per process. */
export function createHistory (options: HistoryOptions): History {
  const clients = createHistoryTable(options.clientsMax ?? CLIENTS_MAX, record.CLIENT_STRIDE)
  const prints = createHistoryTable(options.fingerprintsMax ?? FINGERPRINTS_MAX, record.PRINT_STRIDE)
  const deltas = createDeltas(clients, prints)
  const { words } = clients

  function takeClient (client: string, nowMs: number): number {
    const at = clients.take(hashText(client, HIGH_SEED, 256), hashText(client, 0, 256), nowMs)
    if (clients.wasMade()) startRecord(words, at, nowMs)
    record.rollClient(words, clients.floats, at, nowMs)
    return at
  }

  function takePrint (fingerprint: number, nowMs: number): number {
    const at = prints.take(mixHash(fingerprint, HIGH_SEED), fingerprint, nowMs)
    record.rollPrint(prints.words, at, nowMs)
    return at
  }

  function observe (
    request: ObservedRequest,
    context: { address: string, limit?: LimitAnswer | null }
  ): HistorySnapshot {
    const nowMs = Math.floor(options.clock.monotonic()) >>> 0
    const traits = readTraits(request)
    const at = takeClient(request.client, nowMs)
    const addressHash = hashText(context.address, 3, 64)
    const intervalMs = keepTime(clients, at, nowMs)
    keepRequest(clients, at, request, traits, addressHash)
    deltas.touch(at, false)
    const print = takePrint(traits.fingerprintHash, nowMs)
    keepPrint(prints, print, traits, addressHash)
    deltas.touchPrint(print)
    return snapshotOf(clients, prints, {
      at,
      print,
      nowMs,
      intervalMs,
      loginAttempt: traits.loginAttempt,
      limit: context.limit ?? null
    })
  }

  function settle (outcome: Outcome): void {
    const nowMs = Math.floor(options.clock.monotonic()) >>> 0
    const high = hashText(outcome.client, HIGH_SEED, 256)
    const at = clients.find(high, hashText(outcome.client, 0, 256))
    if (at === -1) return
    record.rollClient(words, clients.floats, at, nowMs)
    const counters = countersOf(outcome)
    if (counters.length === 0) return
    settleClient(at, counters)
    settlePrint(words[at + record.LAST_FINGERPRINT] as number, outcome, counters, nowMs)
    // A refused credential counts on the address, also for a caller who is known otherwise.
    const ofAddress = 'ip:' + outcome.address
    if (ofAddress !== outcome.client && (outcome.failedLogin === true || outcome.badToken === true)) {
      settleClient(takeClient(ofAddress, nowMs), counters)
    }
  }

  function settleClient (at: number, counters: number[]): void {
    for (const counter of counters) {
      record.countClient(words, at, counter)
      deltas.add(at, counter)
    }
    words[at + 1] = Math.min(LIST_MAX, (words[at + 1] as number) + counters.length)
    deltas.touch(at, true)
  }

  function settlePrint (fingerprint: number, outcome: Outcome, counters: number[], nowMs: number): void {
    if (outcome.failedLogin !== true && outcome.badToken !== true) return
    const print = takePrint(fingerprint >>> 0, nowMs)
    for (const counter of counters) countPrint(prints, print, counter)
    record.mark(prints.words, print + record.PRINT_FAILING, record.PRINT_WORDS, hashText(outcome.address, 3, 64))
    prints.words[print + 1] = Math.min(LIST_MAX, (prints.words[print + 1] as number) + 1)
    deltas.touchPrint(print)
  }

  return {
    observe,
    settle,
    peek (request) {
      const nowMs = Math.floor(options.clock.monotonic()) >>> 0
      const at = clients.find(hashText(request.client, HIGH_SEED, 256), hashText(request.client, 0, 256))
      if (at === -1) return null
      record.rollClient(words, clients.floats, at, nowMs)
      const traits = readTraits(request)
      const print = takePrint(traits.fingerprintHash, nowMs)
      return snapshotOf(clients, prints, {
        at,
        print,
        nowMs,
        intervalMs: (nowMs - (words[at + record.LAST_REQUEST] as number)) >>> 0,
        loginAttempt: traits.loginAttempt,
        limit: null
      })
    },
    refusals (client) {
      const nowMs = Math.floor(options.clock.monotonic()) >>> 0
      const at = clients.find(hashText(client, HIGH_SEED, 256), hashText(client, 0, 256))
      if (at === -1) return 0
      record.rollClient(words, clients.floats, at, nowMs)
      return record.within600s(words, at, record.REFUSED, nowMs)
    },
    forget (client) { clients.remove(hashText(client, HIGH_SEED, 256), hashText(client, 0, 256)) },
    drainDelta: deltas.drain,
    absorb (delta) { deltas.absorb(delta, Math.floor(options.clock.monotonic()) >>> 0, startRecord) }
  }
}

function startRecord (words: Int32Array, at: number, nowMs: number): void {
  words[at + record.FIRST_SEEN] = nowMs | 0
  words[at + record.LAST_REQUEST] = nowMs | 0
  words[at + record.STREAK_START] = nowMs | 0
  words[at + record.LAST_NUMBER] = -1
}

/** Intervals and streaks; the interval to the request before, -1 for a first one. */
function keepTime (table: HistoryTable, at: number, nowMs: number): number {
  const { words, floats } = table
  const streak = words[at + record.STREAK_REQUESTS] as number
  const intervalMs = (nowMs - (words[at + record.LAST_REQUEST] as number)) >>> 0
  words[at + record.LAST_REQUEST] = nowMs | 0
  if (streak === 0) {
    words[at + record.STREAK_START] = nowMs | 0
    words[at + record.STREAK_REQUESTS] = 1
    return -1
  }
  if (intervalMs >= PAUSE_MS) words[at + record.STREAK_START] = nowMs | 0
  words[at + record.STREAK_REQUESTS] = intervalMs >= PAUSE_MS ? 1 : streak + 1
  const count = Math.min(INTERVALS_MAX, (words[at + record.INTERVALS] as number) + 1)
  words[at + record.INTERVALS] = count
  const mean = floats[at + record.INTERVAL_MEAN] as number
  const bounded = Math.min(INTERVAL_MAX_MS, intervalMs)
  const weight = 1 / Math.min(count, SMOOTHED_INTERVALS)
  floats[at + record.INTERVAL_MEAN] = mean + (bounded - mean) * weight
  const deviation = floats[at + record.INTERVAL_DEVIATION] as number
  const away = count === 1 ? 0 : Math.abs(bounded - mean)
  floats[at + record.INTERVAL_DEVIATION] = deviation + (away - deviation) * weight
  return intervalMs
}

function keepRequest (
  table: HistoryTable,
  at: number,
  request: ObservedRequest,
  traits: RequestTraits,
  addressHash: number
): void {
  const { words } = table
  record.countRequest(words, at)
  count(words, at, record.REQUESTS)
  if (request.route === null) {
    if (traits.led) count(words, at, record.STRAYS)
    else if (traits.guessed) count(words, at, record.GUESSES)
  } else record.mark(words, at + record.ROUTES, 1, traits.routeHash)
  if (traits.loginAttempt) count(words, at, record.LOGIN_ATTEMPTS)
  const hadAgent = (words[at + record.STREAK_REQUESTS] as number) > 1 || (words[at + record.INTERVALS] as number) > 0
  if (hadAgent && words[at + record.LAST_AGENT] !== (traits.agentHash | 0)) count(words, at, record.AGENT_CHANGES)
  words[at + record.LAST_AGENT] = traits.agentHash | 0
  record.mark(words, at + record.AGENTS, 1, traits.agentHash)
  record.mark(words, at + record.HEADER_SETS, 1, traits.headersHash)
  record.mark(words, at + record.ADDRESSES, 1, addressHash)
  if (traits.credentialHash !== 0) record.mark(words, at + record.CREDENTIALS, 1, traits.credentialHash)
  record.mark(words, at + record.TARGETS, record.TARGET_WORDS, traits.targetHash)
  record.mark(words, at + record.SHAPES, record.SHAPE_WORDS, traits.shapeHash)
  keepSequence(words, at, traits)
  words[at + record.LAST_FINGERPRINT] = traits.fingerprintHash | 0
}

/** Counts into the windows and into what the siblings are told. */
function count (words: Int32Array, at: number, counter: number): void {
  record.countClient(words, at, counter)
  words[at + record.PENDING + counter] = (words[at + record.PENDING + counter] as number) + 1
}

function keepSequence (words: Int32Array, at: number, traits: RequestTraits): void {
  const sameShape = words[at + record.LAST_SHAPE] === (traits.shapeHash | 0)
  if (sameShape && words[at + record.LAST_TARGET] !== (traits.targetHash | 0)) count(words, at, record.VARIATIONS)
  if (sameShape) {
    const step = traits.number - (words[at + record.LAST_NUMBER] as number)
    const counts = traits.number >= 0 && step !== 0 && Math.abs(step) <= STEP_MAX
    if (step !== 0) words[at + record.SEQUENTIAL_RUN] = counts ? (words[at + record.SEQUENTIAL_RUN] as number) + 1 : 0
  } else {
    // Another question in between (a page's assets, say) halves the run of this one: it does not end it at once.
    words[at + record.SEQUENTIAL_RUN] = (words[at + record.SEQUENTIAL_RUN] as number) >> 1
  }
  words[at + record.LAST_SHAPE] = traits.shapeHash | 0
  words[at + record.LAST_TARGET] = traits.targetHash | 0
  words[at + record.LAST_NUMBER] = traits.number
}

function keepPrint (table: HistoryTable, at: number, traits: RequestTraits, addressHash: number): void {
  countPrint(table, at, record.REQUESTS)
  if (traits.loginAttempt) countPrint(table, at, record.LOGIN_ATTEMPTS)
  record.mark(table.words, at + record.PRINT_ADDRESSES, record.PRINT_WORDS, addressHash)
}

function countPrint (table: HistoryTable, at: number, counter: number): void {
  const pair = at + record.PRINT_COUNTERS + 2 * counter
  table.words[pair] = (table.words[pair] as number) + 1
  table.words[at + record.PRINT_PENDING + counter] = (table.words[at + record.PRINT_PENDING + counter] as number) + 1
}

const NO_COUNTERS: number[] = []

/** Which counters an outcome moves. */
function countersOf (outcome: Outcome): number[] {
  const { status } = outcome
  const isPlain = status < 400 && outcome.action === 'ALLOW' && outcome.failedLogin !== true &&
    outcome.badToken !== true && outcome.notFound !== true && outcome.exhausts !== true
  if (isPlain) return NO_COUNTERS
  const counters: number[] = []
  if (outcome.failedLogin === true) counters.push(record.FAILED_LOGINS)
  if (outcome.badToken === true) counters.push(record.BAD_TOKENS)
  if (outcome.notFound === true || status === 404) counters.push(record.NOT_FOUND)
  else if (status >= 400 && status < 500 && status !== 401 && status !== 403 && status !== 429) {
    counters.push(record.CLIENT_ERRORS)
  }
  if (status >= 400 && isProbe(outcome.factors)) counters.push(record.PROBES)
  if (outcome.denied === true) counters.push(record.DENIED)
  if (outcome.exhausts === true) counters.push(record.EXHAUSTED)
  if (outcome.action === 'CHALLENGE') counters.push(record.CHALLENGED)
  else if (outcome.action === 'BLOCK') counters.push(record.REFUSED)
  return counters
}

/** By what stood in the request itself: were the points of its history counted, suspicion would feed on itself. */
function isProbe (factors: FactorContribution[] | undefined): boolean {
  let matter = 0
  let manners = 0
  for (const { name, contribution } of factors ?? []) {
    if (name === 'endpoint' || name === 'payload') matter += contribution
    else if (name === 'userAgent' || name === 'headers') manners += contribution
  }
  return matter >= PROBE_MATTER_POINTS && matter + manners >= PROBE_POINTS
}

interface Moment {
  at: number
  print: number
  nowMs: number
  intervalMs: number
  loginAttempt: boolean
  limit: LimitAnswer | null
}

function snapshotOf (clients: HistoryTable, prints: HistoryTable, moment: Moment): HistorySnapshot {
  const { words, floats } = clients
  const { at, print, nowMs, limit } = moment
  const printCount = (counter: number): number =>
    record.slide(prints.words, print + record.PRINT_COUNTERS + 2 * counter, record.MINUTES_10, nowMs)
  return {
    knownSeconds: ((nowMs - (words[at + record.FIRST_SEEN] as number)) >>> 0) / 1000,
    intervalMs: moment.intervalMs,
    requests10s: record.requests10s(words, at, nowMs),
    requests60s: record.requests60s(words, at, nowMs),
    requests600s: record.within600s(words, at, record.REQUESTS, nowMs),
    requests3600s: record.within3600s(words, at, record.REQUESTS, nowMs),
    limitUsed: limit === null || limit.limit <= 0 ? -1 : Math.min(1, Math.max(0, 1 - limit.remaining / limit.limit)),
    habitPerMinute: (words[at + record.ACTIVE_MINUTES] as number) < 2 ? 0 : floats[at + record.HABIT] as number,
    intervals: words[at + record.INTERVALS] as number,
    intervalMeanMs: floats[at + record.INTERVAL_MEAN] as number,
    intervalDeviationMs: floats[at + record.INTERVAL_DEVIATION] as number,
    streakRequests: words[at + record.STREAK_REQUESTS] as number,
    streakSeconds: ((nowMs - (words[at + record.STREAK_START] as number)) >>> 0) / 1000,
    distinctTargets3600s: record.countDistinct(words, at + record.TARGETS, record.TARGET_WORDS),
    distinctShapes3600s: record.countDistinct(words, at + record.SHAPES, record.SHAPE_WORDS),
    distinctRoutes3600s: record.countDistinct(words, at + record.ROUTES, 1),
    distinctAgents3600s: record.countDistinct(words, at + record.AGENTS, 1),
    distinctCredentials3600s: record.countDistinct(words, at + record.CREDENTIALS, 1),
    distinctHeaderSets3600s: record.countDistinct(words, at + record.HEADER_SETS, 1),
    distinctAddresses3600s: record.countDistinct(words, at + record.ADDRESSES, 1),
    agentChanges3600s: record.within3600s(words, at, record.AGENT_CHANGES, nowMs),
    sequentialRun: words[at + record.SEQUENTIAL_RUN] as number,
    variations600s: record.within600s(words, at, record.VARIATIONS, nowMs),
    guesses3600s: record.within3600s(words, at, record.GUESSES, nowMs),
    strays600s: record.within600s(words, at, record.STRAYS, nowMs),
    notFound600s: record.within600s(words, at, record.NOT_FOUND, nowMs),
    notFound3600s: record.within3600s(words, at, record.NOT_FOUND, nowMs),
    clientErrors600s: record.within600s(words, at, record.CLIENT_ERRORS, nowMs),
    denied600s: record.within600s(words, at, record.DENIED, nowMs),
    failedLogins600s: record.within600s(words, at, record.FAILED_LOGINS, nowMs),
    failedLogins3600s: record.within3600s(words, at, record.FAILED_LOGINS, nowMs),
    badTokens600s: record.within600s(words, at, record.BAD_TOKENS, nowMs),
    badTokens3600s: record.within3600s(words, at, record.BAD_TOKENS, nowMs),
    loginAttempts600s: record.within600s(words, at, record.LOGIN_ATTEMPTS, nowMs),
    probes3600s: record.within3600s(words, at, record.PROBES, nowMs),
    challenged600s: record.within600s(words, at, record.CHALLENGED, nowMs),
    refused600s: record.within600s(words, at, record.REFUSED, nowMs),
    exhausts600s: record.within600s(words, at, record.EXHAUSTED, nowMs),
    loginAttempt: moment.loginAttempt ? 1 : 0,
    fingerprintRequests600s: printCount(record.REQUESTS),
    fingerprintAddresses600s: record.countDistinct(prints.words, print + record.PRINT_ADDRESSES, record.PRINT_WORDS),
    fingerprintLoginAttempts600s: printCount(record.LOGIN_ATTEMPTS),
    fingerprintFailedLogins600s: printCount(record.FAILED_LOGINS),
    fingerprintFailingAddresses600s: record.countDistinct(
      prints.words,
      print + record.PRINT_FAILING,
      record.PRINT_WORDS
    ),
    fingerprintBadTokens600s: printCount(record.BAD_TOKENS)
  }
}
