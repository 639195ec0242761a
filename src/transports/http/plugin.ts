import { METHODS } from 'node:http'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import compression from './compression.ts'
import cors from './cors.ts'
import decoys from './decoys.ts'
import { ReplayedBody } from './body.ts'
import { createBodyPool } from './body-pool.ts'
import { createGate } from './gate.ts'
import type { Gate } from './gate.ts'
import type { Principal } from '../../identity/shapes.ts'
import { boundPipelines, type Pipelines } from '../../std/pipelines.ts'
import { createOwnHeaders } from './own-headers.ts'
import ownKeys from './own-keys.ts'
import { preparedAnswers } from './prepared-answers.ts'
import pressure from './pressure.ts'
import notFound from './not-found.ts'
import requireScope from './require-scope.ts'
import { refusalOf, sendRefusal } from './send-refusal.ts'
import handlerBudget from './handler-budget.ts'
import { lingerOnClose } from './lingering-close.ts'
import { securityHeaders } from './security-headers.ts'
import slowReaders from './slow-readers.ts'
import { refuseUnreadable } from './malformed.ts'
import routes from './routes.ts'

/**
 * The HTTP edge: the order in which a request meets what stands before its handler.
 *
 * Owns: security headers, CORS, the gate, compression, how errors and unknown routes are answered. Never does: judge.
 * The gate comes before everything that could answer, preflights too, so that every response carries a receipt; what a
 * browser needs to show a refusal to its page is set before it.
 *
 * A cached read of a client that was never seen, above a bare Fastify answer, in CPU us of main (bench/parts.ts), a
 * quarter above what was measured. Budget: gate 7, receipt 6, history 6, log 4.5, limits 4, score 4, cache 3,
 * headers 3, hand-over 3, observation 2, metrics 1, collection 4, native 6; what a request costs more is a fault.
 */
declare module 'fastify' {
  interface FastifyInstance {
    /** Before and after every handler. */
    gate: Gate
    /** Whether a caller is shown what its requests scored. */
    maySeeScore (principal: Principal | null): boolean
    /** What may stand in line on one connection. */
    pipelines: Pipelines
  }
}

/** The wrk of public comparisons pipelines 16, autocannon 10 when asked. */
const PIPELINE = { begunMax: 16, readMax: 128 }

export default fp(async (app) => {
  decorate(app)
  const own = createOwnHeaders(app, await securityHeaders())

  await app.register(pressure)
  // Methods that Fastify does not know would pass no hook: scanners like them.
  for (const method of METHODS) {
    if (!app.supportedMethods.includes(method) && method !== 'CONNECT') {
      app.addHttpMethod(method, { hasBody: true })
    }
  }

  const settle = (request: FastifyRequest, reply: FastifyReply): void => {
    gate.after(request, reply)
    giveBackBody(request)
  }
  const gate: Gate = createGate(app, (request, reply) => {
    const close = (): void => settle(request, reply)
    // 'close' comes after every answer and for every client that leaves before it; onResponse knows only the former.
    reply.raw.on('close', close)
    // For one that has left already it may have come.
    if (request.raw.socket.destroyed) process.nextTick(close)
    own.putOn(request, reply)
  })
  app.decorate('gate', gate)
  const { mayPrepare, sendPrepared } = preparedAnswers(app, { ownLines: own.lines, settle })
  app.decorate('mayPrepare', mayPrepare)
  app.decorate('sendPrepared', sendPrepared)
  app.addHook('onRequest', (request, reply, done) => {
    gate.before(request, reply, done)
  })
  app.addHook('onRequest', refuseUnreadable)
  // The bytes the gate read are given to the parser as if they had just come.
  app.addHook(
    'preParsing',
    async (request, _reply, payload) =>
      request.transaction?.body ? new ReplayedBody(request.transaction.body as Buffer) as never : payload
  )

  await app.register(compression)

  app.setErrorHandler<Error>((error, request, reply) => answerError(app, error, request, reply))
  await app.register(notFound)
  lingerOnClose(app.server)
  // An expectation that we do not know may be passed over (RFC 9110 10.1.1); Node would answer 417 past the gate.
  app.server.on('checkExpectation', (request, response) => app.server.emit('request', request, response))
  await app.register(slowReaders)
  await app.register(handlerBudget)
  await app.register(ownKeys)
  // After the parsers and hooks above, which its own scope would otherwise lack.
  await app.register(cors)
  await app.register(requireScope)
  await app.register(routes)
  await app.register(decoys)
}, {
  name: 'http',
  dependencies: [
    'config',
    'clock',
    'metrics',
    'limits',
    'identity',
    'clients', 'threads',
    'decisions',
    'receipts',
    'storage',
    'audit',
    'fleet',
    'intel',
    'playbooks'
  ]
})

function decorate (app: FastifyInstance): void {
  const { exposeScore } = app.config
  app.decorate('maySeeScore', (principal) => exposeScore || principal?.scopes.includes('read') === true)
  app.decorate('bodies', createBodyPool())
  app.decorate('pipelines', boundPipelines(app.server, PIPELINE))
  app.decorateRequest('transaction', null)
  app.decorateRequest('settled', false)
}

/** A request that is not scored yet may still be read by a scoring thread. */
function giveBackBody ({ transaction, server }: FastifyRequest): void {
  if (transaction === null || transaction.score === null) return
  server.bodies.give(transaction.body as Buffer | null)
  transaction.body = null
}

/** Too large, of a type that nobody parses, too many headers: refused without being read. */
const UNREAD = new Set([413, 415, 431])

function answerError (app: FastifyInstance, error: Error, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const { masked, ...refusal } = refusalOf(error, app.config.production)
  // Not the request's own log, which is silent where probes ask.
  if (masked) app.log.error({ err: error, requestId: request.id }, 'unexpected error')
  if (UNREAD.has(refusal.status)) app.gate.markUnjudged(request, reply)
  return sendRefusal(request, reply, refusal)
}

/**
 * For what Fastify refuses before routing (`/%zz`): no hook runs then, so the gate is
 * called by hand, before and after.
 */
export function answerFrameworkError (error: Error, request: FastifyRequest, reply: FastifyReply): void {
  const app = request.server
  app.gate.before(request, reply, (fault) => { answerError(app, fault ?? error, request, reply) })
}
