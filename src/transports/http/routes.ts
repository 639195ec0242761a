import type { FastifyInstance, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { codeOf } from '../../audit/shapes.ts'
import { requireScope } from '../../schema/authorize.ts'
import { NEKO_ERR_INPUT_INVALID } from '../../errors.ts'
import type { Scope } from '../../identity/shapes.ts'
import { health } from '../../processes/health.ts'
import { receiptOf } from '../../transaction/audit-receipt.ts'

/** Routes beside GraphQL: health for orchestrators, `/v1/assess` for gateways, imports for administrators. */
export default fp(async (app) => {
  healthRoutes(app)
  assessRoute(app)
  importRoute(app)
}, { name: 'routes', dependencies: ['audit', 'receipts', 'intel', 'identity'] })

function healthRoutes (app: FastifyInstance): void {
  const route = { config: { ungated: true }, logLevel: 'silent' as const }
  app.get('/health/live', route, (_request, reply) => {
    reply.type('application/json; charset=utf-8').send('{"status":"ok"}')
  })
  app.get('/health/startup', route, async () => ({ status: 'ok' }))
  for (const url of ['/health/ready', '/health', '/api/health', '/healthz']) {
    app.get(url, route, async (_request, reply) => {
      const state = health(app)
      return await reply.code(state.status === 'stopping' ? 503 : 200).send(state)
    })
  }
}

const ASSESS_BODY_BYTES = 2 * 1_048_576
const REQUESTS_MAX = 100
/** Longer than any header that Node's parser lets through. */
const TEXT_MAX = 65_536

const headerText = { type: 'string', maxLength: TEXT_MAX }
const assessSchema = {
  querystring: { type: 'object', additionalProperties: false, properties: {} },
  body: {
    type: 'object',
    additionalProperties: false,
    required: ['requests'],
    properties: {
      act: { type: 'boolean' },
      requests: {
        type: 'array',
        minItems: 1,
        maxItems: REQUESTS_MAX,
        items: {
          type: 'object',
          additionalProperties: false,
          required: ['method', 'url'],
          properties: {
            method: { type: 'string', minLength: 1, maxLength: 32 },
            url: { type: 'string', minLength: 1, maxLength: TEXT_MAX },
            headers: {
              anyOf: [
                {
                  type: 'object',
                  maxProperties: 1000,
                  additionalProperties: {
                    anyOf: [headerText, { type: 'array', items: headerText, maxItems: 100 }]
                  }
                },
                { type: 'array', maxItems: 1000, items: { type: 'array', minItems: 2, maxItems: 2, items: headerText } }
              ]
            },
            body: { type: ['string', 'null'] },
            body_b64: { type: ['string', 'null'] },
            ip: { type: 'string', maxLength: 64 }
          }
        }
      }
    }
  }
}

function assessRoute (app: FastifyInstance): void {
  app.post('/v1/assess', {
    bodyLimit: ASSESS_BODY_BYTES,
    config: { bodyScope: 'assess' },
    schema: assessSchema,
    // Before the body is parsed: a caller without the scope learns that, not whether the body was well formed.
    onRequest: async (request) => requireScopeOf(request, 'assess')
  }, async (request) => {
    const { requests, act = false } = request.body as { requests: never[], act?: boolean }
    const { id, score, principal } = request.passage!
    return {
      assessments: await app.audit.within(
        receiptOf(id, score),
        () => app.receipts.assess(requests, { act, principal: principal! })
      )
    }
  })
}

/** @throws NEKO_ERR_UNAUTHENTICATED, NEKO_ERR_FORBIDDEN, which the audit trail is told of */
function requireScopeOf ({ server, method, routeOptions, passage, ip }: FastifyRequest, scope: Scope): void {
  try {
    requireScope(passage?.principal ?? null, scope)
  } catch (error) {
    server.audit.denied({
      actor: passage?.client ?? `ip:${ip}`,
      target: `${method} ${routeOptions.url}`,
      needs: scope,
      code: codeOf(error),
      ...receiptOf(passage?.id ?? null, passage?.score ?? null)
    })
    throw error
  }
}

const IMPORT_BYTES_MAX = 64 * 1_048_576

function importRoute (app: FastifyInstance): void {
  app.register(async (scope) => {
    // The body is a stream of any content type, read by the import itself.
    scope.removeAllContentTypeParsers()
    scope.addContentTypeParser('*', (_request, payload, done) => done(null, payload))
    scope.post('/v1/intel/import', {
      bodyLimit: IMPORT_BYTES_MAX,
      config: { bodyScope: 'manage', streamed: true },
      schema: {
        querystring: {
          type: 'object',
          additionalProperties: false,
          required: ['format'],
          properties: { format: { type: 'string', enum: ['stix', 'misp'] } }
        }
      },
      onRequest: async (request) => requireScopeOf(request, 'manage')
    }, async (request) => {
      const { format } = request.query as { format: 'stix' | 'misp' }
      const encoding = request.headers['content-encoding']
      if (encoding !== undefined && encoding !== 'gzip') {
        throw new NEKO_ERR_INPUT_INVALID('content-encoding may be gzip')
      }
      // The import unpacks what begins like gzip itself, within its own bounds.
      const { id, score, principal } = request.passage!
      return await app.audit.within(
        receiptOf(id, score),
        () => app.intel.importStream(request.raw, { format, actor: principal!.clientKey })
      )
    })
  })
}
