import type { FastifyInstance } from 'fastify'
import type { Server } from 'graphql-ws'
import type { RawData, WebSocket } from 'ws'
import type { Principal } from '../../identity/shapes.ts'
import { addressKey } from '../../std/ip.ts'
import { anonymousClient } from '../../transaction/begin.ts'
import { standingBlock } from '../../transaction/standing-block.ts'
import { BegunOperations, type BegunOperation } from './begun-operations.ts'
import { CLOSE, MessageBudget, SOCKET } from './bounds.ts'
import { credentialOf } from './credential.ts'
import type { Caller } from './operations.ts'
import type { Peer } from './protocol.ts'

/** Parts that every connection of a process shares. */
export interface SocketEdge {
  app: FastifyInstance
  protocol: Server<Peer>
  /** Counts the socket for its new client instead of its old one; false when that one holds too many. */
  recount (from: string, to: string, principal: Principal): boolean
}

/** The library's reader of messages, which takes them parsed, too. */
type Read = (message: string) => Promise<void>
type Message = Readonly<Record<string, unknown>>

/** In place of the library's: a reason quotes nothing that the peer chose, and so always fits into its frame. */
const REASONS: ReadonlyMap<number, string> = new Map([
  [CLOSE.invalid, 'Invalid message'],
  [CLOSE.duplicate, 'Subscriber for this id already exists']
])

/**
 * One socket that speaks graphql-transport-ws: what the protocol (protocol.ts) may not know of. Owns: the bounds of
 * messages, the credential of the connection, and the looks that end it in time. Never does: read a header of the
 * payload into a request, judge, or execute. It holds no timer of its own, so that thousands cost one.
 */
export class SocketConnection implements Peer {
  /** ClientKey of who holds the connection. */
  client: string
  message = ''

  readonly #ws: WebSocket
  readonly #edge: SocketEdge
  readonly #caller: Omit<Caller, 'principal'>
  readonly #budget: MessageBudget
  readonly #operations = new BegunOperations()
  readonly #openedMs: number
  readonly #end: (code?: number, reason?: string) => Promise<void>
  #principal: Principal | null
  #state: 'new' | 'ready' | 'closed' = 'new'
  #seenMs: number
  #pingedMs: number | null = null
  #wasFull = false

  constructor (ws: WebSocket, { principal, ...caller }: Caller, edge: SocketEdge) {
    this.client = principal?.clientKey ?? anonymousClient(caller.address)
    this.#principal = principal
    this.#caller = caller
    this.#ws = ws
    this.#edge = edge
    this.#openedMs = this.#seenMs = edge.app.clock.monotonic()
    this.#budget = new MessageBudget(this.#openedMs)
    ws.on('ping', (data: Buffer) => this.#answerPing(data))
    ws.on('pong', () => this.#count())
    // ws closes by itself what breaks RFC 6455 or its bounds (1002, 1007, 1008, 1009).
    ws.on('error', () => {})
    ws.on('close', () => this.#ended())
    const ended = edge.protocol.opened({
      protocol: ws.protocol,
      send: (text) => this.#send(text),
      close: (code = CLOSE.invalid, reason = '') => this.close(code, REASONS.get(code) ?? reason),
      onMessage: (read) => {
        ws.on('message', (data: RawData, isBinary: boolean) => this.#receive(data, isBinary, read))
      },
      // A pong quotes nothing of its ping: a peer must not choose what we send.
      onPing: () => this.#send('{"type":"pong"}')
    }, this)
    this.#end = async (code, reason) => await ended(code, reason)
  }

  caller (): Caller {
    return { ...this.#caller, principal: this.#principal }
  }

  /** Sends a close frame; the peer has a second to answer it. */
  close (code: number, reason: string): void {
    if (this.#state === 'closed') return
    this.#ended()
    this.#ws.close(code, reason)
  }

  terminate (): void {
    this.#ended()
    this.#ws.terminate()
  }

  refuse (): void {
    this.close(CLOSE.invalid, 'Invalid message')
  }

  operation (id: string): BegunOperation {
    return this.#operations.of(id)
  }

  /** Whatever is due: called for every socket four times a second. `standingChanged`: decisions may be other ones. */
  look (nowMs: number, standingChanged: boolean): void {
    if (this.#state === 'closed') return
    if (this.#state !== 'ready' && nowMs - this.#openedMs >= SOCKET.initMs) {
      return this.close(CLOSE.initTimeout, 'Connection initialisation timeout')
    }
    // From memory: expiry, logout, a revoked key, a changed role.
    if (this.#principal !== null && !this.#edge.app.identity.holds(this.#principal)) {
      return this.close(CLOSE.forbidden, 'Forbidden')
    }
    if (standingChanged && this.#isBlocked()) return this.close(CLOSE.forbidden, 'Forbidden')
    const isFull = this.#ws.bufferedAmount > SOCKET.waitingBytes
    if (isFull && this.#wasFull) return this.terminate()
    this.#wasFull = isFull
    this.#keepAlive(nowMs)
  }

  /** The credential of connection_init, if there is one, and whether a block stands against its bearer. */
  async admit (payload: Readonly<Record<string, unknown>>): Promise<boolean> {
    const shown = credentialOf(payload)
    if (shown === 'malformed') return this.#refused(CLOSE.invalid, 'Invalid message')
    try {
      if (Object.keys(shown).length > 0 && !await this.#authenticate(shown)) return false
      if (this.#isOver()) return false
      if (this.#isBlocked()) return this.#refused(CLOSE.forbidden, 'Forbidden')
    } catch (error) {
      this.#edge.app.log.warn({ err: error }, 'a WebSocket could not be admitted')
      return this.#refused(CLOSE.tryLater, 'Try again later')
    }
    this.#state = 'ready'
    return true
  }

  async #authenticate (shown: { authorization?: string, 'x-api-key'?: string }): Promise<boolean> {
    const { app, recount } = this.#edge
    // An address with too many refused credentials is refused before any cryptography, one that is known to hold apart.
    const mayGuess = app.limits.peekNamed('standard', 'failed', this.client).allowed
    const known = mayGuess ? null : app.identity.recall(shown)
    if (!mayGuess && known === null) return this.#refused(CLOSE.tooMany, 'Too many refused credentials')
    const credential = known ?? await app.identity.authenticate(shown)
    if (credential.state !== 'held') {
      this.#countBadToken()
      return this.#refused(CLOSE.forbidden, 'Forbidden')
    }
    const { principal } = credential
    if (this.#isOver()) return false
    if (!recount(this.client, principal.clientKey, principal)) {
      return this.#refused(CLOSE.tooMany, 'Too many connections')
    }
    this.client = principal.clientKey
    this.#principal = principal
    return true
  }

  /** A credential that did not hold counts on the address. */
  #countBadToken (): void {
    const { app } = this.#edge
    const client = anonymousClient(this.#caller.address)
    app.limits.takeNamed('standard', 'failed', client)
    const address = addressKey(this.#caller.address)
    app.clients.settle({ client, address, status: 401, action: 'ALLOW', score: 0, badToken: true })
  }

  #isBlocked (): boolean {
    return standingBlock(this.#edge.app.decisions, this.caller()) !== null
  }

  #refused (code: number, reason: string): false {
    this.close(code, reason)
    return false
  }

  #isOver (): boolean {
    return this.#state === 'closed'
  }

  #receive (data: RawData, isBinary: boolean, read: Read): void {
    if (!this.#count()) return
    if (isBinary) return this.close(CLOSE.invalid, 'Invalid message')
    // As configured, ws hands over one Buffer per message.
    const text = (data as Buffer).toString('utf8')
    const message = parsed(text)
    if (message === null) return this.close(CLOSE.invalid, 'Invalid message')
    const id = typeof message.id === 'string' ? message.id : null
    if (id !== null && message.type === 'subscribe') return this.#subscribe(read, { id, text, message })
    if (id !== null && message.type === 'complete' && this.#operations.complete(id) === 'drop') return
    this.#read(read, message, text)
  }

  /** Until the library is done with it, no other operation of its id is read. */
  #subscribe (read: Read, { id, text, message }: { id: string, text: string, message: Message | null }): void {
    if (this.#isOver() || message === null) return
    // One that waits is kept as its text: parsed, it may be 25 times as large.
    const step = this.#operations.begin(id, () => this.#subscribe(read, { id, text, message: parsed(text) }))
    if (step === 'tooMany') return this.close(CLOSE.tooMany, 'Too many subscriptions')
    if (step === 'read') this.#read(read, message, text).finally(() => this.#operations.end(id))
  }

  /** The library reads a message before this call returns, and answers it later. */
  #read (read: Read, message: Message, text: string): Promise<void> {
    this.message = text
    const reading = read(message as never)
    this.message = ''
    // Of all that can be wrong with a message, one that only servers send is refused by a rejection.
    return reading.catch(() => this.close(CLOSE.invalid, 'Invalid message'))
  }

  #send (text: string): void {
    if (this.#state === 'closed') return
    // One large answer may wait; nothing is added to more than 1 MiB.
    if (this.#ws.bufferedAmount > SOCKET.waitingBytes) return this.terminate()
    this.#ws.send(text)
  }

  /** Counts a message or control frame. False when the peer said too much. */
  #count (): boolean {
    const nowMs = this.#edge.app.clock.monotonic()
    this.#seenMs = nowMs
    this.#pingedMs = null
    if (this.#state === 'closed') return false
    if (this.#budget.take(nowMs)) return true
    this.close(CLOSE.tooMany, 'Too many messages')
    return false
  }

  /** By hand, so that a peer that does not read makes pongs wait no more than anything else. */
  #answerPing (data: Buffer): void {
    if (!this.#count()) return
    if (this.#ws.bufferedAmount > SOCKET.waitingBytes) return this.terminate()
    this.#ws.pong(data)
  }

  #keepAlive (nowMs: number): void {
    if (this.#pingedMs !== null) {
      if (nowMs - this.#pingedMs >= SOCKET.pongMs) this.terminate()
    } else if (nowMs - this.#seenMs >= SOCKET.pingMs) {
      this.#pingedMs = nowMs
      this.#ws.ping()
    }
  }

  /** Operations under way end with their connection, without another word. */
  #ended (): void {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    this.#operations.clear()
    this.#end().catch((error: unknown) => this.#edge.app.log.warn({ err: error }, 'a stream could not be ended'))
  }
}

/** Any JSON object; whether it is a message of the protocol is the library's to say. */
function parsed (text: string): Message | null {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? value as Message : null
  } catch {
    return null
  }
}
