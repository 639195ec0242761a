import { isAddressKey } from '../../std/ip.ts'
import { addSign, ramp, resultOf } from '../evidence.ts'
import type { Signs } from '../evidence.ts'
import type { Policy } from '../policy.ts'
import { patienceWith } from '../tolerance.ts'
import type { HistorySnapshot } from '../history-shapes.ts'
import type { RequestView } from '../request-view.ts'
import { addBreadthSigns, addFailureSigns, noveltyOf } from './breadth.ts'
import type { FactorResult, Observation } from '../shapes.ts'

/**
 * The client's hour: failed logins and guessed tokens, sweeps through ids, pages and routes, agents
 * that change with every request, one fingerprint that fails from many addresses. What a search bot by name, a shared
 * office or a person who mistypes does every day is weighed down where it looks alike. Of a client with a valid
 * credential breadth and pace are no signs, whatever they look like: its tier says how much it may ask. What it fails
 * at is, and that it is used from everywhere.
 */
export function measureBehavior (observation: Observation, view: RequestView, policy: Policy): FactorResult {
  const signs: Signs = { found: null }
  const history = observation.history
  if (history === null) return resultOf('behavior', signs, 0)
  addLoginSigns(history, signs)
  addTokenSigns(history, signs)
  addFingerprintSigns(history, signs)
  addProbeSigns(history, signs)
  if (isAddressKey(observation.client)) {
    addBreadthSigns(history, patienceWith(history, view), signs)
    addRotationSigns(history, signs)
  } else {
    addFailureSigns(history, signs)
    addRoamingSigns(history, signs)
  }
  return resultOf('behavior', signs, policy.ceilings.behavior)
}

/**
 * A person mistypes up to five times; a list of stolen passwords goes on, and faster than anybody types. Of
 * an office's logins most succeed in the end, and they are few among what its people ask for.
 */
function addLoginSigns (history: HistorySnapshot, signs: Signs): void {
  const failed = Math.max(history.failedLogins600s, history.failedLogins3600s * 0.7)
  if (failed < 2) return
  const typed = history.intervalMeanMs > 2500 ? 0 : 1
  const failing = ramp(failed / Math.max(1, history.loginAttempts600s), 0.45, 0.75)
  const crowd = ramp(history.distinctAgents3600s, 3, 6) *
    (1 - ramp(history.loginAttempts600s / Math.max(1, history.requests600s), 0.1, 0.3))
  addSign(
    signs,
    LOGINS_VALUE_MAX * failing * (1 - crowd) * ramp(failed, 4 - typed, 10 - 2 * typed),
    'behavior.stuffing',
    'client',
    `${Math.round(failed)} failed logins`,
    'T1110.004'
  )
}

/**
 * Challenged, and held to the strict rate, but not refused: ten tries are what the limiter of logins grants,
 * and whoever mistypes must meet its 429 with the time to come back, never a 403 (and after three a standing
 * block of an office).
 */
const LOGINS_VALUE_MAX = 0.56

/**
 * One expired token is shown again and again by a forgotten program; guesses differ. Where tokens come with
 * several agents and many kinds of questions, an office or a mobile network showed those of its people after
 * we changed our key.
 */
function addTokenSigns (history: HistorySnapshot, signs: Signs): void {
  const bad = Math.max(history.badTokens600s, history.badTokens3600s * 0.7)
  if (bad < 2) return
  const guesses = Math.min(bad, history.distinctCredentials3600s)
  const people = ramp(history.distinctAgents3600s, 2, 5) * ramp(history.distinctShapes3600s, 4, 9) *
    ramp(noveltyOf(history), 0.3, 0.7)
  const share = ramp(bad / Math.max(1, history.requests3600s), 0.15, 0.4)
  addSign(
    signs,
    0.8 * share * (1 - people) * ramp(guesses, 2, 8),
    'behavior.guessing',
    'client',
    `${Math.round(bad)} bad tokens, about ${guesses} different`,
    'T1110.001'
  )
  addSign(
    signs,
    0.2 * (1 - people) * ramp(bad, 6, 30),
    'behavior.bad-token',
    'client',
    `${Math.round(bad)} requests with a bad token`
  )
}

/** The same tool behind many addresses: nearly all of its logins fail, and a newcomer begins with one. */
function addFingerprintSigns (history: HistorySnapshot, signs: Signs): void {
  const isUsed = history.loginAttempt === 1 || history.failedLogins600s > 0
  const addresses = history.fingerprintFailingAddresses600s
  if (!isUsed || addresses < PRINT_ADDRESSES_MIN) return
  const share = history.fingerprintFailedLogins600s / Math.max(1, history.fingerprintLoginAttempts600s)
  const isNew = history.requests3600s - history.loginAttempts600s <= 2
  const weight = isNew ? 1 : 0.4
  addSign(
    signs,
    0.8 * weight * ramp(share, 0.6, 0.85) * ramp(history.fingerprintFailedLogins600s, 5, 14) *
      ramp(addresses, PRINT_ADDRESSES_MIN - 1, 10),
    'behavior.shared-fingerprint',
    'client',
    `${history.fingerprintFailedLogins600s} failed logins by this fingerprint from ${addresses} addresses`,
    'T1110.003'
  )
}

const PRINT_ADDRESSES_MIN = 4

/**
 * Single odd requests that failed add up over the hour, however slowly they come; in ordinary traffic they
 * are few among many.
 */
function addProbeSigns (history: HistorySnapshot, signs: Signs): void {
  const share = history.probes3600s / Math.max(1, history.requests3600s)
  addSign(
    signs,
    0.5 * ramp(history.probes3600s, 1, 6) * ramp(share, 0.3, 0.6),
    'behavior.probes',
    'client',
    `${history.probes3600s} odd requests that failed within the hour`,
    'T1595.002'
  )
}

/**
 * Agents that change while one thing is pursued. In an office people ask for different things, their programs differ in
 * more than the agent's text, and each agent comes back; a disguise changes the text alone, or with every request.
 */
function addRotationSigns (history: HistorySnapshot, signs: Signs): void {
  const agents = history.distinctAgents3600s
  if (agents < 3) return
  const requests = Math.max(1, history.requests3600s)
  const changes = ramp(history.agentChanges3600s / requests, 0.5, 0.75)
  const isDisguise = history.distinctHeaderSets3600s <= Math.max(1, agents / 4) ? ramp(agents, 3, 6) : 0
  const isEver = ramp(agents / requests, 0.25, 0.5) * ramp(agents, 6, 14)
  const pursuit = pursuitOf(history)
  addSign(
    signs,
    0.66 * changes * ramp(requests, 7, 16) * Math.max(isDisguise * pursuit, isEver * Math.max(0.2, pursuit)),
    'behavior.rotation',
    'client',
    `about ${agents} agents in ${requests} requests`,
    'T1036'
  )
}

/**
 * 0-1: how much one thing is pursued: few shapes of questions, one question varied, or paths tried that
 * nothing leads to.
 */
function pursuitOf (history: HistorySnapshot): number {
  const share = history.variations600s / Math.max(1, history.requests600s)
  const tried = ramp(Math.min(history.guesses3600s, history.distinctShapes3600s), 8, 16) *
    ramp(history.guesses3600s / Math.max(1, history.requests3600s), 0.7, 0.9)
  const narrow = ramp(5 - history.distinctShapes3600s, 0, 3) * ramp(noveltyOf(history), 0.3, 0.7)
  return Math.max(narrow, ramp(share, 0.5, 0.8), tried)
}

const ROAMING_VALUE_MAX = 0.35

/**
 * One credential from many addresses with many agents. A phone changes its address and keeps its agent; the programs of
 * a fleet that share a key look like this every day, so alone it stays below the challenge.
 */
function addRoamingSigns (history: HistorySnapshot, signs: Signs): void {
  addSign(
    signs,
    ROAMING_VALUE_MAX * ramp(history.distinctAddresses3600s, 3, 10) * ramp(history.distinctAgents3600s, 2, 6),
    'behavior.roaming',
    'client',
    `one credential from about ${history.distinctAddresses3600s} addresses with ${history.distinctAgents3600s} agents`,
    'T1078'
  )
}
