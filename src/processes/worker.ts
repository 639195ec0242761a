import cluster from 'node:cluster'
import { getHeapStatistics } from 'node:v8'
import { ConfigError } from '../config/config.ts'
import { systemClock } from '../std/clock.ts'
import { newProcessId } from '../std/id.ts'
import { createLogger } from '../telemetry/logger.ts'
import type { Logging } from '../telemetry/logger.ts'
import { createControlVerbs } from './control.ts'
import type { ControlVerbs } from './control.ts'
import { crashOn, EXIT_CONFIG, EXIT_CRASH, fatalLine } from './ending.ts'
import { createIpcFleet } from '../fleet/ipc.ts'
import type { FleetEndpoint } from '../fleet/endpoint.ts'
import type { MetricSeries, ToPrimary, ToWorker } from './messages.ts'
import { StoppedEarly } from './orders.ts'
import { serve } from './serving.ts'
import type { BuildServer, Serving } from './serving.ts'
import type { ClusterStatus } from './status.ts'

/**
 * One worker of the cluster. It obeys its primary and no signal: the primary alone knows whether a signal means a
 * drain or a reload, and a signal to the whole process group must not cut what the primary has begun. When the
 * primary is gone the worker ends within a second, for a worker without one can neither be reloaded nor stopped.
 */
interface WorkerOptions { build: BuildServer, exit: (code: number) => never }

/** Often enough that a stalled event loop shows within a second. */
const BEAT_MS = 250
/** For flushing the audit when the primary is gone: the worker must be gone within 2 s. */
const ORPHAN_CLOSE_MS = 1000

export const CLUSTER_STATUS_TOPIC = 'cluster.status'

/** Waits for its orders from the primary, serves until told to drain, and ends with the primary. */
export async function runWorker (options: WorkerOptions): Promise<void> {
  const messages = keepMessages()
  const processId = newProcessId()
  const started = Promise.withResolvers<Serving>()
  started.promise.catch(() => { /* told below; a drain before the start has nothing to wait for */ })
  let logging = createLogger({ level: 'info', processId, slot: null, sharesOutput: true })
  endWithPrimary(options, started.promise, () => logging)

  const init = await initOf(messages, processId)
  // Told to end before it had begun.
  if (init === null) return options.exit(0)
  logging = createLogger({ level: init.config.logLevel, processId, slot: init.slot, sharesOutput: true })
  const control = createControlVerbs(logging.log)
  let { processCount, bridgeUp } = init
  const fleet = createIpcFleet({
    clock: systemClock,
    processId,
    slot: init.slot,
    primaryId: init.primaryId,
    log: logging.log,
    toPrimary: (envelope) => toPrimary({ neko: 'fleet', envelope }),
    processCount: () => processCount,
    bridgeUp: () => bridgeUp
  })
  const stopping = new AbortController()
  obey({
    messages,
    stopping,
    fleet,
    control,
    started: started.promise,
    exit: options.exit,
    logging,
    setCount: (count, bridge) => {
      ;[processCount, bridgeUp] = [count, bridge]
    }
  })
  crashOn({ logging, exit: options.exit, serving: started.promise })
  try {
    const clusterStatus = async (): Promise<ClusterStatus> => {
      const [status] = await fleet.ask(CLUSTER_STATUS_TOPIC, null, { timeoutMs: 1000, processId: init.primaryId })
      return status as unknown as ClusterStatus
    }
    const serving = await serve(options.build, {
      config: init.config,
      fleet,
      clock: systemClock,
      prepared: init.prepared,
      logging,
      control,
      clusterStatus
    }, stopping.signal)
    started.resolve(serving)
    if (stopping.signal.aborted) return
    beat(serving)
    toPrimary({ neko: 'ready', url: serving.url })
  } catch (error) {
    started.reject(error)
    if (error instanceof StoppedEarly) return
    fatalLine(error, logging)
    options.exit(error instanceof ConfigError ? EXIT_CONFIG : EXIT_CRASH)
  }
}

function toPrimary (message: ToPrimary): void {
  // The callback takes the error of a channel that is closing; 'disconnect' says the rest.
  if (process.connected) process.send?.(message, undefined, undefined, () => {})
}

interface Messages {
  take (handler: (message: ToWorker) => void): void
  keep (): void
}

/**
 * Messages of the primary, from the first on. What comes while nobody takes them is kept: an order to drain, or a
 * change that the fleet tells in the same turn as the configuration. That is a moment, in which few can come.
 */
function keepMessages (): Messages {
  const kept: ToWorker[] = []
  let handle: ((message: ToWorker) => void) | null = null
  process.on('message', (message: ToWorker) => {
    if (handle === null) kept.push(message)
    else handle(message)
  })
  return {
    take (handler) {
      handle = handler
      while (handle === handler && kept.length > 0) handler(kept.shift()!)
    },
    keep () { handle = null }
  }
}

/** Null when the order to drain comes first. */
function initOf (messages: Messages, processId: string): Promise<Extract<ToWorker, { neko: 'init' }> | null> {
  return new Promise((resolve) => {
    messages.take((message) => {
      if (message?.neko === 'drain') return resolve(null)
      if (message?.neko !== 'init') return
      messages.keep()
      resolve(message)
    })
    toPrimary({ neko: 'hello', processId })
  })
}

interface Orders {
  messages: Messages
  /** Aborted by the order to drain. */
  stopping: AbortController
  fleet: FleetEndpoint
  control: ControlVerbs
  started: Promise<Serving>
  logging: Logging
  exit: (code: number) => never
  setCount: (count: number, bridgeUp: boolean | null) => void
}

function obey (orders: Orders): void {
  const { fleet, control, started } = orders
  const metrics = async (): Promise<MetricSeries[]> =>
    await (await started).app.metrics.registry.getMetricsAsJSON() as unknown as MetricSeries[]
  orders.messages.take((message) => {
    if (message?.neko === 'fleet') fleet.deliver(message.envelope)
    else if (message?.neko === 'count') orders.setCount(message.processCount, message.bridgeUp)
    else if (message?.neko === 'metrics') {
      metrics().then(
        (series) => toPrimary({ neko: 'metrics', id: message.id, series }),
        () => { /* the primary shows the last it has */ }
      )
    } else if (message?.neko === 'control') {
      const reply = (answer: Extract<ToPrimary, { neko: 'control' }>['reply']): void =>
        toPrimary({ neko: 'control', id: message.id, reply: answer })
      control.run(message.verb, message.args, (progress) => reply({ progress })).then(
        reply,
        () => { /* run never rejects */ }
      )
    } else if (message?.neko === 'drain') {
      orders.stopping.abort()
      leave(orders, metrics)
    }
  })
}

/** Drains, hands the primary the last figures (counters must not fall when this process is gone), and ends. */
function leave ({ started, logging, exit }: Orders, metrics: () => Promise<MetricSeries[]>): void {
  const work = async (): Promise<void> => {
    const serving = await started
    await serving.drain()
    const series = await metrics()
    await new Promise((resolve) =>
      process.connected
        ? process.send!({ neko: 'metrics', id: 0, series } satisfies ToPrimary, undefined, undefined, resolve)
        : resolve(null)
    )
  }
  work().then(() => {
    logging.flush()
    exit(0)
  }, (error) => {
    const wasStarting = error instanceof StoppedEarly
    if (!wasStarting) logging.log.error({ err: error }, 'the drain failed')
    logging.flush()
    exit(wasStarting ? 0 : EXIT_CRASH)
  })
}

/**
 * Node itself exits a worker at once when its primary is gone; we take one second to write down what was
 * acknowledged.
 */
function endWithPrimary ({ exit }: WorkerOptions, started: Promise<Serving>, logging: () => Logging): void {
  const worker = cluster.worker!
  worker.on('disconnect', () => {
    worker.exitedAfterDisconnect = true
    logging().log.error('the primary is gone: this worker ends')
    setTimeout(() => exit(EXIT_CRASH), ORPHAN_CLOSE_MS)
    const close = async (): Promise<void> => {
      const { app } = await started
      app.server.closeAllConnections()
      await app.close()
    }
    close().catch(() => { /* it ends either way */ }).finally(() => {
      logging().flush()
      exit(EXIT_CRASH)
    })
  })
}

function beat (serving: Serving): void {
  let before = performance.eventLoopUtilization()
  let dueMs = performance.now() + BEAT_MS
  const send = (): void => {
    const now = performance.eventLoopUtilization()
    const { utilization } = performance.eventLoopUtilization(now, before)
    before = now
    const lagMs = Math.max(0, performance.now() - dueMs)
    dueMs = performance.now() + BEAT_MS
    const heap = getHeapStatistics()
    serving.app.server.getConnections((_error, connections = 0) => {
      toPrimary({
        neko: 'beat',
        rssBytes: process.memoryUsage.rss(),
        heapUsedBytes: heap.used_heap_size,
        heapMaxBytes: heap.heap_size_limit,
        utilization,
        lagMs,
        connections
      })
    })
  }
  setInterval(send, BEAT_MS).unref()
  send()
}
