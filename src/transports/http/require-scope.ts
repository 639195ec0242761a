import fp from 'fastify-plugin'
import { codeOf } from '../../audit/shapes.ts'
import type { Scope } from '../../identity/shapes.ts'
import { requireScope } from '../../schema/authorize.ts'
import { receiptOf } from '../../schema/audit-receipt.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** @throws NEKO_ERR_UNAUTHENTICATED, NEKO_ERR_FORBIDDEN, which the audit trail is told of */
    requireScope (request: FastifyRequest, scope: Scope): void
  }
}

/** The scope that routes beside GraphQL ask of their callers. */
export default fp(async (app) => {
  app.decorate('requireScope', ({ method, routeOptions, transaction, ip }, scope) => {
    try {
      requireScope(transaction?.principal ?? null, scope)
    } catch (error) {
      app.audit.denied({
        actor: transaction?.client ?? `ip:${ip}`,
        target: `${method} ${routeOptions.url}`,
        needs: scope,
        code: codeOf(error),
        ...receiptOf(transaction?.id ?? null, transaction?.score ?? null)
      })
      throw error
    }
  })
}, { name: 'require-scope', dependencies: ['audit'] })
