import cluster from 'node:cluster'
import { accessSync, constants, existsSync, mkdirSync, readFileSync, statSync } from 'node:fs'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { dirname } from 'node:path'
import { ConfigError, loadConfig, readEnvironment } from '../config/config.ts'
import type { Config } from '../config/config.ts'
import { systemClock } from '../std/clock.ts'
import type { Clock } from '../std/clock.ts'
import { newProcessId } from '../std/id.ts'
import type { Json } from '../std/json.ts'
import { createLogger } from '../telemetry/logger.ts'
import type { Logging } from '../telemetry/logger.ts'
import { openMetricsServer } from '../telemetry/metrics-server.ts'
import type { MetricsServer } from '../telemetry/metrics-server.ts'
import { bannerText } from './banner.ts'
import { createControlVerbs, openControlSocket } from './control.ts'
import type { ControlServer, ControlVerbs } from './control.ts'
import { EXIT_CONFIG, EXIT_CRASH, fatalLine } from './ending.ts'
import type { Fleet } from '../fleet/port.ts'
import { createFleetHub } from '../fleet/hub.ts'
import type { FleetBridge, FleetHub } from '../fleet/hub.ts'
import { runPrimary } from './primary.ts'
import { listenProblem, urlOf } from './serving.ts'
import type { BuildServer } from './serving.ts'
import { runSingle } from './single.ts'
import type { ClusterStatus } from './status.ts'
import { runWorker } from './worker.ts'

/** What one process of NEKO is made of; main.ts gives the real parts, tests give small ones. */
export interface RunOptions {
  /**
   * Once, before any fork: migrations, seeds, the first administrator. What it returns goes to every process,
   * but for `oneTimePassword`, which goes to the banner.
   */
  prepare: (config: Config, parts: { logging: Logging, clock: Clock }) => Promise<Json>
  build: BuildServer
  /** What the primary itself does for its workers. */
  onPrimary?: (parts: { fleet: Fleet, config: Config, clock: Clock, logging: Logging }) => Promise<PrimaryDuties>
  workerFile: URL
  exit: (code: number) => never
}

export interface PrimaryDuties {
  /**
   * A worker ended without being asked to; which processes of this host live, and the configuration of the
   * last reload. What it throws is logged.
   */
  workerDied? (liveProcessIds: string[], config: Config): Promise<void> | void
  close (): Promise<void> | void
}

/** What the one server and the primary have in common: the lock, the port, the store prepared, and the way out. */
export interface Host {
  options: RunOptions
  config: Config
  clock: Clock
  logging: Logging
  processId: string
  hub: FleetHub
  prepared: Json
  control: ControlVerbs
  version: string
  startMs: number
  /** Set when known; shown by `status`. */
  urls: { url: string | null, metricsUrl: string | null }
  state: 'starting' | 'serving' | 'draining'
  status (processes: ClusterStatus['processes']): ClusterStatus
  openMetrics (render: () => Promise<string>): Promise<void>
  /** Prints the banner, once. */
  announce (url: string): void
  /**
   * Ends the process in order, once: `drain`, then what the host holds. A second call, whoever makes it,
   * waits for the first.
   */
  stop (drain: () => Promise<void>, why: string): Promise<void>
  /** After stop(): flushes and exits. */
  leave (code: number): void
  fail (error: unknown): never
}

/** What is still open at the end (a metrics scrape, Redis) gets this long to close. */
const LEAVE_MS_MAX = 1_000

/** Cluster child, primary or the one server: which of them this process is. */
export async function run (options: RunOptions): Promise<void> {
  if (cluster.isWorker) return runWorker({ build: options.build, exit: options.exit })
  const processId = newProcessId()
  let logging = createLogger({ level: 'info', processId, slot: null })
  try {
    const config = loadConfig(readEnvironment())
    logging = createLogger({ level: config.logLevel, processId, slot: config.workers === 1 ? 0 : null })
    const host = await createHost({ options, config, logging, processId })
    await (config.workers === 1 ? runSingle(host) : runPrimary(host))
  } catch (error) {
    fatalLine(error, logging)
    options.exit(error instanceof ConfigError ? EXIT_CONFIG : EXIT_CRASH)
  }
}

async function createHost (
  given: { options: RunOptions, config: Config, logging: Logging, processId: string }
): Promise<Host> {
  const { options, logging, processId } = given
  const clock = systemClock
  for (const [name, meant] of given.config.nearMisses) {
    logging.log.warn({ variable: name, meant }, 'an unknown variable looks like one of ours')
  }
  for (const [variable, value, meant] of given.config.retiredValues) {
    logging.log.warn({ variable, value, meant }, 'this value is not used any more: another one is in force')
  }
  requireDataDir(given.config.dataDir)
  const control = createControlVerbs(logging.log)
  // The socket first: it is the lock of the data directory, and two servers must not migrate one store.
  const socket = await openControlSocket({ dataDir: given.config.dataDir, verbs: control, log: logging.log })
  try {
    const config = { ...given.config, port: await probePort(given.config.host, given.config.port) }
    const prepared = await options.prepare(config, { logging, clock })
    const hub = createFleetHub()
    const bridge = await joinHosts(config, hub, { clock, logging })
    return assembleHost({ options, config, logging, processId, clock, control, socket, prepared, hub, bridge })
  } catch (error) {
    await socket.close()
    throw error
  }
}

interface HostParts
  extends
  Pick<Host, 'options' | 'config' | 'logging' | 'processId' | 'clock' | 'control' | 'prepared' | 'hub'> {
  socket: ControlServer
  bridge: FleetBridge | null
}

function assembleHost (parts: HostParts): Host {
  const { config, clock, logging, hub, socket, bridge, options } = parts
  const { handed, oneTimePassword } = withoutPassword(parts.prepared)
  let metricsServer: MetricsServer | null = null
  let stopping: Promise<void> | null = null
  const host: Host = {
    ...parts,
    prepared: handed,
    version: ownVersion(),
    startMs: clock.monotonic(),
    urls: { url: null, metricsUrl: null },
    state: 'starting',
    status: (processes) => ({
      version: host.version,
      ...host.urls,
      state: host.state,
      workers: config.workers,
      uptimeSeconds: Math.round((clock.monotonic() - host.startMs) / 1000),
      pid: process.pid,
      processes,
      fleetProcesses: hub.processCount()
    }),
    async openMetrics (render) {
      try {
        metricsServer = await openMetricsServer({ host: config.host, port: config.metricsPort, render })
      } catch (error) {
        throw listenProblem(error, 'METRICS_PORT')
      }
      host.urls.metricsUrl = urlOf(config.host, metricsServer.port)
    },
    announce (url) {
      if (host.state !== 'starting') return
      host.state = 'serving'
      host.urls.url = url
      logging.log.info({ url, metricsUrl: host.urls.metricsUrl, workers: config.workers }, 'ready')
      process.stdout.write(
        bannerText({
          config,
          version: host.version,
          url,
          metricsUrl: host.urls.metricsUrl ?? '',
          oneTimePassword
        })
      )
    },
    stop (drain, why) {
      if (stopping !== null) return stopping
      host.state = 'draining'
      logging.log.info({ why }, 'draining')
      setTimeout(() => {
        logging.log.error('the drain took too long')
        host.leave(EXIT_CRASH)
      }, config.shutdownTimeoutMs)
      stopping = drain()
      return stopping
    },
    leave (code) {
      // Whoever asked `neko stop` gets the answer before the socket goes.
      Promise.allSettled([socket.close(), metricsServer?.close(), bridge?.close()]).then(() => {
        logging.log.info({ code }, 'ended')
        logging.flush()
        options.exit(code)
      })
      setTimeout(() => options.exit(code), LEAVE_MS_MAX)
    },
    fail (error) {
      fatalLine(error, logging)
      return options.exit(error instanceof ConfigError ? EXIT_CONFIG : EXIT_CRASH)
    }
  }
  return host
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

/** @throws ConfigError naming DATA_DIR. */
function requireDataDir (dataDir: string): void {
  try {
    makeDirectory(dataDir)
    accessSync(dataDir, constants.R_OK | constants.W_OK | constants.X_OK)
    if (!statSync(dataDir).isDirectory()) throw new ConfigError('DATA_DIR', 'is no directory')
  } catch (error) {
    throw error instanceof ConfigError ? error : new ConfigError('DATA_DIR', 'cannot be written')
  }
}

/** Step by step: mkdirSync's own `recursive` never returns on file systems that answer ENOENT to mkdir (/proc). */
function makeDirectory (path: string): void {
  if (existsSync(path)) return
  makeDirectory(dirname(path))
  mkdirSync(path, { mode: 0o700 })
}

/**
 * The port, tried before anything is prepared or forked, so that the one line about it is said once and at once. With
 * PORT=0 this picks the port that all workers then share, also those that are forked later.
 */
function probePort (host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', (error) => reject(listenProblem(error, 'PORT')))
    server.listen(port, host, () => {
      const picked = (server.address() as AddressInfo).port
      server.close(() => resolve(picked))
    })
  })
}

function withoutPassword (prepared: Json): { handed: Json, oneTimePassword: string | null } {
  if (typeof prepared !== 'object' || prepared === null || Array.isArray(prepared)) {
    return { handed: prepared, oneTimePassword: null }
  }
  const { oneTimePassword = null, ...handed } = prepared
  return { handed, oneTimePassword: typeof oneTimePassword === 'string' ? oneTimePassword : null }
}

function ownVersion (): string {
  return (JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
    version: string
  }).version
}
