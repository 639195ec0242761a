import type { FastifyInstance } from 'fastify'
import { Gauge } from 'prom-client'
import type { WebSocket } from 'ws'
import { NEKO_ERR_LIMIT_EXCEEDED, NEKO_ERR_OVERLOADED } from '../../errors.ts'
import type { Tier } from '../../identity/shapes.ts'
import { retryable } from '../../std/retryable.ts'
import { anonymousClient } from '../../transaction/begin.ts'
import { ClientCounts, CLOSE, SOCKET } from './bounds.ts'
import { SocketConnection } from './connection.ts'
import { createOperations, type Caller } from './operations.ts'
import { createProtocol } from './protocol.ts'

/**
 * The open WebSockets of a process: how many each client holds, and when each must go. One timer looks at all of them,
 * and only while there are some.
 */
export class OpenSockets {
  readonly #app: FastifyInstance
  readonly #edge: ConstructorParameters<typeof SocketConnection>[2]
  readonly #connections = new Set<SocketConnection>()
  readonly #counts = new ClientCounts()
  readonly #gauge: Gauge
  readonly #forgetChanges: () => void
  #timer: NodeJS.Timeout | null = null
  #standingChanged = false
  #closing = false

  constructor (app: FastifyInstance) {
    this.#app = app
    const protocol = createProtocol({ ...app.graphqlEdge, run: createOperations(app) })
    this.#edge = { app, protocol, recount: (from, to, { tier }) => this.#recount(from, to, tier) }
    this.#gauge = new Gauge({
      name: 'neko_websockets',
      help: 'Open WebSockets',
      registers: [app.metrics.registry],
      aggregator: 'sum'
    })
    this.#forgetChanges = app.decisions.onChanged(() => { this.#standingChanged = true })
    app.draining.addEventListener('abort', () => this.#goAway(), { once: true })
  }

  /** Counts one more for a client where there is room for it; else the error that says why not. */
  reserve (caller: Caller): Error | null {
    if (this.#closing || this.#app.draining.aborted || this.#connections.size >= SOCKET.sockets) {
      return retryable(new NEKO_ERR_OVERLOADED('1'), 1)
    }
    const tier = caller.principal?.tier ?? 'standard'
    if (this.#counts.add(clientOf(caller), this.#socketsMax(tier))) return null
    return retryable(new NEKO_ERR_LIMIT_EXCEEDED('60'), 60)
  }

  /** The peer left before its socket was open. */
  release (caller: Caller): void {
    this.#counts.remove(clientOf(caller))
  }

  /** Takes a socket that was reserved. */
  open (ws: WebSocket, caller: Caller): void {
    const connection = new SocketConnection(ws, caller, this.#edge)
    this.#connections.add(connection)
    this.#gauge.set(this.#connections.size)
    ws.once('close', () => {
      this.#connections.delete(connection)
      this.#counts.remove(connection.client)
      this.#gauge.set(this.#connections.size)
      if (this.#connections.size === 0) this.#stopLooking()
    })
    this.#timer ??= setInterval(() => this.#look(), SOCKET.lookMs).unref()
  }

  /** Resolves when all are gone; ws cuts those that do not answer within a second. */
  async leave (): Promise<void> {
    this.#goAway()
    this.#forgetChanges()
    const { clock } = this.#app
    const deadlineMs = clock.monotonic() + 2 * SOCKET.closeMs
    while (this.#connections.size > 0 && clock.monotonic() < deadlineMs) {
      await new Promise((resolve) => setTimeout(resolve, SOCKET.lookMs / 10))
    }
    for (const connection of this.#connections) connection.terminate()
    this.#stopLooking()
  }

  #socketsMax (tier: Tier): number {
    return Math.max(1, Math.floor(this.#app.limits.rate(tier).max / SOCKET.requestsPerSocket))
  }

  #recount (from: string, to: string, tier: Tier): boolean {
    if (from === to) return true
    if (!this.#counts.add(to, this.#socketsMax(tier))) return false
    this.#counts.remove(from)
    return true
  }

  #look (): void {
    const nowMs = this.#app.clock.monotonic()
    const changed = this.#standingChanged
    this.#standingChanged = false
    for (const connection of this.#connections) connection.look(nowMs, changed)
  }

  #stopLooking (): void {
    if (this.#timer !== null) clearInterval(this.#timer)
    this.#timer = null
  }

  #goAway (): void {
    this.#closing = true
    for (const connection of this.#connections) connection.close(CLOSE.goingAway, 'Going away')
  }
}

/** ClientKey of who opens a socket. */
function clientOf ({ address, principal }: Caller): string {
  return principal?.clientKey ?? anonymousClient(address)
}
