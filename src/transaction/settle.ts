import type { History } from '../clients/history.ts'
import type { Playbooks } from '../playbooks/playbooks.ts'
import type { Receipts } from '../receipts/receipts.ts'
import type { Limits } from '../limits/limiter.ts'
import { addressKey } from '../std/ip.ts'
import type { Logger } from '../telemetry/logger.ts'
import { methodLabel, type Metrics } from '../telemetry/metrics.ts'
import { countedByWords, observedSeries } from '../telemetry/tallies.ts'
import { FACTOR_NAMES, type FactorContribution } from '../detect/shapes.ts'
import type { Action } from '../decisions/shapes.ts'
import type { Thresholds } from '../decisions/verdict.ts'
import { isOfOthers } from './carried.ts'
import type { CrossSiteTurns } from './cross-site-turns.ts'
import { createCatchUp, type CatchUp } from './catch-up.ts'
import { detectionOf, type DetectionOptions } from './detection.ts'
import { asHeld } from './held-score.ts'
import { decidingScore } from './own-data.ts'
import type { RequestLines } from './request-line.ts'
import { respondToSample, settleSample, UNSETTLED } from './settle-sample.ts'
import { createStolenTokenWatch, type StolenTokenParts } from './stolen-token.ts'
import type { Outcome, Transaction } from './transaction.ts'

/**
 * The fourth call, hop 9, after the answer has left: the receipt is kept, the client's history learns what came of the
 * request, metrics count it, playbooks may act and one log line is written. Nothing here is waited for by the client,
 * and nothing throws: a fault is logged and the next request goes on.
 */
export interface SettleParts extends Omit<StolenTokenParts, 'limits'> {
  clients: Pick<History, 'settle'>
  limits: DetectionOptions['limits'] & StolenTokenParts['limits'] & Pick<Limits, 'noteRefused'>
  decisions: DetectionOptions['decisions']
  unnamedProxies: DetectionOptions['unnamedProxies']
  log: Pick<Logger, 'info' | 'error'>
  requestLines: RequestLines
  metrics: Pick<Metrics, 'assessmentsTotal' | 'assessmentScore' | 'factorContribution'>
  playbooks: Pick<Playbooks, 'respond' | 'respondToSample'>
  receipts: Pick<Receipts, 'record' | 'recordRefusal' | 'recordSample'>
  thresholds: Thresholds
  crossSiteTurns: Pick<CrossSiteTurns, 'count'>
}

export interface Settle {
  settle (transaction: Transaction, outcome: Outcome): void
  /** Playbooks hear of a transaction before it is settled; they hear of it once. Never throws. */
  respond (transaction: Transaction): void
  /** The same for a sample that acts, once it is settled; resolves when they have acted. Never rejects. */
  respondToSample (transaction: Transaction): Promise<void>
  /** Never throws. */
  catchUp: CatchUp
}

export function createSettle (parts: SettleParts): Settle {
  const { clients, log, metrics, requestLines, playbooks, receipts } = parts
  const watchForTheft = createStolenTokenWatch(parts, parts.thresholds.block)
  const assessed = countedByWords(metrics.assessmentsTotal, ['action', 'source'])
  const scored = observedSeries(metrics.assessmentScore)
  const contributed = FACTOR_NAMES.map((factor) => observedSeries(metrics.factorContribution, { factor }))
  const options = detectionOptions(parts)

  function settle (transaction: Transaction, outcome: Outcome): void {
    if (transaction.authority === 'sample') {
      return attempt(transaction, 'the receipt', () => settleSample(transaction, outcome, parts))
    }
    attempt(transaction, 'the receipt', () => keepReceipt(transaction, outcome.status))
    if (isTelling(transaction)) attempt(transaction, 'the history', () => learn(transaction, outcome))
    respond(transaction)
    attempt(transaction, 'the use of its credential', () => watchForTheft(transaction))
    const { logLine } = outcome
    if (logLine !== undefined) attempt(transaction, 'the log line', () => requestLines.write(transaction, logLine))
  }

  function respond (transaction: Transaction): void {
    if (transaction.responded) return
    transaction.responded = true
    attempt(transaction, 'the playbooks', () => tell(transaction))
  }

  /** A fault of one part must not cost the others. */
  function attempt ({ id }: Transaction, part: string, work: () => void): void {
    try {
      work()
    } catch (error) {
      log.error({ err: error, assessment: id, part }, UNSETTLED)
    }
  }

  function keepReceipt (transaction: Transaction, status: number): void {
    const { id, at, client, address, method, target, score, verdict, observation, decision, refusedBy } = transaction
    const decisionId = decision?.id ?? null
    if (refusedBy === 'decision' || refusedBy === 'limit') {
      assessed('BLOCK', refusedBy).inc()
      const about = { id, at, client, address: address!, method, url: target }
      return receipts.recordRefusal({ ...about, source: refusedBy, decisionId, status })
    }
    if (score === null || verdict === null || observation === null) return
    assessed(verdict.action, score.source).inc()
    scored.observe(score.value)
    for (let i = 0; i < score.factors.length; i++) {
      const { contribution } = score.factors[i] as FactorContribution
      if (contribution > 0) contributed[i]!.observe(contribution)
    }
    receipts.record({ observation, score, verdict, status, decisionId, address: address!, at })
  }

  function learn (transaction: Transaction, { status, notFound = false }: Outcome): void {
    const { client, address, principal, credentialRefused, loginFailed, unjudged, refusedBy } = transaction
    const held = asHeld(transaction, parts.thresholds)
    const isOwn = !isOfOthers(transaction)
    const score = isOwn ? decidingScore(held) : null
    if (isOwn && held.refusedBy === 'score') parts.limits.noteRefused(client)
    clients.settle({
      client,
      address: addressKey(address!),
      status,
      action: isOwn ? actionLearnt(held) : 'ALLOW',
      score: score?.value ?? 0,
      factors: score?.factors,
      badToken: credentialRefused !== null,
      failedLogin: loginFailed,
      notFound,
      denied: status === 403 && refusedBy === null && principal !== null,
      exhausts: unjudged === 'exhausts'
    })
  }

  function tell (transaction: Transaction): void {
    const detection = detectionOf(asHeld(transaction, parts.thresholds), options)
    if (detection !== null) playbooks.respond(detection)
  }

  const catchUp = createCatchUp({ ...parts, tell })
  return {
    settle,
    respond,
    respondToSample: (sample) => respondToSample(sample, parts, options),
    catchUp: (transaction, later) => attempt(transaction, 'the full score', () => catchUp(transaction, later))
  }
}

function detectionOptions (parts: SettleParts): DetectionOptions {
  const { thresholds: { challenge, shadow }, limits, decisions, unnamedProxies } = parts
  return { challengeThreshold: challenge, shadow, limits, decisions, unnamedProxies, methodLabel }
}

/**
 * What history learns of the verdict. Requests that a limit or a standing decision refused do not count as refused by
 * score, nor those that nobody could read; and a score in a hurry makes no standing block, so its refusals are counted
 * when the full score has come.
 */
function actionLearnt (transaction: Transaction): Action {
  const { refusedBy, verdict } = transaction
  if (refusedBy === 'score') return decidingScore(transaction)?.degraded === true ? 'ALLOW' : 'BLOCK'
  return refusedBy === 'unjudged' ? 'ALLOW' : verdict?.action ?? 'ALLOW'
}

/** A standing decision's refusal says nothing new of its client, and another site's page nothing at all. */
function isTelling ({ crossSite, refusedForCarried, refusedBy, credentialRefused }: Transaction): boolean {
  if (crossSite) return false
  if (credentialRefused !== null) return true
  return refusedBy !== 'decision' && !(refusedForCarried && refusedBy === 'score')
}
