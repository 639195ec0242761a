import type { FastifyInstance, FastifyRequest } from 'fastify'
import { tellableEvidence } from '../../receipts/redact.ts'
import type { Decision, Verdict } from '../../decisions/shapes.ts'
import { assessesOnly } from '../../transaction/submitted-sample.ts'
import type { Passage } from '../../transaction/transaction.ts'
import type { Principal } from '../../identity/shapes.ts'
import type { LimitAnswer } from '../../limits/shapes.ts'
import { attackerOf } from '../../playbooks/shapes.ts'
import type { FactorName, Observation, Score } from '../../detect/shapes.ts'
import { addressKey } from '../../std/ip.ts'

/**
 * The gate's hops 3 to 7 and 9 for one operation of a WebSocket: the same as if it were a POST to /graphql, so that
 * nobody escapes judgement by another transport. In: who asks and the text; out: what to do with it, and its receipt.
 */
export interface Caller {
  /** Canonical. */
  readonly address: string
  /** False when NEVER_BLOCK's default does not protect this peer. */
  readonly covered: boolean
  /** Of the upgrade request, without what belongs to the handshake alone. */
  readonly headers: readonly string[]
  readonly requestId: string
  /** ClientKey. */
  readonly client: string
  readonly principal: Principal | null
}

export interface Inspected {
  readonly id: string
  readonly at: number
  readonly caller: Pick<Caller, 'address' | 'covered' | 'client'>
  readonly limit: LimitAnswer
  readonly decision: Decision | null
  readonly refusedBy: 'decision' | 'limit' | 'score' | null
  readonly observation: Observation | null
  readonly score: Score | null
  readonly verdict: Verdict | null
}

export interface Outcome { status: number, loginFailed: boolean, attemptLimited: boolean }

export interface Inspection {
  /** Never rejects. */
  inspect (caller: Caller, text: string, touchesDecoy: boolean): Promise<Inspected>
  /** Keeps the receipt and tells history and playbooks, once what it came to is known. Never throws. */
  settle (inspected: Inspected, outcome: Outcome): void
  /** A credential that did not hold counts on the address. */
  countBadToken (address: string): void
  /** The block that stands against a caller, or null. */
  blockOf (caller: Pick<Caller, 'address' | 'covered' | 'principal'>): Decision | null
}

/** As the gate: three challenges within ten minutes hold a client to the strict rate for ten. */
const CHALLENGES_TO_HOLD = 3
const HOLD_MS = 600_000
const OTHERS_BODY = 'body: what others sent, from a caller who may hand it in'

export function createInspection (app: FastifyInstance): Inspection {
  const { clock, decisions, limits, metrics, clients, threads } = app
  const mintId = createOperationIds(app.fleet.processId)

  function standing (
    { address, covered, principal }: Pick<Caller, 'address' | 'covered' | 'principal'>
  ): Decision | null {
    const byAddress = decisions.forAddress(address, covered)
    return decisions.forCaller(principal, byAddress)
  }

  async function inspect (caller: Caller, text: string, touchesDecoy: boolean): Promise<Inspected> {
    const { address, covered, client, principal } = caller
    const decision = standing(caller)
    const limit = await limits.take(principal?.tier ?? 'standard', client)
    metrics.limitDecisionsTotal.inc({
      tier: limit.tier,
      result: limit.allowed ? 'allowed' : 'refused',
      store: limit.store
    })
    const begun = {
      id: mintId(),
      at: clock.now(),
      caller: { address, covered, client },
      limit,
      decision,
      observation: null,
      score: null,
      verdict: null
    }
    if (isBlock(decision)) return { ...begun, refusedBy: 'decision' }
    if (!limit.allowed) return { ...begun, refusedBy: 'limit' }
    let observation = observe(begun, caller.headers, text)
    let score = await threads.score(observation)
    if (touchesDecoy) score.decoy = true
    let verdict = app.judge(score, { decision, method: 'POST' })
    if (verdict.action === 'BLOCK' && carriesOthers(observation, principal)) {
      observation = { ...observation, body: null }
      score = await threads.score(observation)
      score.notInspected.push(OTHERS_BODY)
      verdict = app.judge(score, { decision, method: 'POST' })
    }
    if (
      verdict.action === 'CHALLENGE' && !verdict.simulated &&
      (observation.history?.challenged600s ?? 0) + 1 >= CHALLENGES_TO_HOLD
    ) limits.hold(client, HOLD_MS)
    // A decoy answers its bait whatever the verdict, as over HTTP.
    const isRefused = verdict.action === 'BLOCK' && !verdict.simulated && !score.decoy
    return { ...begun, observation, score, verdict, refusedBy: isRefused ? 'score' : null }
  }

  /**
   * An authorised caller's `assess` carries what others sent, hostile by design: not held against them, as
   * over HTTP.
   */
  function carriesOthers ({ body }: Observation, principal: Principal | null): boolean {
    const request = { routeOptions: { config: { graphql: true } } } as unknown as FastifyRequest
    return assessesOnly(request, { body, principal } as unknown as Passage)
  }

  function observe (
    { id, at, caller, limit }: Pick<Inspected, 'id' | 'at' | 'caller' | 'limit'>,
    headers: readonly string[],
    text: string
  ): Observation {
    const body = Buffer.from(text)
    const observation: Observation = {
      id,
      at,
      client: caller.client,
      method: 'POST',
      url: '/graphql',
      headers: [...headers, 'content-type', 'application/json', 'content-length', String(body.length)],
      body,
      route: '/graphql',
      history: null
    }
    observation.history = clients.observe(observation, { address: addressKey(caller.address), limit })
    return observation
  }

  function settle (inspected: Inspected, outcome: Outcome): void {
    try {
      keepReceipt(inspected, outcome.status)
      learn(inspected, outcome)
      respond(inspected, outcome)
      logOperation(inspected, outcome.status)
    } catch (error) {
      app.log.error({ err: error, assessment: inspected.id }, 'the aftermath of an operation failed')
    }
  }

  function keepReceipt (
    { id, at, caller, refusedBy, decision, observation, score, verdict }: Inspected,
    status: number
  ): void {
    const decisionId = decision?.id ?? null
    if (refusedBy === 'decision' || refusedBy === 'limit') {
      metrics.assessmentsTotal.inc({ action: 'BLOCK', source: refusedBy })
      app.receipts.recordRefusal({
        id,
        at,
        ...caller,
        method: 'POST',
        url: '/graphql',
        source: refusedBy,
        decisionId,
        status
      })
    }
    if (observation === null || score === null || verdict === null) return
    metrics.assessmentsTotal.inc({ action: verdict.action, source: score.source })
    metrics.assessmentScore.observe(score.value)
    for (const factor of score.factors) {
      if (factor.contribution > 0) {
        metrics.factorContribution.observe({ factor: factor.name }, factor.contribution)
      }
    }
    app.receipts.record({ observation, score, verdict, status, decisionId, address: caller.address, at })
  }

  function learn ({ caller, refusedBy, score, verdict }: Inspected, { status, loginFailed }: Outcome): void {
    const action = refusedBy === 'score' ? 'BLOCK' : verdict?.action ?? 'ALLOW'
    clients.settle({
      client: caller.client,
      address: addressKey(caller.address),
      status,
      action,
      score: score?.value ?? 0,
      failedLogin: loginFailed
    })
  }

  function respond (inspected: Inspected, { attemptLimited }: Outcome): void {
    const { id, at, caller: { address, covered, client }, score, verdict, observation, refusedBy } = inspected
    const crossed = crossedLimit(inspected, attemptLimited)
    const isNotable = score !== null &&
      (score.value >= app.config.challengeThreshold || score.decoy || score.automation || score.anomaly)
    if (crossed === null && !isNotable) return
    app.playbooks.respond({
      assessmentId: id,
      at,
      attacker: attackerOf(client),
      client,
      address: covered ? address : null,
      score: score?.value ?? 0,
      grade: score?.grade ?? null,
      degraded: score?.degraded === true,
      decoy: score?.decoy === true,
      automation: score?.automation === true,
      anomaly: score?.anomaly === true,
      action: verdict?.action ?? 'BLOCK',
      simulated: verdict?.simulated ?? app.config.enforcement === 'shadow',
      refused: refusedBy === 'score' || (verdict?.simulated === true && verdict.action === 'BLOCK'),
      refusals600s: (observation?.history?.refused600s ?? 0) + 1,
      method: 'POST',
      path: '/graphql',
      factor: decisiveFactor(score),
      evidence: score === null ? [] : tellableEvidence(score.factors),
      crossed
    })
  }

  function logOperation ({ id, caller: { client }, refusedBy, score, verdict }: Inspected, status: number): void {
    const judged = score === null ? {} : { score: score.value, action: verdict?.action, factor: decisiveFactor(score) }
    app.log.info({
      assessment: id,
      client,
      method: 'WS',
      route: '/graphql',
      status,
      ...(refusedBy === null ? {} : { refusedBy }),
      ...judged
    }, 'operation')
  }

  function crossedLimit (
    { caller: { client }, limit }: Inspected,
    attemptLimited: boolean
  ): Parameters<typeof app.playbooks.respond>[0]['crossed'] {
    if (attemptLimited) {
      return {
        tier: 'strict',
        key: client,
        attempt: true,
        violations600s: limits.countViolation(client, { tier: 'strict', attempt: true })
      }
    }
    if (!limit.crossed || limits.isHeld(client)) return null
    return {
      tier: limit.tier,
      key: client,
      attempt: false,
      violations600s: limits.countViolation(client, { tier: limit.tier, attempt: false })
    }
  }

  return {
    inspect,
    settle,
    countBadToken (address) {
      const client = `ip:${addressKey(address)}`
      limits.takeNamed('standard', 'failed', client)
      clients.settle({
        client,
        address: addressKey(address),
        status: 401,
        action: 'ALLOW',
        score: 0,
        badToken: true
      })
    },
    blockOf (caller) {
      const decision = standing(caller)
      return isBlock(decision) ? decision : null
    }
  }
}

function isBlock (decision: Decision | null): decision is Decision {
  return decision !== null && decision.action === 'BLOCK' && !decision.simulated
}

function decisiveFactor (score: Score | null): FactorName | null {
  const largest = [...score?.factors ?? []].sort((a, b) => b.contribution - a.contribution)[0]
  return largest !== undefined && largest.contribution > 0 ? largest.name : null
}

/** Apart from the gate's ids, which count from 0, and from those of `assess`, which begin with 1. */
function createOperationIds (processId: string): () => string {
  let count = 0
  return () => `as_${processId}_2${(count++).toString(36).padStart(10, '0')}`
}
