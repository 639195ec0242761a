import type { FastifyInstance } from 'fastify'
import type { RawData, WebSocket } from 'ws'
import type { Principal } from '../../identity/shapes.ts'
import { CLOSE, MessageBudget, SOCKET } from './bounds.ts'
import type { Caller, Inspection } from './inspection.ts'
import { credentialOf, readMessage, type SubscribePayload } from './messages.ts'
import type { Operation, StartOperation } from './operations.ts'

/** What every connection of a process shares. */
export interface SocketEdge {
  app: FastifyInstance
  inspection: Inspection
  start: StartOperation
  /** Counts the socket for its new client instead of its old one; false when that one holds too many. */
  recount (from: string, to: string, principal: Principal): boolean
}

/**
 * One socket that speaks graphql-transport-ws: init, acknowledge, operations, and the looks that end it in time.
 *
 * Owns: the order of messages and why the socket is closed. Never does: read a header of the payload into a request,
 * judge, or execute. It holds no timer of its own, so that thousands cost one.
 */
export class SocketConnection implements Caller {
  readonly address: string
  readonly covered: boolean
  readonly headers: readonly string[]
  readonly requestId: string
  client: string
  principal: Principal | null

  readonly #ws: WebSocket
  readonly #edge: SocketEdge
  readonly #operations = new Map<string, Operation>()
  readonly #budget: MessageBudget
  readonly #openedMs: number
  #state: 'new' | 'initialising' | 'ready' | 'closed' = 'new'
  #seenMs: number
  #pingedMs: number | null = null
  #wasFull = false

  constructor (ws: WebSocket, caller: Caller, edge: SocketEdge) {
    this.address = caller.address
    this.covered = caller.covered
    this.headers = caller.headers
    this.requestId = caller.requestId
    this.client = caller.client
    this.principal = caller.principal
    this.#ws = ws
    this.#edge = edge
    this.#openedMs = this.#seenMs = edge.app.clock.monotonic()
    this.#budget = new MessageBudget(this.#openedMs)
    ws.on('message', (data: RawData, isBinary: boolean) => this.#receive(data, isBinary))
    ws.on('ping', (data: Buffer) => this.#answerPing(data))
    ws.on('pong', () => this.#hear())
    // ws closes by itself what breaks RFC 6455 or its bounds (1002, 1007, 1008, 1009).
    ws.on('error', () => {})
    ws.on('close', () => this.#end())
  }

  /** Sends a close frame; the peer has a second to answer it. */
  close (code: number, reason: string): void {
    if (this.#state === 'closed') return
    this.#end()
    this.#ws.close(code, reason)
  }

  terminate (): void {
    this.#end()
    this.#ws.terminate()
  }

  /** Whatever is due: called for every socket four times a second. `standingChanged`: decisions may be other ones. */
  look (nowMs: number, standingChanged: boolean): void {
    if (this.#state === 'closed') return
    if (this.#state !== 'ready' && nowMs - this.#openedMs >= SOCKET.initMs) {
      return this.close(CLOSE.initTimeout, 'Connection initialisation timeout')
    }
    // From memory: expiry, logout, a revoked key, a changed role.
    if (this.principal !== null && !this.#edge.app.identity.holds(this.principal)) {
      return this.close(CLOSE.forbidden, 'Forbidden')
    }
    if (standingChanged && this.#edge.inspection.blockOf(this) !== null) return this.close(CLOSE.forbidden, 'Forbidden')
    const isFull = this.#ws.bufferedAmount > SOCKET.waitingBytes
    if (isFull && this.#wasFull) return this.terminate()
    this.#wasFull = isFull
    this.#keepAlive(nowMs)
  }

  #keepAlive (nowMs: number): void {
    if (this.#pingedMs !== null) {
      if (nowMs - this.#pingedMs >= SOCKET.pongMs) this.terminate()
    } else if (nowMs - this.#seenMs >= SOCKET.pingMs) {
      this.#pingedMs = nowMs
      this.#ws.ping()
    }
  }

  /** False when the peer said too much. */
  #hear (): boolean {
    const nowMs = this.#edge.app.clock.monotonic()
    this.#seenMs = nowMs
    this.#pingedMs = null
    if (this.#state === 'closed') return false
    if (this.#budget.take(nowMs)) return true
    this.close(CLOSE.tooMany, 'Too many messages')
    return false
  }

  /** By hand, so that pongs wait for a peer that does not read no more than anything else. */
  #answerPing (data: Buffer): void {
    if (!this.#hear()) return
    if (this.#ws.bufferedAmount > SOCKET.waitingBytes) return this.terminate()
    this.#ws.pong(data)
  }

  #receive (data: RawData, isBinary: boolean): void {
    if (!this.#hear()) return
    // As configured, ws hands over one Buffer per message.
    const text = isBinary ? null : (data as Buffer).toString('utf8')
    const message = text === null ? null : readMessage(text)
    if (text === null || message === null) return this.close(CLOSE.invalid, 'Invalid message')
    switch (message.type) {
      case 'connection_init': return this.#init(message.payload)
      case 'ping': return this.#send({ type: 'pong' })
      case 'pong': return
      case 'subscribe': return this.#subscribe(message.id, message.payload, text)
      case 'complete': return this.#complete(message.id)
    }
  }

  #init (payload: Record<string, unknown>): void {
    if (this.#state !== 'new') return this.close(CLOSE.tooMany, 'Too many initialisation requests')
    this.#state = 'initialising'
    this.#admit(payload).catch((error: unknown) => {
      this.#edge.app.log.warn({ err: error }, 'a WebSocket could not be admitted')
      this.close(CLOSE.tryLater, 'Try again later')
    })
  }

  async #admit (payload: Record<string, unknown>): Promise<void> {
    const { app, inspection, recount } = this.#edge
    const shown = credentialOf(payload)
    if (shown === 'malformed') return this.close(CLOSE.invalid, 'Invalid message')
    if (Object.keys(shown).length > 0) {
      // An address with too many refused credentials is refused before any cryptography.
      if (!app.limits.peekNamed('standard', 'failed', this.client).allowed) {
        return this.close(CLOSE.tooMany, 'Too many refused credentials')
      }
      const credential = await app.identity.authenticate(shown)
      if (credential.state !== 'held') {
        inspection.countBadToken(this.address)
        return this.close(CLOSE.forbidden, 'Forbidden')
      }
      const { principal } = credential
      if (this.#isOver()) return
      if (!recount(this.client, principal.clientKey, principal)) {
        return this.close(CLOSE.tooMany, 'Too many connections')
      }
      this.client = principal.clientKey
      this.principal = principal
    }
    if (this.#isOver()) return
    if (inspection.blockOf(this) !== null) return this.close(CLOSE.forbidden, 'Forbidden')
    this.#state = 'ready'
    this.#send({ type: 'connection_ack' })
  }

  #isOver (): boolean {
    return this.#state === 'closed'
  }

  #subscribe (id: string, payload: SubscribePayload, text: string): void {
    if (this.#state !== 'ready') return this.close(CLOSE.unauthorized, 'Unauthorized')
    if (this.#operations.has(id)) return this.close(CLOSE.duplicate, 'Subscriber for this id already exists')
    if (this.#operations.size >= SOCKET.operations) return this.close(CLOSE.tooMany, 'Too many subscriptions')
    const caller: Caller = {
      address: this.address,
      covered: this.covered,
      headers: this.headers,
      requestId: this.requestId,
      client: this.client,
      principal: this.principal
    }
    const operation = this.#edge.start(payload, text, caller, {
      next: (result) => this.#send({ id, type: 'next', payload: result }),
      error: (errors) => {
        this.#operations.delete(id)
        this.#send({ id, type: 'error', payload: errors })
      },
      complete: () => {
        this.#operations.delete(id)
        this.#send({ id, type: 'complete' })
      }
    })
    this.#operations.set(id, operation)
  }

  #complete (id: string): void {
    this.#operations.get(id)?.end()
    this.#operations.delete(id)
  }

  #send (message: object): void {
    if (this.#state === 'closed') return
    // One large answer may wait; nothing is added to more than 1 MiB.
    if (this.#ws.bufferedAmount > SOCKET.waitingBytes) return this.terminate()
    this.#ws.send(JSON.stringify(message))
  }

  #end (): void {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    for (const operation of this.#operations.values()) operation.end()
    this.#operations.clear()
  }
}
