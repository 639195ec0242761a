import { readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { ConfigError } from '../config/config.ts'
import type { Config } from '../config/config.ts'
import { afterAwakeMs } from '../std/awake.ts'
import { systemClock } from '../std/clock.ts'
import type { Clock } from '../std/clock.ts'
import type { Json } from '../std/json.ts'
import type { Logging } from '../telemetry/logger.ts'
import { openMetricsServer } from '../telemetry/metrics-server.ts'
import type { MetricsServer } from '../telemetry/metrics-server.ts'
import { print } from '../telemetry/output.ts'
import { bannerText } from './banner.ts'
import { closeKeyFiles, requireDataDir } from './data-dir.ts'
import { createControlVerbs, openControlSocket } from './control.ts'
import type { ControlServer, ControlVerbs } from './control.ts'
import { EXIT_CONFIG, EXIT_CRASH, fatalLine } from './ending.ts'
import { unlessStopped } from './orders.ts'
import type { Orders } from './orders.ts'
import type { Fleet } from '../fleet/port.ts'
import { createFleetHub } from '../fleet/hub.ts'
import type { FleetBridge, FleetHub } from '../fleet/hub.ts'
import { listenProblem, urlOf } from './serving.ts'
import type { BuildServer } from './serving.ts'
import type { ClusterStatus } from './status.ts'

/** The parts of one process of NEKO; main.ts gives the real ones, tests give small ones. */
export interface RunOptions {
  /** Kept since the process began. */
  orders: Orders
  /**
   * Once, before any fork: migrations, seeds, the first administrator. Its result goes to every process.
   */
  prepare: (config: Config, parts: { logging: Logging, clock: Clock }) => Promise<Json>
  build: BuildServer
  /** Work that the primary itself does for its workers. */
  onPrimary?: (parts: PrimaryParts) => Promise<PrimaryDuties>
  workerFile: URL
  exit: (code: number) => never
}

interface PrimaryParts {
  fleet: Fleet
  config: Config
  clock: Clock
  logging: Logging
  /** Workers of this host that serve. */
  liveProcessIds (): string[]
  /** The configuration of the last reload. */
  currentConfig (): Config
}

export interface PrimaryDuties {
  /** A worker ended, in order or not, while the others go on. */
  workerEnded? (): void
  close (): Promise<void> | void
}

interface HostParts
  extends
  Pick<Host, 'options' | 'config' | 'logging' | 'processId' | 'clock' | 'control' | 'hub'> {
  prepared: Json
  socket: ControlServer
  bridge: FleetBridge | null
}

/** Connections that are still open at the end (a metrics scrape, Redis) get this long to close. */
const LEAVE_MS_MAX = 1_000

/** The common part of the one server and the primary: the lock, the port, the store prepared, and the way out. */
export class Host {
  readonly options: RunOptions
  readonly config: Config
  readonly clock: Clock
  readonly logging: Logging
  readonly processId: string
  readonly hub: FleetHub
  readonly control: ControlVerbs
  /** The result of the preparation, as every process gets it. */
  readonly prepared: Json
  readonly #version = ownVersion()
  readonly #startMs: number
  readonly #socket: ControlServer
  readonly #bridge: FleetBridge | null
  #metricsServer: MetricsServer | null = null
  #url: string | null = null
  #metricsUrl: string | null = null
  #state: 'starting' | 'serving' | 'draining' = 'starting'
  #stopping: Promise<void> | null = null

  constructor (parts: HostParts) {
    this.options = parts.options
    this.config = parts.config
    this.clock = parts.clock
    this.logging = parts.logging
    this.processId = parts.processId
    this.hub = parts.hub
    this.control = parts.control
    this.prepared = parts.prepared
    this.#socket = parts.socket
    this.#bridge = parts.bridge
    this.#startMs = parts.clock.monotonic()
  }

  get state (): 'starting' | 'serving' | 'draining' {
    return this.#state
  }

  uptimeSeconds (): number {
    return Math.round((this.clock.monotonic() - this.#startMs) / 1000)
  }

  status (processes: ClusterStatus['processes']): ClusterStatus {
    return {
      version: this.#version,
      url: this.#url,
      metricsUrl: this.#metricsUrl,
      state: this.#state,
      workers: this.config.workers,
      uptimeSeconds: this.uptimeSeconds(),
      pid: process.pid,
      processes,
      fleetProcesses: this.hub.processCount()
    }
  }

  async openMetrics (render: () => Promise<string>): Promise<void> {
    const { host, metricsPort } = this.config
    try {
      this.#metricsServer = await openMetricsServer({ host, port: metricsPort, render })
    } catch (error) {
      throw listenProblem(error, 'METRICS_PORT')
    }
    this.#metricsUrl = urlOf(host, this.#metricsServer.port)
  }

  /** Prints the banner, once. */
  announce (url: string): void {
    if (this.#state !== 'starting') return
    this.#state = 'serving'
    this.#url = url
    const metricsUrl = this.#metricsUrl
    this.logging.log.info({ url, metricsUrl, workers: this.config.workers }, 'ready')
    print(bannerText({
      config: this.config,
      version: this.#version,
      url,
      metricsUrl: metricsUrl ?? ''
    }))
  }

  /** Ends the process in order, once: `drain`, then what the host holds. A second call waits for the first. */
  stop (drain: () => Promise<void>, why: string): Promise<void> {
    if (this.#stopping !== null) return this.#stopping
    this.#state = 'draining'
    this.logging.log.info({ why }, 'draining')
    afterAwakeMs(this.config.shutdownTimeoutMs, () => {
      this.logging.log.error('the drain took too long')
      this.leave(EXIT_CRASH)
    })
    this.#stopping = drain()
    return this.#stopping
  }

  /** After stop(): flushes and exits. */
  leave (code: number): void {
    const { logging, options } = this
    // The client of `neko stop` gets its answer before the socket goes.
    Promise.allSettled([this.#socket.close(), this.#metricsServer?.close(), this.#bridge?.close()]).then(() => {
      logging.log.info({ code }, 'ended')
      logging.flush()
      options.exit(code)
    })
    setTimeout(() => options.exit(code), LEAVE_MS_MAX)
  }

  fail (error: unknown): never {
    fatalLine(error, this.logging)
    return this.options.exit(error instanceof ConfigError ? EXIT_CONFIG : EXIT_CRASH)
  }
}

/** All that comes before the first fork: the lock of the data directory, the port, the store, the other hosts. */
export async function createHost (
  given: { options: RunOptions, config: Config, logging: Logging, processId: string }
): Promise<Host> {
  const { options, logging, processId } = given
  const clock = systemClock
  warnOfSettings(given.config, logging)
  requireDataDir(given.config.dataDir, logging.log, { embedded: given.config.mongodbUri === null })
  closeKeyFiles(given.config.dataDir, logging.log)
  const control = createControlVerbs(logging.log)
  control.handle('stop', () => {
    options.orders.stop('neko stop')
    return null
  })
  control.handle('reload', () => {
    options.orders.reload()
    return null
  })
  // The socket first: it is the lock of the data directory, and two servers must not migrate one store.
  const socket = await openControlSocket({ dataDir: given.config.dataDir, verbs: control, log: logging.log })
  try {
    const { host, port, metricsPort } = given.config
    const config = { ...given.config, port: await probePort(host, port, 'PORT') }
    await probePort(host, metricsPort, 'METRICS_PORT')
    const prepared = await unlessStopped(options.orders.stopping, options.prepare(config, { logging, clock }))
    const hub = createFleetHub(clock)
    const bridge = await joinHosts(config, hub, { clock, logging })
    return new Host({ options, config, logging, processId, clock, control, socket, prepared, hub, bridge })
  } catch (error) {
    await socket.close()
    throw error
  }
}

/** Once per start, also for a fleet of workers: settings that are accepted and may not be meant. */
function warnOfSettings ({ nearMisses, retiredValues }: Config, { log }: Logging): void {
  for (const [name, meant] of nearMisses) {
    log.warn({ variable: name, meant }, 'an unknown variable looks like one of ours')
  }
  for (const [variable, value, meant] of retiredValues) {
    log.warn({ variable, value, meant }, 'this value is not used any more: another one is in force')
  }
}

async function joinHosts (
  config: Config,
  hub: FleetHub,
  parts: { clock: Clock, logging: Logging }
): Promise<FleetBridge | null> {
  if (config.redisUrl === null) {
    if (config.production) parts.logging.log.warn('no REDIS_URL: limits, cache and broadcasts stay on this host')
    return null
  }
  const { createRedisBridge } = await import('../fleet/redis.ts')
  const bridge = createRedisBridge({
    url: config.redisUrl,
    database: config.mongodbDatabase,
    hub,
    clock: parts.clock,
    log: parts.logging.log
  })
  hub.setBridge(bridge)
  return bridge
}

/**
 * A port, tried before anything is prepared or forked, so that the one line about it is said once and at once. With
 * PORT=0 this picks the port that all workers then share, also those that are forked later.
 */
function probePort (host: string, port: number, variable: 'PORT' | 'METRICS_PORT'): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', (error) => reject(listenProblem(error, variable)))
    server.listen(port, host, () => {
      const picked = (server.address() as AddressInfo).port
      server.close(() => resolve(picked))
    })
  })
}

function ownVersion (): string {
  return (JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
    version: string
  }).version
}
