import type { FastifyInstance, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { Counter } from 'prom-client'
import { NEKO_ERR_BODY_INVALID, NEKO_ERR_KEY_FORBIDDEN } from '../../errors.ts'
import type { Score } from '../../detect/shapes.ts'
import { faultOfKeys, faultOfShape, isForbiddenParameter, JSON_DEPTH_MAX, JSON_MARKS_MAX } from '../../std/keys.ts'
import { BODY_BYTES_MAX } from '../../transaction/bounds.ts'
import { receiptOf } from '../../schema/audit-receipt.ts'

/**
 * Refuses keys that no caller of ours has a reason to send, in query strings and JSON bodies of NEKO's own routes, and
 * says so to the audit trail. Unknown routes and decoys are left alone: there such keys are one signal among others.
 *
 * Fastify's own guard against `__proto__` is off on purpose: it answers "no JSON", and would refuse the headers of a
 * request to assess, which are other people's data.
 */
declare module 'fastify' {
  interface FastifyInstance {
    /** @throws NEKO_ERR_KEY_FORBIDDEN, NEKO_ERR_BODY_INVALID when it is nested too deep */
    refuseKeys (request: FastifyRequest, value: object, place: KeyPlace): void
    /** Counts and records one refusal. */
    forbiddenKeySeen (
      seen: {
        client: string,
        assessmentId: string | null,
        score: Score | null,
        place: KeyPlace,
        key: string,
        target: string
      }
    ): void
  }
}

const TOO_DEEP = `it is nested deeper than ${JSON_DEPTH_MAX} levels`

type KeyPlace = 'query' | 'body' | 'document'

export default fp(async (app) => {
  // A text is a body of none of our routes: as shipped it would be read, and refused as if its JSON were wrong.
  app.removeContentTypeParser(['application/json', 'text/plain'])
  const parseJson = app.getDefaultJsonParser('ignore', 'ignore')
  app.addContentTypeParser<string>('application/json', { parseAs: 'string' }, (request, body, done) => {
    // Any body that everybody may send is parsed within a few milliseconds, whatever it is made of.
    const fault = body.length > BODY_BYTES_MAX ? faultOfShape(body) : null
    if (fault === null) return parseJson(request, body, done)
    return done(new NEKO_ERR_BODY_INVALID(
      fault === 'deep' ? TOO_DEEP : `it has more than ${JSON_MARKS_MAX} brackets, commas and colons`
    ))
  })
  decorate(app)
  app.addHook('preValidation', async (request) => {
    const { config } = request.routeOptions
    if (request.is404 || config?.ungated === true || config?.decoy === true) return
    refuseParameters(request)
    // The names of a foreign request's headers are its own.
    if (isJson(request.body)) {
      refuseKeys(
        request,
        request.body,
        'body',
        config?.bodyScope === 'assess'
          ? (key) => key === 'headers'
          : undefined
      )
    }
  })
}, { name: 'own-keys', dependencies: ['audit', 'metrics'] })

function decorate (app: FastifyInstance): void {
  const counter = new Counter({
    name: 'neko_forbidden_keys_total',
    help: 'Requests refused for a key that begins with $, contains a dot or names a prototype, by place',
    labelNames: ['place'],
    registers: [app.metrics.registry]
  })
  app.decorate('refuseKeys', (request, value, place) => refuseKeys(request, value, place))
  app.decorate('forbiddenKeySeen', ({ client, assessmentId, score, place, key, target }) => {
    counter.inc({ place })
    app.audit.record({
      category: 'security',
      type: 'key.forbidden',
      actor: client,
      target,
      outcome: 'refused',
      ...receiptOf(assessmentId, score),
      details: { place, key }
    })
  })
}

function refuseParameters (request: FastifyRequest): void {
  for (const name of Object.keys(request.query as object)) {
    if (isForbiddenParameter(name)) refuse(request, 'query', name)
  }
}

function refuseKeys (request: FastifyRequest, value: object, place: KeyPlace, skip?: (key: string) => boolean): void {
  const fault = faultOfKeys(value, skip)
  if (fault?.kind === 'deep') throw new NEKO_ERR_BODY_INVALID(TOO_DEEP)
  if (fault !== null) refuse(request, place, fault.key)
}

function refuse (request: FastifyRequest, place: KeyPlace, key: string): never {
  const { transaction, server } = request
  server.forbiddenKeySeen({
    client: transaction?.client ?? 'unknown',
    assessmentId: transaction?.id ?? null,
    score: transaction?.score ?? null,
    place,
    key: key.slice(0, 64),
    target: request.routeOptions.url ?? ''
  })
  throw new NEKO_ERR_KEY_FORBIDDEN()
}

/** True for a value from JSON.parse; streams and buffers are read by their own routes. */
function isJson (body: unknown): body is object {
  return typeof body === 'object' && body !== null &&
    (Array.isArray(body) || Object.getPrototypeOf(body) === Object.prototype)
}
