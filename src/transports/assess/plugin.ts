import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { showFactor } from '../../receipts/shapes.ts'
import { receiptOf } from '../../schema/audit-receipt.ts'
import { createAssess, REQUESTS_MAX, type Assess } from './assess.ts'

/** Wiring of the door for samples: `app.assess`, and `POST /v1/assess` for gateways. */
declare module 'fastify' {
  interface FastifyInstance { assess: Assess }
}

const ASSESS_BODY_BYTES = 2 * 1_048_576
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

export default fp(async (app) => {
  app.decorate('assess', createAssess(app))
  assessRoute(app)
}, { name: 'assess', dependencies: ['http', 'walk', 'receipts', 'audit'] })

function assessRoute (app: FastifyInstance): void {
  app.post('/v1/assess', {
    bodyLimit: ASSESS_BODY_BYTES,
    config: { bodyScope: 'assess' },
    schema: assessSchema,
    // Before the body is parsed: a caller without the scope learns that, not whether the body was well formed.
    onRequest: async (request) => app.requireScope(request, 'assess')
  }, async (request) => {
    const { requests, act = false } = request.body as { requests: never[], act?: boolean }
    // To score what others saw decides nothing; to act on it does.
    if (act) app.requireScope(request, 'decide')
    const { id, score, client } = request.transaction!
    const assessments = await app.audit.within(receiptOf(id, score), () =>
      app.assess(requests, { acts: act, submitter: client })
    )
    return {
      assessments: assessments.map(({ id, score, action, factors }) =>
        ({ id, score, action, factors: factors.map(showFactor) }))
    }
  })
}
