import Fastify, { LogController, type FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { Config } from './config/config.ts'
import type { ServerParts } from './processes/serving.ts'
import { keepPrepared, standingFor, type Prepared } from './prepare.ts'
import type { Clock } from './std/clock.ts'
import { FileWatch } from './std/file-watch.ts'
import { BODY_BYTES_MAX } from './transaction/bounds.ts'
import { requestLog } from './transports/http/request-log.ts'
import type { Logger } from './telemetry/logger.ts'
import clients from './clients/plugin.ts'
import audit from './audit/plugin.ts'
import cache from './cache/plugin.ts'
import decisions from './decisions/plugin.ts'
import fleet from './fleet/plugin.ts'
import graphql from './transports/graphql/plugin.ts'
import assess from './transports/assess/plugin.ts'
import socket from './transports/websocket/plugin.ts'
import { createDecoys } from './transaction/decoys.ts'
import { createUnnamedProxies, type UnnamedProxies } from './transaction/unnamed-proxies.ts'
import { createWalk, type Walk } from './transaction/walk.ts'
import type { Decoys } from './transaction/decoys.ts'
import http, { answerFrameworkError } from './transports/http/plugin.ts'
import { answerParserError } from './transports/http/parser-errors.ts'
import identity from './identity/plugin.ts'
import incidents from './incidents/plugin.ts'
import intel from './intel/plugin.ts'
import limits from './limits/plugin.ts'
import playbooks from './playbooks/plugin.ts'
import processes from './processes/plugin.ts'
import userVerbs from './processes/user-verbs.ts'
import verbs from './processes/verbs.ts'
import metrics from './telemetry/plugin.ts'
import threads from './threads/plugin.ts'
import receipts from './receipts/plugin.ts'
import { rooms } from './rooms.ts'
import storage from './storage/plugin.ts'
import webhooks from './webhooks/plugin.ts'

/**
 * The table of contents: every room in the order in which each may rely on those above it. No logic.
 */
declare module 'fastify' {
  interface FastifyInstance {
    config: Config
    clock: Clock
    /** Findings of the preparation before any fork. */
    prepared: Prepared
    /** Files of DATA_DIR that must stand at their paths when something is acknowledged. */
    fileWatch: FileWatch
    /** The four calls that every transport makes for each request. */
    walk: Walk
    unnamedProxies: UnnamedProxies
    decoys: Decoys
  }
}

export async function buildApp (parts: ServerParts): Promise<FastifyInstance> {
  const app = Fastify(serverOptions(parts))
  await app.register(processContext, parts)
  await app.register(metrics)
  await app.register(fleet, parts)
  await app.register(cache)
  await app.register(processes, parts)
  await app.register(storage)
  await app.register(audit)
  await app.register(limits)
  await app.register(identity)
  await app.register(intel)
  await app.register(clients)
  await app.register(threads)
  await app.register(decisions)
  await app.register(receipts)
  await app.register(webhooks)
  await app.register(incidents)
  await app.register(playbooks)
  await app.register(verbs)
  await app.register(userVerbs)
  await app.register(walk)
  await app.register(http)
  await app.register(assess)
  await app.register(graphql, { rooms })
  await app.register(socket)
  keepPrepared(app)
  await app.ready()
  return app
}

/** The process as it is before any room opens: configuration, clock, the preparation's findings. */
const processContext = fp(async (app: FastifyInstance, { config, clock, prepared }: ServerParts) => {
  app.decorate('config', config)
  app.decorate('clock', clock)
  app.decorate('prepared', prepared as unknown as Prepared)
  app.decorate('fileWatch', watchFiles(app))
  for (const name of ['config', 'clock']) await app.register(fp(async () => {}, { name }))
}, { name: 'process-context' })

/** Those that the host found at its start, to which the rooms add theirs. */
function watchFiles (app: FastifyInstance): FileWatch {
  const watch = new FileWatch()
  for (const [path, identity] of standingFor(app.config, app.prepared)) watch.keep(path, identity)
  watch.onChange((lost) => {
    if (lost === null) return app.log.warn('the files of DATA_DIR are in their places again: changes are taken')
    app.log.error(
      { file: lost },
      'a file of DATA_DIR was removed or replaced while it is in use: changes are refused. ' +
        (lost.endsWith('.sock')
          ? 'Restart the server: a socket that was removed cannot be put back'
          : 'Put it back, or restart the server to go on with what is there')
    )
  })
  watch.start()
  app.addHook('onClose', async () => { watch.close() })
  return watch
}

/** The walk of a request, from the rooms that it asks. */
const walk = fp(async (app: FastifyInstance) => {
  const { config, decisions, identity, limits, clients, threads, receipts, playbooks, incidents } = app
  const { audit, metrics, clock, fleet } = app
  const decoys = createDecoys(config.decoyPaths)
  app.decorate('decoys', decoys)
  app.decorate('unnamedProxies', createUnnamedProxies({ fleet, log: app.log }))
  app.decorate('walk', createWalk({
    unnamedProxies: app.unnamedProxies,
    decisions,
    identity,
    limits,
    clients,
    threads,
    receipts,
    playbooks,
    incidents,
    audit,
    metrics,
    clock,
    decoys,
    processId: fleet.processId,
    log: app.log as Logger,
    logsInfo: ['info', 'debug', 'trace'].includes(config.logLevel),
    challengeThreshold: config.challengeThreshold,
    blockThreshold: config.blockThreshold,
    shadow: config.enforcement === 'shadow',
    bodyBytesMax: BODY_BYTES_MAX,
    corsOrigins: config.corsOrigins,
    isOverloaded: () => app.isOverloaded(),
    eraseData: (body, scopes) => app.graphqlEdge.eraseData(body, scopes)
  }))
}, { name: 'walk' })

/**
 * Receiving is bounded here for headers and by the gate for bodies; a request id of the caller is kept when
 * it is plain.
 */
function serverOptions ({ logging, fleet }: ServerParts): object {
  let requests = 0
  return {
    loggerInstance: logging.log,
    childLoggerFactory: requestLog,
    // One line per request is the walk's.
    logController: new LogController({ disableRequestLogging: true }),
    requestIdHeader: false,
    genReqId: (raw: { headers: Record<string, unknown> }) => {
      const given = raw.headers['x-request-id']
      return typeof given === 'string' && /^[A-Za-z0-9._-]{1,64}$/.test(given)
        ? given
        : `${fleet.processId}-${(requests++).toString(36)}`
    },
    bodyLimit: BODY_BYTES_MAX,
    // Longer than proxies keep an idle connection (60 s), or they would send into one that is closing.
    keepAliveTimeout: 65_000,
    // Above the 120 s that an import's body may take (gate.ts), which has a timer of its own.
    requestTimeout: 125_000,
    // handler-budget.ts says why not Fastify's own.
    handlerTimeout: 0,
    return503OnClosing: false,
    routerOptions: { maxParamLength: 200, ignoreTrailingSlash: false },
    // A missing Host is refused behind the gate (malformed.ts), with a receipt, and not by Node before it.
    http: {
      headersTimeout: 5_000,
      connectionsCheckingInterval: 1_000,
      maxHeaderSize: 16_384,
      requireHostHeader: false
    },
    ajv: { customOptions: { removeAdditional: false, coerceTypes: false, allErrors: false, allowUnionTypes: true } },
    clientErrorHandler: answerParserError,
    frameworkErrors: answerFrameworkError
  }
}
