import type { FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { NEKO_ERR_TIMEOUT } from '../../errors.ts'
import { refusalFrom } from '../../transaction/refusal.ts'
import { sendRefusal } from './send-refusal.ts'

/**
 * A handler has 10 s, more than any resolver of its, less than a proxy waits (18 s): then its caller is answered 503.
 * A later answer of the handler is dropped.
 *
 * Why not Fastify's handlerTimeout: it counts from the headers, so that a slow body (8 s of its own) eats the handler's
 * time, and makes an AbortController for each request. Routes that take what others sent (assess, imports) have bounds
 * of their own; a WebSocket never gets here.
 */
const HANDLER_MS = 10_000

const TOO_LATE = refusalFrom(new NEKO_ERR_TIMEOUT())

export default fp(async (app, { ms = HANDLER_MS }: { ms?: number }) => {
  function answer (request: FastifyRequest, reply: FastifyReply): void {
    // An answer that already leaves is bounded by slow-readers.ts.
    if (reply.sent || reply.raw.headersSent) return
    request.log.warn({
      requestId: request.id,
      assessment: request.transaction?.id ?? null,
      route: request.routeOptions.url ?? null
    }, 'a handler took longer than its budget')
    sendRefusal(request, reply, TOO_LATE)
  }

  app.addHook('preValidation', (request, reply, done) => {
    const { config } = request.routeOptions
    if (config?.bodyScope === undefined && config?.ungated !== true) {
      const timer = setTimeout(answer, ms, request, reply).unref()
      reply.raw.once('close', () => clearTimeout(timer))
    }
    done()
  })
}, { name: 'handler-budget' })
