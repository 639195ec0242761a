import fp from 'fastify-plugin'
import type { Logger } from '../telemetry/logger.ts'
import { createLimits, type Limits } from './limiter.ts'

declare module 'fastify' {
  interface FastifyInstance { limits: Limits }
}

export default fp(async (app) => {
  const limits = createLimits({
    rates: app.config.rates,
    fleet: app.fleet,
    clock: app.clock,
    shadow: app.config.enforcement === 'shadow',
    log: app.log as Logger
  })
  app.decorate('limits', limits)
  app.addHook('onClose', () => limits.close())
}, { name: 'limits', dependencies: ['config', 'clock', 'fleet'] })
