import fp from 'fastify-plugin'
import type { Logging } from './logger.ts'
import { createMetrics } from './metrics.ts'
import type { Metrics } from './metrics.ts'

declare module 'fastify' {
  interface FastifyInstance { metrics: Metrics }
}

/** The figures of this process. Nothing is cleared on close: the last values are handed to the primary after it. */
export default fp<{ logging: Logging }>(async (app, { logging }) => {
  app.decorate('metrics', createMetrics({ linesDropped: logging.requests.dropped }))
}, { name: 'metrics' })
