/** Bounds of a WebSocket, and the codes that close it. Every number is a bound on what a stranger can make us hold. */
export const SOCKET = Object.freeze({
  /** All sockets are looked at this often, by one timer for all of them. */
  lookMs: 250,
  /** Closed by the next look, so within 5 s. */
  initMs: 4_500,
  /** A silent peer is asked after this long, and given this long to answer. */
  pingMs: 30_000,
  pongMs: 15_000,
  /** After our close frame; then the connection is cut. */
  closeMs: 1_000,
  /** One message, as large as a body of POST /graphql. */
  messageBytes: 64 * 1024,
  /** Frames of one message: nobody needs more, and each costs some 100 bytes. */
  fragments: 64,
  /** Reads of one frame: 64 KiB take 45 packets, or thousands of one byte each. */
  chunks: 512,
  /** Subscriptions and queries under way on one socket. */
  operations: 100,
  operationIdCharacters: 128,
  /** Operations that wait because the one before of the same id was completed and has not ended: a message each. */
  reusedIds: 2,
  /** Messages and control frames: 100 a second over time, 1,000 at once. */
  messages: 1_000,
  messagesPerSecond: 100,
  /** Bytes that may wait for a peer that does not read. */
  waitingBytes: 1024 * 1024,
  /** Of one process: 5,000 times 100 kB. */
  sockets: 5_000,
  /**
   * A client holds at most a fifth of its tier's requests as sockets: 20 for strangers, 100 for people, 200
   * for services.
   */
  requestsPerSocket: 5
})

/** Close codes: RFC 6455's and those of graphql-transport-ws. */
export const CLOSE = Object.freeze({
  goingAway: 1001,
  tryLater: 1013,
  invalid: 4400,
  unauthorized: 4401,
  forbidden: 4403,
  initTimeout: 4408,
  duplicate: 4409,
  tooMany: 4429
})

/** Messages of one socket: a bucket that refills. Two numbers, because there are thousands of them. */
export class MessageBudget {
  #left: number = SOCKET.messages
  #atMs: number

  constructor (nowMs: number) {
    this.#atMs = nowMs
  }

  /** False when this one is too many. */
  take (nowMs: number): boolean {
    this.#left = Math.min(SOCKET.messages, this.#left + (nowMs - this.#atMs) * SOCKET.messagesPerSecond / 1000)
    this.#atMs = nowMs
    if (this.#left < 1) return false
    this.#left--
    return true
  }
}

/** How many sockets each client holds. An entry goes with its last socket, so there are never more than sockets. */
export class ClientCounts {
  #counts = new Map<string, number>()

  /** False, and nothing counted, when the client holds `max` already. */
  add (client: string, max: number): boolean {
    const count = this.#counts.get(client) ?? 0
    if (count >= max) return false
    this.#counts.set(client, count + 1)
    return true
  }

  remove (client: string): void {
    const count = this.#counts.get(client) ?? 0
    if (count <= 1) this.#counts.delete(client)
    else this.#counts.set(client, count - 1)
  }

  get size (): number {
    return this.#counts.size
  }
}
