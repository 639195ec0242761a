import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { addressKey } from '../std/ip.ts'
import { methodLabel } from '../telemetry/metrics.ts'
import type { FactorName } from '../scoring/shapes.ts'
import type { Passage } from './passage.ts'

/**
 * Hop 9, after the reply has left: the receipt is kept, the client's history learns what came of the request, metrics
 * count it, playbooks may act and one log line is written. Nothing here is waited for by the client, and nothing
 * throws: a fault is logged and the next request goes on.
 */
export function createAftermath (app: FastifyInstance): (request: FastifyRequest, reply: FastifyReply) => void {
  const { assessments, clock, metrics, scoring } = app
  const logsInfo = ['info', 'debug', 'trace'].includes(app.config.logLevel)

  return function aftermath (request, reply) {
    metrics.httpRequestsInFlight.dec()
    if (request.routeOptions.config?.ungated === true) return
    const passage = request.passage
    if (passage === null) return
    const status = reply.statusCode
    const seconds = (clock.monotonic() - passage.startedMs) / 1000
    metrics.httpRequestsTotal.inc({ method: methodLabel(request.method), status, route: request.is404 ? 'unknown' : request.routeOptions.url ?? 'unknown' })
    metrics.httpRequestDurationSeconds.observe(seconds)
    try {
      keepReceipt(request, passage, status)
      learn(passage, status)
    } catch (error) {
      app.log.error({ err: error, assessment: passage.id }, 'the aftermath of a request failed')
    }
    logRequest(request, passage, status, seconds)
  }

  function keepReceipt (request: FastifyRequest, passage: Passage, status: number): void {
    const { id, at, client, address, score, verdict, observation, decision, refusedBy } = passage
    if (refusedBy === 'decision' || refusedBy === 'limit') {
      metrics.assessmentsTotal.inc({ action: 'BLOCK', source: refusedBy })
      assessments.recordRefusal({ id, at, client, address, method: request.raw.method ?? '', url: request.raw.url ?? '', source: refusedBy, decisionId: decision?.id ?? null, status })
      return
    }
    if (score === null || verdict === null || observation === null) return
    metrics.assessmentsTotal.inc({ action: verdict.action, source: score.source })
    metrics.assessmentScore.observe(score.value)
    for (const factor of score.factors) if (factor.contribution > 0) metrics.factorContribution.observe({ factor: factor.name }, factor.contribution)
    assessments.record({ observation, score, verdict, status, decisionId: decision?.id ?? null, address, at })
  }

  function learn (passage: Passage, status: number): void {
    scoring.history.settle({
      client: passage.client,
      address: addressKey(passage.address),
      status,
      // What is refused by a limit or a standing decision is not counted as a refusal by score.
      action: passage.refusedBy === 'score' || passage.verdict?.action === 'BLOCK' ? 'BLOCK' : passage.verdict?.action ?? 'ALLOW',
      score: passage.score?.value ?? 0,
      badToken: passage.credentialRefused !== null,
      failedLogin: passage.loginFailed === true,
      notFound: passage.nothingFound === true
    })
  }

  function logRequest (request: FastifyRequest, passage: Passage, status: number, seconds: number): void {
    if (!logsInfo) return
    app.log.info({
      requestId: request.id,
      assessment: passage.id,
      client: passage.client,
      method: methodLabel(request.method),
      route: request.is404 ? null : request.routeOptions.url ?? null,
      status,
      ms: Math.round(seconds * 1e5) / 100,
      ...(passage.refusedBy === null ? {} : { refusedBy: passage.refusedBy }),
      ...(passage.score === null ? {} : { score: passage.score.value, action: passage.verdict?.action, factor: decisiveFactor(passage) })
    }, 'request')
  }
}

/** The factor with the largest contribution, or null when the score is 0. */
export function decisiveFactor (passage: Passage): FactorName | null {
  let largest: { name: FactorName, contribution: number } | null = null
  for (const factor of passage.score?.factors ?? []) if (factor.contribution > (largest?.contribution ?? 0)) largest = factor
  return largest?.name ?? null
}
