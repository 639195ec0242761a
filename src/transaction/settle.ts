import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { redactPath, tellableEvidence } from '../receipts/redact.ts'
import { addressKey } from '../std/ip.ts'
import { methodLabel } from '../telemetry/metrics.ts'
import { attackerOf } from '../playbooks/shapes.ts'
import type { Detection } from '../playbooks/shapes.ts'
import type { FactorName } from '../detect/shapes.ts'
import type { Passage } from './transaction.ts'

/** Lines about requests that a standing decision refused. */
const REFUSALS_LOGGED_PER_SECOND = 20

export interface Aftermath {
  /** Once per request, whoever calls it first. */
  settle (request: FastifyRequest, reply: FastifyReply): void
  /** Tells the playbooks now: for an answer that is slow on purpose, or a block would begin with its end. */
  sight (request: FastifyRequest): void
}

/**
 * Hop 9, after the reply has left: the receipt is kept, the client's history learns what came of the request, metrics
 * count it, playbooks may act and one log line is written. Nothing here is waited for by the client, and nothing
 * throws: a fault is logged and the next request goes on.
 */
export function createAftermath (app: FastifyInstance): Aftermath {
  const { receipts, clock, metrics, clients } = app
  let loggedSecond = 0
  let loggedRefusals = 0
  let unlogged = 0
  // Label sets are few (closed lists of ours) and hashed once: half of what counting a refused request costs.
  const counted = new Map<string, { inc (): void }>()
  const refusals = {
    decision: metrics.assessmentsTotal.labels('BLOCK', 'decision'),
    limit: metrics.assessmentsTotal.labels('BLOCK', 'limit')
  }
  const logsInfo = ['info', 'debug', 'trace'].includes(app.config.logLevel)

  function settle (request: FastifyRequest, reply: FastifyReply): void {
    if (request.settled) return
    request.settled = true
    metrics.httpRequestsInFlight.dec()
    if (request.routeOptions.config?.ungated === true) return
    const passage = request.passage
    if (passage === null) return
    const status = reply.statusCode
    const seconds = (clock.monotonic() - passage.startedMs) / 1000
    countRequest(methodLabel(request.method), status, request.is404 ? 'unknown' : request.routeOptions.url ?? 'unknown')
    metrics.httpRequestDurationSeconds.observe(seconds)
    try {
      keepReceipt(request, passage, status)
      // A standing decision's refusal says nothing new of its client.
      if (passage.refusedBy !== 'decision' || passage.credentialRefused !== null) learn(passage, status)
      respond(request, passage)
    } catch (error) {
      app.log.error({ err: error, assessment: passage.id }, 'the aftermath of a request failed')
    }
    logRequest(request, passage, status, seconds)
  }

  function sight (request: FastifyRequest): void {
    const { passage } = request
    if (passage === null) return
    try {
      respond(request, passage)
    } catch (error) {
      app.log.error({ err: error, assessment: passage.id }, 'playbooks could not be told of a request')
    }
  }

  function countRequest (method: string, status: number, route: string): void {
    const key = `${method} ${status} ${route}`
    let one = counted.get(key)
    if (one === undefined) counted.set(key, one = metrics.httpRequestsTotal.labels(method, String(status), route))
    one.inc()
  }

  function keepReceipt (request: FastifyRequest, passage: Passage, status: number): void {
    const { id, at, client, address, score, verdict, observation, decision, refusedBy } = passage
    if (refusedBy === 'decision' || refusedBy === 'limit') {
      refusals[refusedBy].inc()
      receipts.recordRefusal({
        id,
        at,
        client,
        address,
        method: request.raw.method ?? '',
        url: request.raw.url ?? '',
        source: refusedBy,
        decisionId: decision?.id ?? null,
        status
      })
      return
    }
    if (score === null || verdict === null || observation === null) return
    metrics.assessmentsTotal.inc({ action: verdict.action, source: score.source })
    metrics.assessmentScore.observe(score.value)
    for (const factor of score.factors) {
      if (factor.contribution > 0) {
        metrics.factorContribution.observe({ factor: factor.name }, factor.contribution)
      }
    }
    receipts.record({ observation, score, verdict, status, decisionId: decision?.id ?? null, address, at })
  }

  function learn (passage: Passage, status: number): void {
    clients.settle({
      client: passage.client,
      address: addressKey(passage.address),
      status,
      // What is refused by a limit or a standing decision is not counted as a refusal by score.
      action: passage.refusedBy === 'score' || passage.verdict?.action === 'BLOCK'
        ? 'BLOCK'
        : passage.verdict?.action ?? 'ALLOW',
      score: passage.score?.value ?? 0,
      factors: passage.score?.factors,
      badToken: passage.credentialRefused !== null,
      failedLogin: passage.loginFailed === true,
      notFound: passage.nothingFound === true
    })
  }

  /** Playbooks are told of what was scored, and of limits that were crossed; once. */
  function respond (request: FastifyRequest, passage: Passage): void {
    if (passage.sighted) return
    passage.sighted = true
    const { score, verdict, observation, limit } = passage
    const crossed = crossedLimit(passage)
    if (score === null || verdict === null || observation === null) {
      if (limit === null || crossed === null) return
    } else if (
      crossed === null && score.value < app.config.challengeThreshold && !score.decoy && !score.automation &&
      !score.anomaly
    ) return
    app.playbooks.respond({
      assessmentId: passage.id,
      at: passage.at,
      attacker: attackerOf(passage.client),
      client: passage.client,
      address: passage.covered ? passage.address : null,
      score: score?.value ?? 0,
      grade: score?.grade ?? null,
      degraded: score?.degraded === true,
      decoy: score?.decoy === true,
      automation: score?.automation === true,
      anomaly: score?.anomaly === true,
      action: verdict?.action ?? 'BLOCK',
      simulated: verdict?.simulated ?? app.config.enforcement === 'shadow',
      refused: passage.refusedBy === 'score' || (verdict?.simulated === true && verdict.action === 'BLOCK'),
      refusals600s: (observation?.history?.refused600s ?? 0) + 1,
      method: methodLabel(request.method),
      path: redactPath(request.raw.url ?? ''),
      factor: decisiveFactor(passage),
      evidence: score === null ? [] : tellableEvidence(score.factors),
      crossed
    })
  }

  /** A violation is one crossing of a limit; the rate that a challenge imposes never counts. */
  function crossedLimit (passage: Passage): Detection['crossed'] {
    const { client, limit } = passage
    if (passage.attemptLimited) {
      return {
        tier: 'strict',
        key: client,
        attempt: true,
        violations600s: app.limits.countViolation(client, { tier: 'strict', attempt: true })
      }
    }
    if (limit === null || !limit.crossed || app.limits.isHeld(client)) return null
    return {
      tier: limit.tier,
      key: client,
      attempt: false,
      violations600s: app.limits.countViolation(client, { tier: limit.tier, attempt: false })
    }
  }

  /**
   * A blocked client that goes on asking must not fill the log: receipts and metrics count what its lines
   * leave out.
   */
  function mayLogRefusal (): boolean {
    const second = Math.floor(clock.monotonic() / 1000)
    if (second !== loggedSecond) {
      loggedSecond = second
      loggedRefusals = 0
    }
    if (++loggedRefusals <= REFUSALS_LOGGED_PER_SECOND) return true
    unlogged++
    return false
  }

  function logRequest (request: FastifyRequest, passage: Passage, status: number, seconds: number): void {
    if (!logsInfo || (passage.refusedBy === 'decision' && !mayLogRefusal())) return
    app.log.info({
      requestId: request.id,
      assessment: passage.id,
      client: passage.client,
      method: methodLabel(request.method),
      route: request.is404 ? null : request.routeOptions.url ?? null,
      status,
      ms: Math.round(seconds * 1e5) / 100,
      ...(passage.refusedBy === null ? {} : { refusedBy: passage.refusedBy }),
      ...(passage.refusedBy === 'decision' && unlogged > 0 ? { unlogged } : {}),
      ...(passage.score === null
        ? {}
        : { score: passage.score.value, action: passage.verdict?.action, factor: decisiveFactor(passage) })
    }, 'request')
    if (passage.refusedBy === 'decision') unlogged = 0
  }

  return { settle, sight }
}

/** The factor with the largest contribution, or null when the score is 0. */
export function decisiveFactor (passage: Pick<Passage, 'score'>): FactorName | null {
  let largest: { name: FactorName, contribution: number } | null = null
  for (const factor of passage.score?.factors ?? []) {
    if (factor.contribution > (largest?.contribution ?? 0)) largest = factor
  }
  return largest?.name ?? null
}
