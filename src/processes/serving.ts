import { Server as NetServer } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import type { Server } from 'node:http'
import type { FastifyInstance } from 'fastify'
import type { Config } from '../config/config.ts'
import { ConfigError } from '../config/config.ts'
import { createAwakeTime } from '../std/awake.ts'
import { systemClock } from '../std/clock.ts'
import type { Clock } from '../std/clock.ts'
import type { Json } from '../std/json.ts'
import type { Logging } from '../telemetry/logger.ts'
import type { ControlVerbs } from './control.ts'
import type { Fleet } from '../fleet/port.ts'
import { StoppedEarly } from './orders.ts'
import type { ClusterStatus } from './status.ts'

/** The parts that the application is built from, in a worker and in the one server alike. */
export interface ServerParts {
  config: Config
  fleet: Fleet
  clock: Clock
  /** The result of the preparation before any fork; small JSON. */
  prepared: Json
  logging: Logging
  /** Verbs of the control socket that the rooms answer (`control.handle('explain', ...)`). */
  control: ControlVerbs
  /** Aborted when the drain begins: readiness falls, sockets of subscriptions say goodbye. In-flight requests go on. */
  draining: AbortSignal
  clusterStatus: () => Promise<ClusterStatus>
}

export type BuildServer = (parts: ServerParts) => Promise<FastifyInstance>

export interface Serving {
  app: FastifyInstance
  url: string
  /**
   * Stops accepting, lets every request under way finish, then closes the rooms in order. Once; later calls
   * wait for the first.
   */
  drain (): Promise<void>
}

/**
 * How long a connection without a request may stay after a drain began. Closing an idle keep-alive connection
 * races with the client's next request, which would be lost: answering that request with `Connection: close`
 * loses none. A pause of clients longer than this is a client that reconnects anyway.
 */
const QUIET_MS = 1500
const DRAIN_POLL_MS = 25
/** Below the hard exit: of SHUTDOWN_TIMEOUT_MS' 25 s the drain may take 20. */
const DRAIN_SHARE_OF_SHUTDOWN = 0.8

/**
 * Builds, listens, and knows how to stop without losing a request. With `stopping` aborted it does not begin to listen.
 * @throws ConfigError naming PORT or HOST, StoppedEarly
 */
export async function serve (
  build: BuildServer,
  parts: Omit<ServerParts, 'draining'>,
  stopping: AbortSignal
): Promise<Serving> {
  if (stopping.aborted) throw new StoppedEarly()
  const draining = new AbortController()
  const app = await build({ ...parts, draining: draining.signal })
  const upgraded = watchUpgrades(app.server)
  if (stopping.aborted) {
    await app.close()
    throw new StoppedEarly()
  }
  try {
    await app.listen({ host: parts.config.host, port: parts.config.port })
  } catch (error) {
    await app.close().catch(() => { /* the reason that it could not listen says more */ })
    throw listenProblem(error, 'PORT')
  }
  let drained: Promise<void> | null = null
  return {
    app,
    url: urlOf(parts.config.host, (app.server.address() as AddressInfo).port),
    drain () {
      drained ??= drainServer(app, upgraded, draining, parts.config.shutdownTimeoutMs * DRAIN_SHARE_OF_SHUTDOWN)
      return drained
    }
  }
}

async function drainServer (
  app: FastifyInstance,
  upgraded: Set<Socket>,
  draining: AbortController,
  timeoutMs: number
): Promise<void> {
  const server = app.server
  draining.abort()
  // http.Server.close() would cut idle keep-alive connections under the client's next request; the one of net
  // only stops accepting.
  NetServer.prototype.close.call(server)
  server.prependListener('request', (_request, response) => { response.shouldKeepAlive = false })
  const awake = createAwakeTime({ clock: systemClock, lookMs: DRAIN_POLL_MS })
  while (awake.ms() < timeoutMs) {
    if (awake.ms() >= QUIET_MS) server.closeIdleConnections()
    if (await connectionsOf(server) <= upgraded.size) break
    await new Promise((resolve) => setTimeout(resolve, DRAIN_POLL_MS))
    awake.look()
  }
  await app.close()
}

/** Sockets that became WebSockets are closed by their rooms, and must not hold the drain. */
function watchUpgrades (server: Server): Set<Socket> {
  const upgraded = new Set<Socket>()
  server.on('upgrade', (_request, socket: Socket) => {
    upgraded.add(socket)
    socket.once('close', () => upgraded.delete(socket))
  })
  return upgraded
}

function connectionsOf (server: Server): Promise<number> {
  return new Promise((resolve) => server.getConnections((error, count) => resolve(error === null ? count : 0)))
}

/** The address as people open it: a server on all addresses is shown by loopback. */
export function urlOf (host: string, port: number): string {
  const shown = host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host
  return `http://${shown.includes(':') ? `[${shown}]` : shown}:${port}`
}

/** The refusal of listen() as an error of the variable that can mend it; other errors as they are. */
export function listenProblem (error: unknown, portVariable: 'PORT' | 'METRICS_PORT'): unknown {
  const { code, port } = error as NodeJS.ErrnoException & { port?: number }
  if (code === 'EADDRINUSE') return new ConfigError(portVariable, `${port} is in use by another program`)
  if (code === 'EACCES') return new ConfigError(portVariable, 'may not be opened by this user')
  if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND' || code === 'EAI_AGAIN' || code === 'EINVAL') {
    return new ConfigError('HOST', 'is no address of this machine')
  }
  return error
}
