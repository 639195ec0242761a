import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Principal } from '../../identity/shapes.ts'
import { createAddressSet } from '../../std/ip.ts'
import { methodLabel } from '../../telemetry/metrics.ts'
import { BODY_BYTES_MAX } from '../../transaction/bounds.ts'
import { limitHeaders } from '../../transaction/limit-headers.ts'
import type { Refusal } from '../../transaction/refusal.ts'
import type { Arrival, Body, Transaction } from '../../transaction/transaction.ts'
import { markUnjudged } from '../../transaction/unjudged.ts'
import { announcesBody, readBody } from './body.ts'
import { clientAddress } from './client-address.ts'
import { routeOf } from './route-facts.ts'
import { sendRefusal } from './send-refusal.ts'
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
   * A reply when the request was refused, undefined when it may go on. A blocked address is answered without a
   * promise: a blocked flood is most of what a defence sees.
   */
  before (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply | undefined> | FastifyReply | undefined
  /** The parser refused a body of a request that passed: the verdict says so. */
  markUnjudged (request: FastifyRequest, reply: FastifyReply): void
  /** Once per request, whoever calls it first. */
  after (request: FastifyRequest, reply: FastifyReply): void
}

/** A whole request within 8 s; a caller who may send a large one gets 120. */
const BODY_TIMEOUT_MS = 8_000
const LARGE_BODY_TIMEOUT_MS = 120_000

export function createGate (app: FastifyInstance): Gate {
  const { config, walk } = app
  const trusted = createAddressSet(config.trustProxy)
  const countRequest = createRequestCounter(app)

  function before (request: FastifyRequest, reply: FastifyReply): ReturnType<Gate['before']> {
    if (request.routeOptions.config?.ungated === true) return undefined
    const transaction = request.transaction = walk.begin(arrivalOf(request))
    reply.header('x-neko-assessment', transaction.id)
    const admitted = walk.admit(transaction)
    if (admitted instanceof Promise) return admitted.then((refusal) => continueAfterAdmission(request, reply, refusal))
    return admitted === null || app.isPreflight(request)
      ? continueAfterAdmission(request, reply, admitted)
      : refuseInTheMidst(request, reply, admitted)
  }

  /** The parser is still at work: what it finds behind the request decides whether its connection goes on. */
  function refuseInTheMidst (request: FastifyRequest, reply: FastifyReply, refusal: Refusal): FastifyReply {
    if (refusal.bodyUnread === true && announcesBody(request.raw)) app.pipelines.endAt(request.raw)
    else app.pipelines.holdBehind(request.raw)
    process.nextTick(continueAfterAdmission, request, reply, refusal)
    return reply
  }

  function continueAfterAdmission (
    request: FastifyRequest,
    reply: FastifyReply,
    refusal: Refusal | null
  ): Promise<FastifyReply | undefined> | FastifyReply {
    const transaction = request.transaction as Transaction
    if (transaction.refusedBy !== null && app.isPreflight(request)) return answerPreflight(reply, transaction)
    if (transaction.limit !== null) reply.headers(limitHeaders(transaction.limit))
    if (refusal === null) return inspect(request, reply, transaction)
    if (transaction.refusedBy === 'decision' && maySeeScore(transaction.principal)) showVerdict(reply, transaction)
    return sendRefusal(request, reply, refusal)
  }

  /** One fixed answer whatever its address has done, and no violation of the limit; the receipt says what stands. */
  function answerPreflight (reply: FastifyReply, transaction: Transaction): FastifyReply {
    transaction.limit = null
    app.allowPreflight(reply)
    return reply.code(204).send()
  }

  async function inspect (
    request: FastifyRequest,
    reply: FastifyReply,
    transaction: Transaction
  ): Promise<FastifyReply | undefined> {
    const body = announcesBody(request.raw) ? await receive(app, request, transaction) : null
    if (body === 'gone') return reply.hijack() as unknown as FastifyReply
    // Whatever the answer is.
    if (body !== null && body.end !== 'whole') reply.header('connection', 'close')
    const refusal = await walk.inspect(transaction, body)
    if (maySeeScore(transaction.principal)) showVerdict(reply, transaction)
    return refusal === null ? undefined : sendRefusal(request, reply, refusal)
  }

  function arrivalOf (request: FastifyRequest): Arrival {
    const { raw, headers } = request
    const { address, unnamedProxy } = clientAddress(raw.socket.remoteAddress, headers, trusted)
    const shows = headers.authorization !== undefined || headers['x-api-key'] !== undefined
    return {
      door: 'http',
      authority: 'caller',
      acts: true,
      address,
      neverBlockApplies: unnamedProxy === null || !config.neverBlockIsDefault,
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

  function maySeeScore (principal: Principal | null): boolean {
    return config.exposeScore || principal?.scopes.includes('read') === true
  }

  function after (request: FastifyRequest, reply: FastifyReply): void {
    if (request.settled) return
    request.settled = true
    app.metrics.httpRequestsInFlight.dec()
    const { transaction } = request
    if (transaction === null) return
    const status = reply.statusCode
    const seconds = (app.clock.monotonic() - transaction.startedMs) / 1000
    const method = methodLabel(request.method)
    const route = request.is404 ? null : request.routeOptions.url ?? null
    countRequest(method, status, route ?? 'unknown')
    app.metrics.httpRequestDurationSeconds.observe(seconds)
    const ms = Math.round(seconds * 1e5) / 100
    walk.settle(transaction, { status, logLine: { requestId: request.id, method, route, status, ms } })
  }

  function markRefused ({ transaction }: FastifyRequest, reply: FastifyReply): void {
    if (transaction === null || transaction.score === null) return
    markUnjudged(transaction)
    if (maySeeScore(transaction.principal)) showVerdict(reply, transaction)
  }

  return { before, after, markUnjudged: markRefused }
}

/** Reads the body; only a caller who may send a large or streamed one gets more than 64 KiB. */
async function receive (
  app: FastifyInstance,
  request: FastifyRequest,
  { submittedSample }: Transaction
): Promise<Body | 'gone'> {
  const { config: route, bodyLimit } = request.routeOptions
  if (submittedSample && route?.streamed === true) return { bytes: null, end: 'whole' }
  const limitBytes = submittedSample ? bodyLimit ?? BODY_BYTES_MAX : BODY_BYTES_MAX
  // Nothing of a body that says it is too large is read: it is refused as soon as the rest of the request is scored.
  const announced = Number(request.headers['content-length'] ?? 0)
  // What nobody will read is not parsed either: a chunk of one byte costs as much as a large one.
  const onUnread = (): void => app.pipelines.endAt(request.raw)
  if (announced > limitBytes) {
    onUnread()
    return { bytes: null, end: 'over' }
  }
  const { bytes, end } = await readBody(request.raw, {
    limitBytes,
    timeoutMs: submittedSample ? LARGE_BODY_TIMEOUT_MS : BODY_TIMEOUT_MS,
    room: submittedSample ? null : app.bodies.take(announced),
    onUnread
  })
  return end === 'gone' ? end : { bytes, end }
}

/** Label sets are few (closed lists of ours) and hashed once: half of what counting a refused request costs. */
function createRequestCounter ({ metrics }: FastifyInstance): (method: string, status: number, route: string) => void {
  const counted = new Map<string, { inc (): void }>()
  return (method, status, route) => {
    const key = `${method} ${status} ${route}`
    let one = counted.get(key)
    if (one === undefined) counted.set(key, one = metrics.httpRequestsTotal.labels(method, String(status), route))
    one.inc()
  }
}
