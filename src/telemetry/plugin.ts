import fp from 'fastify-plugin'
import { createMetrics } from './metrics.ts'
import type { Metrics } from './metrics.ts'

declare module 'fastify' {
  interface FastifyInstance { metrics: Metrics }
}

/** The figures of this process. Nothing is cleared on close: the last values are handed to the primary after it. */
export default fp(async (app) => {
  app.decorate('metrics', createMetrics())
}, { name: 'metrics' })
