import cluster from 'node:cluster'
import { fileURLToPath } from 'node:url'
import { ConfigError } from '../config/config.ts'
import type { Config } from '../config/config.ts'
import type { Clock } from '../std/clock.ts'
import { newProcessId } from '../std/id.ts'
import type { Json } from '../std/json.ts'
import { createAggregate } from '../telemetry/aggregate.ts'
import type { Logging } from '../telemetry/logger.ts'
import { createMetrics } from '../telemetry/metrics.ts'
import { createBalance } from './balance.ts'
import { forkChild } from './child.ts'
import type { Child } from './child.ts'
import { EXIT_CONFIG, EXIT_CRASH } from './ending.ts'
import type { Fleet } from '../fleet/port.ts'
import { createFleetEndpoint } from '../fleet/endpoint.ts'
import type { FleetHub } from '../fleet/hub.ts'
import type { ControlReply, MetricSeries } from './messages.ts'
import { NEVER_READY_MS, shouldGiveUp } from './restart.ts'
import { createSlots } from './slots.ts'
import type { Slots } from './slots.ts'
import type { ProcessStatus } from './status.ts'

/**
 * The primary: forks the workers, starts them again when they die, replaces them one by one on reload, and carries the
 * fleet's messages between them. It serves no request and opens no store, so that nothing a client sends can reach it.
 * A worker gets its configuration from here and never from its environment: all workers run on the same one.
 */
export interface Supervisor {
  readonly fleet: Fleet
  /** The URL, once every slot has a ready worker for the first time. */
  readonly ready: Promise<string>
  /** Settles with the exit code when the primary should give up (no worker ever became ready). */
  readonly hopeless: Promise<number>
  /**
   * Replaces every worker, one after the other, by one that runs `next`. Stops at the first that fails to start; those
   * not yet replaced stay as they were.
   */
  reload (next: Config, progress: (message: Json) => void): Promise<Json>
  /** Every worker drains; resolves when all are gone. */
  stop (timeoutMs: number): Promise<void>
  killAll (): void
  /** What new workers get: that of the last reload. */
  config (): Config
  processes (): ProcessStatus[]
  renderMetrics (): Promise<string>
  /** Runs a control verb in the ready worker of the lowest slot. */
  forward (verb: string, args: Json, progress: (message: Json) => void): Promise<ControlReply>
}

export interface SupervisorOptions {
  config: Config
  /** Handed to every worker. */
  prepared: Json
  workerFile: URL
  logging: Logging
  clock: Clock
  hub: FleetHub
  /** A worker ended that nobody had asked to. */
  onDeath?: () => void
}

/** Long enough for a replay of the log at start, short enough that a reload to a broken build ends. */
const START_TIMEOUT_MS = 30_000
const METRICS_TIMEOUT_MS = 1000
/** How much of a worker's counting is lost to the fleet's figures when it is killed, at most. */
const METRICS_POLL_MS = 5000
const COUNT_POLL_MS = 1000
/** The primary's own registry holds the metrics of all rooms at zero: only these are its own to tell. */
const PRIMARY_SERIES = /^(neko_processes|neko_process_restarts_total|process_|nodejs_)/

export function superviseCluster (options: SupervisorOptions): Supervisor {
  const { hub, logging: { log } } = options
  const primaryId = newProcessId()
  const metrics = createMetrics()
  const aggregate = createAggregate()
  const balance = createBalance()
  const ready = Promise.withResolvers<string>()
  const hopeless = Promise.withResolvers<number>()
  const startMs = options.clock.monotonic()
  let config = options.config
  let isEverReady = false
  let isStopping = false
  let toldCount = 0
  let toldBridge: boolean | null = null

  cluster.setupPrimary({ exec: fileURLToPath(options.workerFile), args: [] })
  const fleet = createFleetEndpoint({
    processId: primaryId,
    slot: -1,
    primaryId,
    log,
    send: (envelope) => hub.fromMember(envelope),
    processCount: () => hub.processCount(),
    bridgeUp: () => hub.bridgeUp(),
    close: () => hub.leave(primaryId)
  })
  hub.join(primaryId, (envelope) => fleet.deliver(envelope), { counted: false })

  const slots: Slots = createSlots({
    count: config.workers,
    log,
    startTimeoutMs: START_TIMEOUT_MS,
    drainTimeoutMs: config.shutdownTimeoutMs,
    rssBytesMax: () => config.workerMaxRssBytes,
    fork: (slot) => {
      const child: Child = forkChild({
        slot,
        balance,
        init: (processId) => {
          // Joined before it is ready: a change told while it loads the store must not pass it by.
          hub.join(processId, (envelope) => child.deliver(envelope), { counted: false })
          return {
            neko: 'init',
            slot,
            primaryId,
            config,
            prepared: options.prepared,
            processCount: hub.processCount(),
            bridgeUp: hub.bridgeUp()
          }
        },
        onFleet: (envelope) => hub.fromMember(envelope)
      })
      return child
    },
    onReady: (child, url) => {
      isEverReady = true
      hub.join(child.processId!, (envelope) => child.deliver(envelope))
      tellCount()
      if (readySlots(slots) === slots.count) ready.resolve(url)
    },
    onGone: (child) => {
      if (child.processId !== null) hub.leave(child.processId)
      tellCount()
      if (child.state !== 'draining' && !isStopping) options.onDeath?.()
      aggregate.retire(child.series)
    },
    onRestart: (reason) => metrics.processRestartsTotal.inc({ reason }),
    onFailedStart: (code) => {
      if (isEverReady || isStopping) return
      // The worker has said which variable is wrong: trying again would only say it again.
      if (code === EXIT_CONFIG) hopeless.resolve(EXIT_CONFIG)
      else giveUpWhenHopeless()
    }
  })

  const giveUpWhenHopeless = (): void => {
    if (
      isStopping ||
      !shouldGiveUp({ everReady: isEverReady, sinceStartMs: options.clock.monotonic() - startMs })
    ) return
    log.fatal('no worker became ready')
    hopeless.resolve(EXIT_CRASH)
  }

  /** Shares of limits hang on this number: told when it changes, also by hosts that come and go. So is Redis' state. */
  const tellCount = (): void => {
    const count = hub.processCount()
    const bridge = hub.bridgeUp()
    if (count === toldCount && bridge === toldBridge) return
    toldCount = count
    toldBridge = bridge
    for (const child of slots.children()) child.tellCount(count, bridge)
  }

  const collect = (): Promise<MetricSeries[][]> =>
    Promise.all(slots.children().map((child) => child.metrics(METRICS_TIMEOUT_MS)))
  const timers = [
    setInterval(() => { collect().catch(() => { /* the last figures stay */ }) }, METRICS_POLL_MS),
    setInterval(tellCount, COUNT_POLL_MS),
    setTimeout(giveUpWhenHopeless, NEVER_READY_MS + 10)
  ]

  slots.start()
  return {
    fleet,
    ready: ready.promise,
    hopeless: hopeless.promise,
    async reload (next, progress) {
      warnOfFixed(config, next, log.warn.bind(log))
      const before = config
      config = keepFixed(config, next)
      for (let slot = 0; slot < slots.count; slot++) {
        try {
          await slots.replace(slot, 'reload')
          progress({ slot, done: slot + 1, of: slots.count })
        } catch (error) {
          config = before
          log.error(
            { workerSlot: slot, reason: (error as Error).message },
            'the reload failed: the workers that were not replaced stay'
          )
          throw new ConfigError('reload', `the new worker of slot ${slot} did not start; those not yet replaced stay`)
        }
      }
      log.info({ workers: slots.count }, 'reloaded')
      return { replaced: slots.count }
    },
    async stop (timeoutMs) {
      isStopping = true
      for (const timer of timers) clearInterval(timer)
      await slots.stop(timeoutMs)
      await fleet.close()
    },
    killAll: () => slots.killAll(),
    config: () => config,
    processes: () => slots.children().map((child) => statusOf(child, slots)),
    async renderMetrics () {
      metrics.processes.reset()
      for (const state of ['starting', 'ready', 'stalled', 'draining'] as const) metrics.processes.set({ state }, 0)
      for (const child of slots.children()) metrics.processes.inc({ state: child.state })
      const own = await metrics.registry.getMetricsAsJSON() as unknown as MetricSeries[]
      await collect()
      // Who lives is asked after the wait: a worker that ended meanwhile is among the retired now, and must
      // not count twice.
      return aggregate.render([
        ...slots.children().map(({ series }) => series),
        own.filter(({ name }) => PRIMARY_SERIES.test(name))
      ])
    },
    forward (verb, args, progress) {
      const [child] = slots.children().filter(({ state }) => state === 'ready').sort((a, b) => a.slot - b.slot)
      if (child === undefined) {
        return Promise.resolve({
          ok: false,
          error: { code: 'NEKO_ERR_OVERLOADED', message: 'No process is ready now' }
        })
      }
      return child.control(verb, args, progress)
    }
  }
}

function readySlots (slots: Slots): number {
  return new Set(slots.children().filter((child) => child.readyForMs() !== null).map(({ slot }) => slot)).size
}

function statusOf (child: Child, slots: Slots): ProcessStatus {
  return {
    slot: child.slot,
    processId: child.processId,
    pid: child.pid,
    state: child.state,
    uptimeSeconds: Math.round(child.sinceStartMs() / 1000),
    rssBytes: child.beat?.rssBytes ?? 0,
    heapUsedBytes: child.beat?.heapUsedBytes ?? 0,
    utilization: Math.round((child.beat?.utilization ?? 0) * 1000) / 1000,
    restarts: slots.restarts(child.slot)
  }
}

/** What the primary itself stands on: these need a restart. */
const FIXED = [
  'host',
  'port',
  'metricsPort',
  'dataDir',
  'workers',
  'redisUrl',
  'mongodbUri',
  'mongodbDatabase'
] as const

/** The same, as they are called outside. */
const FIXED_VARIABLES = [
  'HOST',
  'PORT',
  'METRICS_PORT',
  'DATA_DIR',
  'WORKERS',
  'REDIS_URL',
  'REDIS_HOST',
  'REDIS_PORT',
  'MONGODB_URI',
  'MONGODB_DATABASE'
] as const

function keepFixed (current: Config, next: Config): Config {
  const kept = Object.fromEntries(FIXED.map((name) => [name, current[name]])) as Pick<Config, typeof FIXED[number]>
  const settings = {
    ...next.settings,
    ...Object.fromEntries(FIXED_VARIABLES.map((name) => [name, current.settings[name] ?? '']))
  }
  return { ...next, ...kept, settings }
}

function warnOfFixed (current: Config, next: Config, warn: (facts: object, text: string) => void): void {
  const ignored = FIXED.filter((name) => current[name] !== next[name] && !(name === 'port' && next.port === 0))
  if (ignored.length > 0) warn({ ignored }, 'these need a restart: the reload left them as they were')
}
