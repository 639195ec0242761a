import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import Fastify from 'fastify'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import cluster from 'node:cluster'
import { keepOrders } from '../../src/processes/orders.ts'
import { run } from '../../src/processes/run.ts'
import fleetPlugin from '../../src/fleet/plugin.ts'
import processesPlugin from '../../src/processes/plugin.ts'
import metricsPlugin from '../../src/telemetry/plugin.ts'

/**
 * A process of NEKO with a small application in it: the faults that the cluster must survive are its routes, and a file
 * in DATA_DIR (`broken`, `broken-<slot>`) makes every new worker die at its start, (`slow-duties`) keeps the primary
 * from what it does for its workers, or (`let-go`, `go-on`) ends what requests for /held and /stall wait for.
 */
/** More than any test waits: an answer that comes did not wait for it. */
const ASK_TIMEOUT_MS = 600_000
/** Nobody wakes it: a thread that waits on it stands still, and takes no processor from the others meanwhile. */
const asleep = new Int32Array(new SharedArrayBuffer(4))

await run({
  orders: keepOrders(),
  workerFile: new URL(import.meta.url),
  exit: (code) => process.exit(code),
  prepare: async () => ({ prepared: 'yes' }),
  onPrimary: async ({ config, logging }) => {
    while (existsSync(join(config.dataDir, 'slow-duties'))) await sleep(20)
    return { workerEnded: () => logging.log.info('a death is seen to'), close () {} }
  },
  build: async (parts) => {
    const { dataDir } = parts.config
    if (existsSync(join(dataDir, 'broken')) || existsSync(join(dataDir, `broken-${parts.fleet.slot}`))) throw new Error('a broken build')
    const app = Fastify({ loggerInstance: parts.logging.log, disableRequestLogging: true, keepAliveTimeout: 65_000, return503OnClosing: false })
    app.decorate('clock', parts.clock)
    await app.register(fp(async () => {}, { name: 'clock' }))
    await app.register(metricsPlugin, parts)
    await app.register(fleetPlugin, parts)
    await app.register(processesPlugin, parts)
    const heard: unknown[] = []
    parts.fleet.subscribe('note', (message, from) => heard.push({ message, from }))
    parts.fleet.answer('who', (message) => message === 'silent' ? null : parts.fleet.slot)
    parts.control.handle('echo', async (args, progress) => {
      progress('half')
      return { args, slot: parts.fleet.slot }
    })
    app.addHook('onResponse', async (request, reply) => app.metrics.httpRequestsTotal.inc({ method: request.method, status: String(reply.statusCode), route: '/' }))
    app.get('/health/ready', async () => ({ status: app.draining.aborted ? 'stopping' : 'ok' }))
    app.get('/', async () => ({ pid: process.pid, slot: parts.fleet.slot, processId: parts.fleet.processId, prepared: parts.prepared, isWorker: cluster.isWorker, enforcement: parts.config.enforcement }))
    app.get('/held', async () => {
      app.log.info('held')
      while (!existsSync(join(dataDir, 'let-go'))) await sleep(20)
      return { held: true }
    })
    app.get('/stall', async () => {
      while (!existsSync(join(dataDir, 'go-on'))) Atomics.wait(asleep, 0, 0, 10)
      return { pid: process.pid }
    })
    app.get('/throw', (_request, reply) => {
      reply.hijack()
      setImmediate(() => { throw new Error('thrown on purpose') })
    })
    app.get('/reject', (_request, reply) => {
      reply.hijack()
      Promise.reject(new Error('rejected on purpose'))
    })
    app.get('/publish', async () => {
      parts.fleet.publish('note', 'hello')
      return { from: parts.fleet.processId }
    })
    app.get('/heard', async () => heard)
    app.get('/ask', async () => parts.fleet.ask('who', null, { timeoutMs: ASK_TIMEOUT_MS }))
    app.get('/ask-silent', async () => parts.fleet.ask('who', 'silent', { timeoutMs: ASK_TIMEOUT_MS }))
    app.get('/count', async () => parts.fleet.processCount())
    app.get('/status', async () => parts.clusterStatus())
    // The application's own logger type is narrower than the one that plugins are declared with.
    return app as unknown as FastifyInstance
  }
})
