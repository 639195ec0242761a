import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { NEKO_ERR_INPUT_INVALID } from '../../errors.ts'
import { health } from '../../telemetry/health.ts'
import { receiptOf } from '../../schema/audit-receipt.ts'

/** Routes of the platform itself: health for orchestrators, imports for administrators. */
export default fp(async (app) => {
  healthRoutes(app)
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
      onRequest: async (request) => app.requireScope(request, 'manage')
    }, async (request) => {
      const { format } = request.query as { format: 'stix' | 'misp' }
      const encoding = request.headers['content-encoding']
      if (encoding !== undefined && encoding !== 'gzip') {
        throw new NEKO_ERR_INPUT_INVALID('content-encoding may be gzip')
      }
      // The import unpacks what begins like gzip itself, within its own bounds.
      const { id, score, principal } = request.transaction!
      return await app.audit.within(
        receiptOf(id, score),
        () => app.intel.importStream(request.raw, { format, actor: principal!.clientKey })
      )
    })
  })
}
