import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Config } from '../../config/config.ts'
import { createAddressSet } from '../../std/ip.ts'
import { methodLabel } from '../../telemetry/metrics.ts'
import { countedByWords, gaugedSeries, observedSeries } from '../../telemetry/tallies.ts'
import { BODY_BYTES_MAX } from '../../transaction/bounds.ts'
import type { Refusal } from '../../transaction/refusal.ts'
import type { Arrival, Body, Transaction } from '../../transaction/transaction.ts'
import { markUnjudged } from '../../transaction/unjudged.ts'
import { announcesBody, readBody, skimBody } from './body.ts'
import { clientAddress } from './client-address.ts'
import { routeOf } from './route-facts.ts'
import { endsConnection, sendPreparedRefusal, sendRefusal } from './send-refusal.ts'
import { showVerdict } from './verdict-headers.ts'

/**
 * The walk of a request, for HTTP: one onRequest hook through which every request goes before anything of ours parses
 * it, and what is settled when its answer has left.
 *
 * In: a request whose headers were read. Out: an answer that refuses it, or a Transaction that says what each hop
 * found. Never does: know a rule, or the order of the hops (transaction/walk.ts).
 */
export interface Gate {
  /**
   * Calls `pass` when the request may go on, or when something of ours failed; all others are answered here. A request
   * that no hop has to wait for is through without a promise: a flood that is refused, and reads that are cached, are
   * most of what a defence sees.
   */
  before (request: FastifyRequest, reply: FastifyReply, pass: Pass): void
  /** The parser refused a body of a request that passed: the verdict says so. */
  markUnjudged (request: FastifyRequest, reply: FastifyReply): void
  /** Once per request, whoever calls it first. */
  after (request: FastifyRequest, reply: FastifyReply): void
}

type Pass = (error?: Error) => void
type Dress = (request: FastifyRequest, reply: FastifyReply) => void

declare module 'fastify' {
  interface FastifyContextConfig {
    /**
     * Asked for each request before it is judged: the one that it stands for, which is judged, recorded and handled in
     * its place. Null: itself.
     */
    standsFor?: (request: FastifyRequest, body: Body | null) => { target: string, body: Body | null } | null
    /**
     * Asked for each request that passed the gate and has no header yet. True: it is answered, or `pass` will be
     * called.
     */
    answerEarly?: (request: FastifyRequest, reply: FastifyReply, pass: () => void) => boolean
  }
}

/** A whole request within 8 s; a caller who may send a large one gets 120. */
const BODY_TIMEOUT_MS = 8_000
const LARGE_BODY_TIMEOUT_MS = 120_000

/** @param dress puts on an answer what every answer carries; once for each, before anything else of it */
export function createGate (app: FastifyInstance, dress: Dress): Gate {
  const { config, walk } = app
  const arrivalOf = createArrivals(config)
  const underWay = gaugedSeries(app.metrics.httpRequestsInFlight)
  const after = createAfter(app, () => underWay.dec())

  function before (request: FastifyRequest, reply: FastifyReply, pass: Pass): void {
    underWay.inc()
    if (request.routeOptions.config?.ungated === true) {
      dress(request, reply)
      return pass()
    }
    guarded(request, reply, pass, () => {
      const transaction = request.transaction = walk.begin(arrivalOf(request))
      const admitted = walk.admit(transaction)
      if (admitted instanceof Promise) {
        const goOn = (refusal: Refusal | null): void =>
          guarded(request, reply, pass, () => afterAdmission(request, reply, pass, refusal))
        admitted.then(goOn, (error: Error) => fail(request, reply, pass, error))
      } else if (admitted === null || app.isPreflight(request)) afterAdmission(request, reply, pass, admitted)
      else refuseInTheMidst(request, reply, pass, admitted)
    })
  }

  /** A fault of ours is an answer too, with what every answer carries. */
  function guarded (request: FastifyRequest, reply: FastifyReply, pass: Pass, work: () => void): void {
    try {
      work()
    } catch (error) {
      fail(request, reply, pass, error as Error)
    }
  }

  function fail (request: FastifyRequest, reply: FastifyReply, pass: Pass, error: Error): void {
    dress(request, reply)
    pass(error)
  }

  /** The parser is still at work: what it finds behind the request decides whether its connection goes on. */
  function refuseInTheMidst (request: FastifyRequest, reply: FastifyReply, pass: Pass, refusal: Refusal): void {
    const { raw } = request
    const answer = (isBodyRead: boolean): void => guarded(request, reply, pass, () =>
      afterAdmission(request, reply, pass, isBodyRead ? withBodyRead(refusal) : refusal))
    const hasUnread = refusal.bodyUnread === true && announcesBody(raw)
    // A body that came with its head is out of the way: its connection goes on.
    if (hasUnread && skimBody(raw, answer)) return app.pipelines.holdBehind(raw)
    if (hasUnread) app.pipelines.endAt(raw)
    else app.pipelines.holdBehind(raw)
    process.nextTick(answer, false)
  }

  function afterAdmission (request: FastifyRequest, reply: FastifyReply, pass: Pass, refusal: Refusal | null): void {
    const transaction = request.transaction as Transaction
    if (transaction.refusedBy !== null && app.isPreflight(request)) {
      return answerPreflight({ request, reply, dress }, transaction)
    }
    if (refusal === null) return readAndInspect(request, reply, pass, transaction)
    refuse({ request, reply, dress }, refusal, transaction.refusedBy === 'decision')
  }

  function readAndInspect (request: FastifyRequest, reply: FastifyReply, pass: Pass, transaction: Transaction): void {
    const none = { body: null, isInMidst: false }
    if (!announcesBody(request.raw)) return inspect(request, reply, pass, { ...none, body: stoodFor(request, null) })
    receive(app, request, transaction, (body, isInMidst) => guarded(request, reply, pass, () => {
      if (body !== 'gone') return inspect(request, reply, pass, { body: stoodFor(request, body), isInMidst })
      after(request, reply)
      reply.hijack()
    }))
  }

  function inspect (
    request: FastifyRequest,
    reply: FastifyReply,
    pass: Pass,
    { body, isInMidst }: { body: Body | null, isInMidst: boolean }
  ): void {
    const refused = walk.inspect(request.transaction as Transaction, body)
    if (!(refused instanceof Promise)) {
      return afterInspection(request, reply, pass, { body, refusal: refused, isInMidst })
    }
    const goOn = (refusal: Refusal | null): void => guarded(request, reply, pass, () =>
      afterInspection(request, reply, pass, { body, refusal, isInMidst: false }))
    refused.then(goOn, (error: Error) => fail(request, reply, pass, error))
  }

  function afterInspection (
    request: FastifyRequest,
    reply: FastifyReply,
    pass: Pass,
    { body, refusal, isInMidst }: { body: Body | null, refusal: Refusal | null, isInMidst: boolean }
  ): void {
    const isWhole = body === null || body.end === 'whole'
    const early = request.routeOptions.config?.answerEarly
    const goOn = (): void => {
      if (refusal !== null && isWhole) return refuse({ request, reply, dress }, withBodyRead(refusal), true)
      dress(request, reply)
      // Whatever the answer is.
      if (!isWhole) reply.header('connection', 'close')
      const transaction = request.transaction as Transaction
      if (app.maySeeScore(transaction.principal)) showVerdict(reply, transaction)
      if (refusal === null) pass()
      else sendRefusal(request, reply, refusal)
    }
    const later = (): void => guarded(request, reply, pass, goOn)
    if (refusal === null && early !== undefined && early(request, reply, later)) return
    // What stands behind it in the same read decides whether its connection goes on.
    if (isInMidst) process.nextTick(later)
    else goOn()
  }

  function markRefused ({ transaction }: FastifyRequest, reply: FastifyReply): void {
    if (transaction === null || transaction.score === null) return
    markUnjudged(transaction)
    if (app.maySeeScore(transaction.principal)) showVerdict(reply, transaction)
  }

  return { before, after, markUnjudged: markRefused }
}

/** One fixed answer whatever its address has done, and no violation of the limit; the receipt says what stands. */
function answerPreflight (
  { request, reply, dress }: { request: FastifyRequest, reply: FastifyReply, dress: Dress },
  transaction: Transaction
): void {
  transaction.limit = null
  dress(request, reply)
  request.server.allowPreflight(reply)
  reply.code(204).send()
}

/** @param hasVerdict whoever may see verdicts is shown one */
function refuse (
  { request, reply, dress }: { request: FastifyRequest, reply: FastifyReply, dress: Dress },
  refusal: Refusal,
  hasVerdict: boolean
): void {
  const transaction = request.transaction as Transaction
  const ends = endsConnection(request, refusal)
  if (!ends && sendPreparedRefusal(request, reply, refusal)) return
  dress(request, reply)
  if (hasVerdict && request.server.maySeeScore(transaction.principal)) showVerdict(reply, transaction)
  sendRefusal(request, reply, refusal, ends)
}

/** The same refusal, for a request of whose body nothing is left. */
function withBodyRead (refusal: Refusal): Refusal {
  if (refusal.bodyUnread !== true) return refusal
  let read = bodyRead.get(refusal)
  if (read === undefined) bodyRead.set(refusal, read = { ...refusal, bodyUnread: false })
  return read
}

const bodyRead = new WeakMap<Refusal, Refusal>()

/** Counts an answer that has left, and tells the walk. */
function createAfter ({ metrics, clock, walk }: FastifyInstance, isOver: () => void): Gate['after'] {
  const answered = countedByWords(metrics.httpRequestsTotal, ['method', 'status', 'route'])
  const duration = observedSeries(metrics.httpRequestDurationSeconds)

  return function after (request, reply) {
    if (request.settled) return
    request.settled = true
    isOver()
    const { transaction } = request
    if (transaction === null) return
    const status = reply.statusCode
    const seconds = (clock.monotonic() - transaction.startedMs) / 1000
    const method = methodLabel(request.method)
    const route = request.is404 ? null : request.routeOptions.url ?? null
    answered(method, String(status), route ?? 'unknown').inc()
    duration.observe(seconds)
    const ms = Math.round(seconds * 1e5) / 100
    walk.settle(transaction, { status, logLine: { requestId: request.id, method, route, status, ms } })
  }
}

/** The body of the request that it stands for. */
function stoodFor (request: FastifyRequest, received: Body | null): Body | null {
  const whole = request.routeOptions.config?.standsFor?.(request, received) ?? null
  if (whole === null) return received
  const transaction = request.transaction as Transaction
  transaction.target = whole.target
  if (whole.body === received) return received
  request.server.bodies.give((received?.bytes ?? null) as Buffer | null)
  // Fastify holds the length that was announced against it.
  const { headers } = request.raw
  if (headers['content-length'] !== undefined) headers['content-length'] = String(whole.body?.bytes?.length ?? 0)
  return whole.body
}

/** What is known of a request before its body. */
function createArrivals (
  { trustProxy, neverBlockIsDefault }: Pick<Config, 'trustProxy' | 'neverBlockIsDefault'>
): (request: FastifyRequest) => Arrival {
  const trusted = createAddressSet(trustProxy)

  return function arrivalOf (request) {
    const { raw, headers } = request
    const { address, unnamedProxy } = clientAddress(raw.socket.remoteAddress, headers, trusted)
    const shows = headers.authorization !== undefined || headers['x-api-key'] !== undefined
    return {
      door: 'http',
      authority: 'caller',
      acts: true,
      address,
      neverBlockApplies: unnamedProxy === null || !neverBlockIsDefault,
      unnamedProxy,
      method: raw.method ?? '',
      target: raw.url ?? '',
      headers: raw.rawHeaders,
      route: routeOf(request),
      shown: shows ? headers : null,
      submitter: null,
      holder: null
    }
  }
}

/** Reads the body; only a caller who may send a large or streamed one gets more than 64 KiB. */
function receive (
  app: FastifyInstance,
  request: FastifyRequest,
  { submittedSample }: Transaction,
  done: (body: Body | 'gone', isInMidst: boolean) => void
): void {
  const { config: route, bodyLimit } = request.routeOptions
  if (submittedSample && route?.streamed === true) return done({ bytes: null, end: 'whole' }, false)
  const limitBytes = submittedSample ? bodyLimit ?? BODY_BYTES_MAX : BODY_BYTES_MAX
  // Nothing of a body that says it is too large is read: it is refused as soon as the rest of the request is scored.
  const announced = Number(request.headers['content-length'] ?? 0)
  // What nobody will read is not parsed either: a chunk of one byte costs as much as a large one.
  const onUnread = (): void => app.pipelines.endAt(request.raw)
  if (announced > limitBytes) {
    onUnread()
    return done({ bytes: null, end: 'over' }, false)
  }
  readBody(request.raw, {
    limitBytes,
    timeoutMs: submittedSample ? LARGE_BODY_TIMEOUT_MS : BODY_TIMEOUT_MS,
    room: submittedSample ? null : app.bodies.take(announced),
    onUnread
  }, ({ bytes, end, isInMidst }) => done(end === 'gone' ? end : { bytes, end }, isInMidst))
}
