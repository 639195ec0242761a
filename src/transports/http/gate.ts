import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import {
  NEKO_ERR_BLOCKED,
  NEKO_ERR_BODY_TOO_LARGE,
  NEKO_ERR_OVERLOADED,
  NEKO_ERR_REQUEST_TIMEOUT,
  NEKO_ERR_UNAUTHENTICATED
} from '../../errors.ts'
import { decideVerdict, type Thresholds } from '../../decisions/verdict.ts'
import type { Decision } from '../../decisions/shapes.ts'
import { asksDecoysOnly } from '../../transaction/graphql-decoys.ts'
import type { Principal } from '../../identity/shapes.ts'
import type { LimitAnswer } from '../../limits/shapes.ts'
import type { Score } from '../../detect/shapes.ts'
import { createAddressSet } from '../../std/ip.ts'
import { createReceiptIds } from '../../std/id.ts'
import { announcesBody, readBody } from './body.ts'
import { anonymousClient, clientAddress } from './client-address.ts'
import { showLimit } from './limit-headers.ts'
import { createObserver } from '../../transaction/observe.ts'
import type { Passage } from '../../transaction/transaction.ts'
import { isGraphql, refusalFrom, sendRefusal } from './refusal.ts'
import { assessesOnly } from '../../transaction/submitted-sample.ts'

/**
 * The conductor: one onRequest hook through which every request goes before anything of ours parses it.
 *
 * In: a request whose headers were read. Out: an answer that refuses it, or a Passage that says what each hop found.
 * Never does: know a rule. Each hop is one call that comes back once; nothing calls back into http. The order is the
 * one of the README's walk, cheapest first: a blocked address costs hop 1 only, and a refused credential is scored like
 * any request before it is answered, so that token guessing is seen by the factors.
 */
export const BODY_LIMIT_BYTES = 64 * 1024
/** A whole request within 8 s; whoever may send a large one gets 120. */
const BODY_TIMEOUT_MS = 8_000
const LARGE_BODY_TIMEOUT_MS = 120_000
/** Three challenges within ten minutes hold a client to the strict rate for ten. */
const CHALLENGES_TO_HOLD = 3
const HOLD_MS = 600_000
/** Less is shown as 0, which says nothing. */
const POINT_MIN = 0.5
/** What an authorised caller sends to be assessed or imported is hostile by design, and not held against them. */
const OTHERS_BODY = 'body: what others sent, from a caller who may hand it in'

const TOKEN_RULE = 'headers.token-head'
const BESIDE_TOKEN: ReadonlySet<string> = new Set(['payload', 'endpoint', 'userAgent'])

// Made once: an error with its stack costs more than the whole of hop 1.
const BLOCKED = refusalFrom(new NEKO_ERR_BLOCKED())
const OVERLOADED = refusalFrom(new NEKO_ERR_OVERLOADED('1'))
const TOO_LARGE = refusalFrom(new NEKO_ERR_BODY_TOO_LARGE())
const TOO_SLOW = refusalFrom(new NEKO_ERR_REQUEST_TIMEOUT())
const UNAUTHENTICATED = refusalFrom(new NEKO_ERR_UNAUTHENTICATED())

/**
 * A reply when it refused, undefined when the request may go on. Hop 1 answers without a promise: a blocked
 * flood is most of what a defence sees.
 */
export type Gate = (
  request: FastifyRequest,
  reply: FastifyReply
) => Promise<FastifyReply | undefined> | FastifyReply | undefined

export function createGate (app: FastifyInstance): Gate {
  const { config, clock, decisions, identity, limits, threads, metrics } = app
  const mintId = createReceiptIds(app.fleet.processId)
  const trusted = createAddressSet(config.trustProxy)
  const thresholds: Thresholds = {
    challenge: config.challengeThreshold,
    block: config.blockThreshold,
    shadow: config.enforcement === 'shadow'
  }
  const observe = createObserver(app)

  return function gate (request, reply) {
    if (request.routeOptions.config?.ungated === true) return undefined
    const passage = begin(request, reply)

    // Hop 1: an address that is blocked and shows no credential goes no further.
    const byAddress = decisions.forAddress(passage.address, passage.covered)
    const shows = request.headers.authorization !== undefined || request.headers['x-api-key'] !== undefined
    if (isBlock(byAddress) && !shows) return refuseByDecision(request, reply, passage, byAddress)
    return goOn(request, reply, passage, { byAddress, shows })
  }

  async function goOn (
    request: FastifyRequest,
    reply: FastifyReply,
    passage: Passage,
    { byAddress, shows }: { byAddress: Decision | null, shows: boolean }
  ): Promise<FastifyReply | undefined> {
    let failures: LimitAnswer | null = null

    // Hop 2: who asks. An address with too many refused credentials is refused before any cryptography.
    if (shows) {
      const guesses = limits.peekNamed('standard', 'failed', passage.client)
      if (!guesses.allowed) {
        countLimit(guesses)
        return refuseByLimit(request, reply, passage, guesses)
      }
      const credential = await identity.authenticate(request.headers)
      if (credential.state === 'held') {
        passage.principal = credential.principal
        passage.client = credential.principal.clientKey
      } else if (credential.state === 'refused') {
        passage.credentialRefused = credential.reason
        failures = await limits.takeNamed('standard', 'failed', passage.client)
        countLimit(failures)
        if (!failures.allowed) return refuseByLimit(request, reply, passage, failures)
      }
    }

    // Hop 3: decisions about the key, user or session; an allow there lifts the block of its address.
    const decision = decisions.forCaller(passage.principal, byAddress)
    passage.decision = decision
    if (isBlock(decision)) return refuseByDecision(request, reply, passage, decision)

    // Hop 4: its limit. Refused credentials are counted already, and a rate that challenges impose must not
    // hide from their bearer that they do not hold.
    const taken = failures !== null && limits.isHeld(passage.client)
      ? failures
      : limits.take(passage.principal?.tier ?? 'standard', passage.client)
    const limit = taken instanceof Promise ? await taken : taken
    passage.limit = limit
    showLimit(reply, limit)
    if (limit !== failures) countLimit(limit)
    if (!limit.allowed) return refuseByLimit(request, reply, passage, limit)
    if (app.isOverloaded()) return sendRefusal(request, reply, { ...OVERLOADED, retryAfterSeconds: 1 })

    // Hops 5 to 7: what it is, what it scores, what that means.
    const end = await receive(request, passage)
    if (end === 'gone') return reply.hijack() as unknown as FastifyReply
    passage.observation = observe(request, passage)
    passage.score = await threads.score(passage.observation)
    if (passage.bodyIsOthers) note(passage.score, OTHERS_BODY)
    if (end === 'over') note(passage.score, `body: what follows the first ${BODY_LIMIT_BYTES} bytes`)
    if (request.routeOptions.config?.decoy === true) passage.score.decoy = true
    passage.verdict = decideVerdict({
      score: passage.score,
      decision,
      writes: request.method !== 'GET' && request.method !== 'HEAD',
      thresholds
    })
    if (passage.verdict.action === 'BLOCK' && assessesOnly(request, passage)) await scoreWithoutBody(passage)
    showScore(reply, passage)
    if (passage.verdict.action === 'CHALLENGE' && !passage.verdict.simulated) holdAfterChallenges(passage)
    // A decoy answers its bait whatever the verdict: the standing block starts with the next request.
    if (
      passage.verdict.action === 'BLOCK' && isGraphql(request) &&
      asksDecoysOnly(request.raw.url ?? '', passage.body)
    ) passage.score.decoy = true
    if (passage.verdict.action === 'BLOCK' && !passage.verdict.simulated && !passage.score.decoy) {
      passage.refusedBy = 'score'
      return isTokenAlone(passage)
        ? sendRefusal(request, reply.header('www-authenticate', 'Bearer'), UNAUTHENTICATED)
        : sendRefusal(request, reply, BLOCKED)
    }
    if (end === 'over') return sendRefusal(request, closing(reply), TOO_LARGE)
    if (end === 'slow') return sendRefusal(request, closing(reply), TOO_SLOW)
    if (passage.credentialRefused !== null) {
      return sendRefusal(request, reply.header('www-authenticate', 'Bearer'), UNAUTHENTICATED)
    }
  }

  /**
   * A token that is itself the attack is answered as any other that does not hold (R36); its receipt and the
   * playbooks say BLOCK.
   */
  function isTokenAlone ({ credentialRefused, score }: Passage): boolean {
    if (credentialRefused === null || score === null) return false
    if (!score.factors.some(({ evidence }) => evidence.some((one) => one.rule === TOKEN_RULE))) return false
    // The others tell of the token, or of more like it before.
    const rest = score.factors.reduce(
      (sum, { name, contribution }) => BESIDE_TOKEN.has(name) ? sum + contribution : sum,
      0
    )
    return rest < thresholds.challenge
  }

  function countLimit ({ tier, allowed, store }: LimitAnswer): void {
    metrics.limitDecisionsTotal.inc({ tier, result: allowed ? 'allowed' : 'refused', store })
  }

  function begin (request: FastifyRequest, reply: FastifyReply): Passage {
    const { address, untrustedForwarding } = clientAddress(
      request.raw.socket.remoteAddress,
      request.headers['x-forwarded-for'],
      trusted
    )
    if (untrustedForwarding) app.forwardingSeen()
    const passage: Passage = {
      id: mintId(),
      startedMs: clock.monotonic(),
      at: clock.now(),
      address,
      covered: !untrustedForwarding || !config.neverBlockIsDefault,
      client: anonymousClient(address),
      principal: null,
      credentialRefused: null,
      limit: null,
      body: null,
      observation: null,
      score: null,
      verdict: null,
      decision: null,
      refusedBy: null,
      bodyIsOthers: false,
      loginFailed: false,
      attemptLimited: false,
      nothingFound: false,
      sighted: false
    }
    request.passage = passage
    reply.header('x-neko-assessment', passage.id)
    return passage
  }

  /** Reads the body where there is one; only who may send a large or streamed one gets more than 64 KiB. */
  async function receive (request: FastifyRequest, passage: Passage): Promise<'whole' | 'over' | 'slow' | 'gone'> {
    if (!announcesBody(request.raw)) return 'whole'
    const { config: route, bodyLimit } = request.routeOptions
    const mayMore = route?.bodyScope !== undefined && passage.principal?.scopes.includes(route.bodyScope) === true
    passage.bodyIsOthers = mayMore
    if (mayMore && route.streamed === true) return 'whole'
    const limitBytes = mayMore ? bodyLimit ?? BODY_LIMIT_BYTES : BODY_LIMIT_BYTES
    // Nothing of a body that says it is too large is read: it is refused as soon as the rest of the request is scored.
    const announced = Number(request.headers['content-length'] ?? 0)
    if (announced > limitBytes) return 'over'
    const room = mayMore ? null : app.bodies.take(announced)
    const read = await readBody(request.raw, limitBytes, mayMore ? LARGE_BODY_TIMEOUT_MS : BODY_TIMEOUT_MS, room)
    passage.body = read.bytes
    return read.end
  }

  /** An authorised caller's `assess` carries what others sent: it is looked at again without its body. */
  async function scoreWithoutBody (passage: Passage): Promise<void> {
    const observation = { ...passage.observation!, body: null }
    passage.observation = observation
    passage.score = await threads.score(observation)
    note(passage.score, OTHERS_BODY)
    passage.verdict = decideVerdict({ score: passage.score, decision: passage.decision, writes: true, thresholds })
  }

  function holdAfterChallenges (passage: Passage): void {
    const before = passage.observation?.history?.challenged600s ?? 0
    if (before + 1 >= CHALLENGES_TO_HOLD) limits.hold(passage.client, HOLD_MS)
  }

  function refuseByDecision (
    request: FastifyRequest,
    reply: FastifyReply,
    passage: Passage,
    decision: Decision
  ): FastifyReply {
    passage.decision = decision
    passage.refusedBy = 'decision'
    showUnscored(reply, passage)
    return sendRefusal(request, unread(request, reply), BLOCKED)
  }

  function refuseByLimit (
    request: FastifyRequest,
    reply: FastifyReply,
    passage: Passage,
    limit: LimitAnswer
  ): FastifyReply {
    passage.limit = limit
    passage.refusedBy = 'limit'
    showLimit(reply, limit)
    return sendRefusal(request, unread(request, reply), {
      status: 429,
      code: 'NEKO_ERR_LIMIT_EXCEEDED',
      message: `Too many requests: try again in ${limit.retryAfterSeconds} s`,
      retryAfterSeconds: limit.retryAfterSeconds
    })
  }

  /**
   * Refused by a standing decision, before it was scored: as its receipt says. Who is over a limit is not
   * called an attacker in a header.
   */
  function showUnscored (reply: FastifyReply, { principal }: Passage): void {
    if (!config.exposeScore && !maySeeAssessments(principal)) return
    reply.header('x-neko-score', 0)
    reply.header('x-neko-action', 'BLOCK')
    reply.header('x-neko-factors', '')
  }

  function showScore (reply: FastifyReply, { score, verdict, principal }: Passage): void {
    if (!config.exposeScore && !maySeeAssessments(principal)) return
    const factors = score!.factors.filter((factor) => factor.contribution >= POINT_MIN).sort((a, b) =>
      b.contribution - a.contribution
    )
    reply.header('x-neko-score', Math.round(score!.value))
    reply.header('x-neko-action', verdict!.action)
    reply.header(
      'x-neko-factors',
      factors.map((factor) => `${factor.name}=${Math.round(factor.contribution)}`).join(',')
    )
  }
}

/** A list of its own: the scorer may hand out the same one twice. */
function note (score: Score, what: string): void {
  score.notInspected = [...score.notInspected, what]
}

function maySeeAssessments (principal: Principal | null): boolean {
  return principal?.scopes.includes('read') === true
}

function isBlock (decision: Decision | null): decision is Decision {
  return decision !== null && decision.action === 'BLOCK' && !decision.simulated
}

/** A body that nobody will read must not hold the connection. */
function unread (request: FastifyRequest, reply: FastifyReply): FastifyReply {
  return announcesBody(request.raw) ? closing(reply) : reply
}

function closing (reply: FastifyReply): FastifyReply {
  return reply.header('connection', 'close')
}
