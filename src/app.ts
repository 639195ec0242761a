import Fastify, { type FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { Config } from './config.ts'
import type { Fleet } from './cluster/fleet.ts'
import type { Clock } from './std/clock.ts'
import { randomText } from './std/id.ts'
import type { Logger } from './telemetry/logger.ts'
import type { Metrics } from './telemetry/metrics.ts'
import assessments from './assessments/plugin.ts'
import audit from './audit/plugin.ts'
import decisions from './decisions/plugin.ts'
import graphql from './graphql/plugin.ts'
import http, { answerFrameworkError } from './http/plugin.ts'
import identity from './identity/plugin.ts'
import intel from './intel/plugin.ts'
import limits from './limits/plugin.ts'
import scoring from './scoring/plugin.ts'
import storage from './storage/plugin.ts'

/**
 * The table of contents: every room in the order in which each may rely on those above it. No logic.
 */
export interface AppParts { config: Config, fleet: Fleet, clock: Clock, metrics: Metrics, log: Logger }

declare module 'fastify' {
  interface FastifyInstance { config: Config, fleet: Fleet, clock: Clock, metrics: Metrics }
}

export async function buildApp (parts: AppParts): Promise<FastifyInstance> {
  const app = Fastify(serverOptions(parts))
  await app.register(platform, parts)
  await app.register(storage)
  await app.register(audit)
  await app.register(limits)
  await app.register(identity)
  await app.register(intel)
  await app.register(scoring)
  await app.register(decisions)
  await app.register(assessments)
  await app.register(http)
  await app.register(graphql)
  await app.ready()
  return app
}

const platform = fp(async (app: FastifyInstance, { config, fleet, clock, metrics }: AppParts) => {
  app.decorate('config', config)
  app.decorate('fleet', fleet)
  app.decorate('clock', clock)
  app.decorate('metrics', metrics)
  // The rooms name what they need; these four come ready made.
  for (const name of ['config', 'fleet', 'clock', 'metrics']) await app.register(fp(async () => {}, { name }))
}, { name: 'platform' })

/** Receiving is bounded here for headers and by the gate for bodies; a request id of the caller is kept when it is plain. */
function serverOptions ({ log }: AppParts): object {
  return {
    loggerInstance: log,
    disableRequestLogging: true,
    requestIdHeader: false,
    genReqId: (raw: { headers: Record<string, unknown> }) => {
      const given = raw.headers['x-request-id']
      return typeof given === 'string' && /^[A-Za-z0-9._-]{1,64}$/.test(given) ? given : randomText(16)
    },
    bodyLimit: 64 * 1024,
    keepAliveTimeout: 65_000,
    requestTimeout: 125_000,
    handlerTimeout: 0,
    return503OnClosing: false,
    routerOptions: { maxParamLength: 200, ignoreTrailingSlash: false },
    http: { headersTimeout: 5_000, connectionsCheckingInterval: 1_000, maxHeaderSize: 16_384 },
    ajv: { customOptions: { removeAdditional: false, coerceTypes: false, allErrors: false, allowUnionTypes: true } },
    frameworkErrors: answerFrameworkError
  }
}
