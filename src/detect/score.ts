/**
 * The pure scorer: Observation and Policy in, Score out. It knows no clock, no network and no state, so the same
 * observation under the same policy version gives the same score on any thread, today and in a replay.
 *
 * Seven factors each say 0-1 what the request would score by them alone. They are combined as independent evidence,
 * one strong factor is enough and weak ones add up: 1 - product of (1 - value). A contribution is the factor's share
 * of the evidence, in integer hundredths, so that the seven add up to the score exactly.
 */
import { evidenceOfSign, inspectPayload, RAW_VALUES } from './factors/payload.ts'
import { measureBehavior } from './factors/behavior.ts'
import { measureEndpoint } from './factors/endpoint.ts'
import { measureFrequency } from './factors/frequency.ts'
import { measureHeaders } from './factors/headers.ts'
import { measureTiming } from './factors/timing.ts'
import { measureUserAgent } from './factors/user-agent.ts'
import { allowancesOf, applyAllowances } from './allowances.ts'
import { viewRequest, type RequestView } from './request-view.ts'
import type { PayloadFinding } from './factors/payload.ts'
import type { RawSign } from './raw-scan/raw-scan.ts'
import type { Policy } from './policy.ts'
import type { Beyond, FactorContribution, FactorResult, Grade, Observation, Score } from './shapes.ts'

/** The whole score, for a thread: payload parsing costs what the text deserves. Never throws for odd input. */
export function scoreObservation (observation: Observation, policy: Policy): Score {
  const allowed = allowancesOf(policy, observation)
  const payload = inspectPayload(observation, { sensitivity: policy.sensitivity, allowed })
  return scoreWithPayload(observation, payload, policy)
}

/** The same with payload findings that are already known: a thread keeps those of repeated payloads. */
export function scoreWithPayload (observation: Observation, payload: PayloadFinding, policy: Policy): Score {
  const measured = measure(observation, policy, payload)
  const allowed = allowancesOf(policy, observation)
  const results = allowed === null ? measured : applyAllowances(measured, observation, allowed)
  return combineFull(results, payload, policy)
}

/** What a request says by itself, whoever sent it: all results that do not depend on history. */
export interface OwnResults {
  readonly view: RequestView
  readonly userAgent: FactorResult
  readonly endpoint: FactorResult
  readonly headers: FactorResult
  readonly payload: PayloadFinding
}

/** Of a target without allowances. Microseconds. */
export function ownResultsOf (given: Observation, payload: PayloadFinding, policy: Policy): OwnResults {
  const observation = { ...given, history: null }
  const view = viewRequest(observation)
  return {
    view,
    userAgent: measureUserAgent(view, policy),
    endpoint: measureEndpoint(observation, view, policy),
    headers: measureHeaders(view, policy, observation.body),
    payload
  }
}

/** Whether what a client did is the business of the factors of history alone; texts that exhaust are the endpoint's. */
export function isOwnResultEnough ({ history }: Observation): boolean {
  return history === null || !(history.exhausts600s >= 1)
}

/**
 * The whole score of a request whose like was read before (request-content.ts): only what its client did is measured
 * anew. The same score as `scoreObservation` gives, where `isOwnResultEnough`.
 */
export function scoreWithOwnResults (observation: Observation, own: OwnResults, policy: Policy): Score {
  const { view, userAgent, endpoint, headers, payload } = own
  return combineFull([
    measureFrequency(observation, policy),
    userAgent,
    endpoint,
    headers,
    measureTiming(observation, view, policy),
    payload,
    measureBehavior(observation, view, policy)
  ], payload, policy)
}

function combineFull (results: FactorResult[], payload: PayloadFinding, policy: Policy): Score {
  const { grade, notInspected, beyond } = payload
  return combine(results, policy, { grade, notInspected, beyond, degraded: false })
}

/**
 * The answer when the threads cannot give one in time, marked degraded: microseconds, everything but the payload, and
 * of that the strongest sign of the raw bytes where somebody looked for one. Bounded below the block threshold but for
 * a certain sign: what was not looked at must not refuse anybody.
 */
export function cheapScore (observation: Observation, policy: Policy, sign: RawSign | null = null): Score {
  const notInspected = observation.body === null
    ? ['query: scored in a hurry']
    : ['body: scored in a hurry', 'query: scored in a hurry']
  const grade = sign === null ? null : sign.grade
  const bound = grade === 'certain' ? FULL : policy.blockThreshold * 100 - 1
  const results = measure(observation, policy, payloadOf(sign))
  // Nothing was read, so nothing is known to lie beyond a bound.
  return combine(results, policy, { grade, notInspected, beyond: null, degraded: true }, bound)
}

function payloadOf (sign: RawSign | null): FactorResult {
  if (sign === null) return { name: 'payload', value: 0, evidence: [] }
  return { name: 'payload', value: RAW_VALUES[sign.grade], evidence: [evidenceOfSign(sign)] }
}

/** The seven results, in the order of FACTOR_NAMES (shapes.ts). */
function measure (observation: Observation, policy: Policy, payload: FactorResult): FactorResult[] {
  const view = viewRequest(observation)
  return [
    measureFrequency(observation, policy),
    measureUserAgent(view, policy),
    measureEndpoint(observation, view, policy),
    measureHeaders(view, policy, observation.body),
    measureTiming(observation, view, policy),
    payload,
    measureBehavior(observation, view, policy)
  ]
}

interface Circumstances {
  grade: Grade | null
  notInspected: string[]
  beyond: Beyond | null
  degraded: boolean
}

/** Hundredths of a point that a score can have. */
const FULL = 10_000

function combine (
  results: FactorResult[],
  policy: Policy,
  circumstances: Circumstances,
  boundHundredths = FULL
): Score {
  const evidence: number[] = []
  let sum = 0
  for (const result of results) {
    const weight = evidenceOf(result, policy)
    evidence.push(weight)
    sum += weight
  }
  const hundredths = Math.min(
    boundHundredths,
    boundOfHistory(evidence, policy),
    boundOfPace(evidence, policy),
    Math.round(FULL * (1 - Math.exp(-sum)))
  )
  const shares = apportion(hundredths, evidence, sum)
  const factors: FactorContribution[] = results.map((result, i) => ({
    name: result.name,
    contribution: (shares[i] as number) / 100,
    evidence: result.evidence
  }))
  return {
    value: hundredths / 100,
    factors,
    grade: circumstances.grade,
    payloadValue: (results[5] as FactorResult).value,
    // Which routes are decoys is configuration: the gate knows.
    decoy: false,
    automation: isAutomation(results, policy),
    anomaly: points(results[6] as FactorResult) >= policy.anomalyBar,
    policyVersion: policy.version,
    notInspected: circumstances.notInspected,
    beyond: circumstances.beyond,
    source: circumstances.degraded ? 'inline' : 'thread',
    degraded: circumstances.degraded
  }
}

/** Positions of the factors that judge what a client did before, not this request (FACTOR_NAMES). */
const OF_HISTORY = [0, 4, 6]

/**
 * A client's history challenges it, and so holds its rate; it refuses only a request that says something itself.
 * Three refusals make a standing block, and an office, a crawler of ours or a test run must not come to that
 * by habit alone.
 */
function boundOfHistory (evidence: readonly number[], policy: Policy): number {
  let own = 0
  for (let i = 0; i < evidence.length; i++) if (!OF_HISTORY.includes(i)) own += evidence[i] as number
  return 100 * (1 - Math.exp(-own)) >= policy.challengeThreshold ? FULL : policy.blockThreshold * 100 - 1
}

/** Endpoint, payload and behavior: what is asked for (FACTOR_NAMES). */
const OF_MATTER = [2, 5, 6]
/** Evidence of a few points in a hundred. */
const NEXT_TO_NOTHING = 0.05

/**
 * A rate that its tier allows and plain manners (a script without an agent, say) do not challenge together:
 * the limiter is the judge of rates, and whoever is allowed N requests must get N. Manners that challenge by
 * themselves still do.
 */
function boundOfPace (evidence: readonly number[], policy: Policy): number {
  let matter = 0
  for (const i of OF_MATTER) matter += evidence[i] as number
  const manners = (evidence[1] as number) + (evidence[3] as number)
  if (matter > NEXT_TO_NOTHING || 100 * (1 - Math.exp(-manners)) >= policy.challengeThreshold) return FULL
  return policy.challengeThreshold * 100 - 1
}

/** -ln(1 - value): evidence that adds up. Sensitivity scales what is not strong by itself. */
function evidenceOf (result: FactorResult, policy: Policy): number {
  const value = Math.min(policy.ceilings[result.name], result.value)
  if (!(value > 0)) return 0
  const evidence = -Math.log(1 - Math.min(value, CERTAINTY_MAX))
  return value >= policy.strongValue ? evidence * Math.max(1, policy.evidenceScale) : evidence * policy.evidenceScale
}

/** A value of 1 would be infinite evidence. */
const CERTAINTY_MAX = 0.9999

/**
 * Shares of an integer by weight that add up to it: floors first, then one more to the largest remainders
 * (first wins a tie).
 */
function apportion (total: number, weights: number[], sum: number): number[] {
  const shares = weights.map(() => 0)
  if (sum <= 0 || total <= 0) return shares
  let left = total
  for (let i = 0; i < weights.length; i++) {
    const share = Math.floor(total * (weights[i] as number) / sum)
    shares[i] = share
    left -= share
  }
  // At most six are left, fewer than there are factors; only factors that said something may get one.
  while (left !== 0) {
    const at = largestRemainder(total, weights, sum, shares)
    shares[at] = (shares[at] as number) + Math.sign(left)
    left -= Math.sign(left)
  }
  return shares
}

function largestRemainder (total: number, weights: number[], sum: number, shares: number[]): number {
  let best = -1
  let most = -Infinity
  for (let i = 0; i < weights.length; i++) {
    const remainder = total * (weights[i] as number) / sum - (shares[i] as number)
    if ((weights[i] as number) > 0 && remainder > most) { best = i; most = remainder }
  }
  return best
}

function points (result: FactorResult): number {
  return 100 * result.value
}

const SWEEP_RULES = ['behavior.sweep', 'behavior.enumeration', 'behavior.scan', 'behavior.misses']

/** A machine that works through what we have: an inhuman pace, and breadth that no poller has. */
function isAutomation (results: FactorResult[], policy: Policy): boolean {
  const pace = points(results[0] as FactorResult) + points(results[4] as FactorResult)
  const behavior = results[6] as FactorResult
  return pace >= policy.paceBar && pace + points(behavior) >= policy.automationBar &&
    SWEEP_RULES.some((rule) => hasRule(behavior, rule))
}

function hasRule (result: FactorResult, rule: string): boolean {
  return result.evidence.some((one) => one.rule === rule)
}
