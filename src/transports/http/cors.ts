import cors from '@fastify/cors'
import fp from 'fastify-plugin'
import { announcesBody } from './body.ts'

/**
 * CORS by an exact list of origins, with credentials.
 *
 * Owns: which page of a browser may read our answers. Never does: keep anybody else out; that is the gate's.
 * Why in two parts: a browser shows the page a bare network error for every answer without these headers, so
 * what the gate refuses (403, 413, 429) needs them as much as what it lets pass; they are set before it.
 * A browser asks before a request with a credential, without that credential, from an address that many share:
 * were the question refused with its address, who may pass could never show a credential. So where a standing
 * decision or a limit would refuse a preflight, the gate answers it. @fastify/cors answers the others, in a scope
 * of its own, where its hook costs no other request anything.
 */
declare module 'fastify' {
  interface FastifyInstance {
    /**
     * Marks an answer as readable for the origin that asks, when it is a listed one; null where no origin is. The same
     * object for the same origin.
     */
    originHeaders (request: FastifyRequest): Readonly<Record<string, string>> | null
    /** Whether a browser asks for a page of a listed origin, and brings nothing else. */
    isPreflight (request: FastifyRequest): boolean
    /** Says what it may send. */
    allowPreflight (reply: FastifyReply): void
  }
}

const EXPOSED = [
  'X-RateLimit-Limit',
  'X-RateLimit-Remaining',
  'X-RateLimit-Reset',
  'RateLimit',
  'RateLimit-Policy',
  'Retry-After',
  'x-request-id',
  'x-cache',
  'x-neko-assessment',
  'x-neko-score',
  'x-neko-action',
  'x-neko-factors'
]
const METHODS = ['GET', 'POST', 'PUT', 'DELETE', 'OPTIONS']
const HEADERS = ['Content-Type', 'Authorization', 'x-api-key']
/**
 * A preflight counts as a request of its address: a browser that asks before each of ours would use up the
 * anonymous limit.
 */
const PREFLIGHT_SECONDS = 600

export default fp(async (app) => {
  const allowed = new Set(app.config.corsOrigins)
  const exposed = EXPOSED.join(', ')

  // Also for who sends no origin: a cache must not hand that answer to one who does.
  const unnamed = Object.freeze({ vary: 'Origin' })
  const named = new Map([...allowed].map((origin) => [origin, Object.freeze({
    ...unnamed,
    'access-control-allow-origin': origin,
    'access-control-allow-credentials': 'true',
    'access-control-expose-headers': exposed
  })]))
  app.decorate('originHeaders', ({ headers: { origin } }) => {
    if (allowed.size === 0) return null
    return origin === undefined ? unnamed : named.get(origin) ?? unnamed
  })
  app.decorate('isPreflight', ({ raw, headers }) => raw.method === 'OPTIONS' && allowed.size > 0 &&
    headers['access-control-request-method'] !== undefined && headers.origin !== undefined &&
    allowed.has(headers.origin) && headers.authorization === undefined && headers['x-api-key'] === undefined &&
    !announcesBody(raw))
  app.decorate('allowPreflight', (reply) => {
    reply.header('access-control-allow-methods', METHODS.join(', '))
    reply.header('access-control-allow-headers', HEADERS.join(', '))
    reply.header('access-control-max-age', String(PREFLIGHT_SECONDS))
  })
  if (allowed.size === 0) return
  await app.register(async (preflights) => {
    await preflights.register(cors, {
      origin: (origin, done) => done(null, origin !== undefined && allowed.has(origin)),
      credentials: true,
      methods: METHODS,
      allowedHeaders: HEADERS,
      exposedHeaders: EXPOSED,
      maxAge: PREFLIGHT_SECONDS,
      // A request that names no method is no preflight, and is answered like any other OPTIONS.
      strictPreflight: false
    })
  })
}, { name: 'cors', dependencies: ['config'] })
