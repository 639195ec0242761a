import type { Server } from 'node:http'
import type { Socket } from 'node:net'

/** Node's own object below a socket: what travels from process to process. */
export interface ConnectionHandle {
  readStop (): void
  close (): void
}

/** Below a listening server: what node:cluster, too, gives its connections to. */
interface ListeningHandle { onconnection (error: 0, connection: ConnectionHandle): void }

/**
 * Gives a connection to another process. `done` once it is on its way, or cannot be sent: then this process's copy may
 * be closed, and where it was sent the client does not notice.
 */
export type HandOver = (connection: ConnectionHandle, done: () => void) => void

/** While one is on its way to the primary our other messages wait behind it: a beat must not wait for thousands. */
const ON_THEIR_WAY_MAX = 64

/**
 * The connections of a server that is to end. An idle one cannot be closed without a risk: the client's next request
 * may be under way, and it would be lost, for no client may send a POST twice. So a worker that has a successor hands
 * its idle connections over, bytes that nobody has read yet included.
 */
export class Connections {
  readonly #server: Server
  readonly #open = new Set<Socket>()
  readonly #upgraded = new Set<Socket>()
  readonly #onTheirWay = new Set<Socket>()

  /** Before the server listens. */
  constructor (server: Server) {
    this.#server = server
    server.on('connection', (socket: Socket) => {
      this.#open.add(socket)
      socket.once('close', () => this.#open.delete(socket))
    })
    server.on('upgrade', (_request, socket: Socket) => {
      this.#upgraded.add(socket)
      socket.once('close', () => this.#upgraded.delete(socket))
    })
  }

  /** Those that became WebSockets are closed by their rooms, and must not hold the drain. */
  get count (): number {
    return this.#open.size - this.#upgraded.size
  }

  /** Takes one in that another process began, as if it had just been accepted. */
  adopt (connection: ConnectionHandle): void {
    const { _handle: handle } = this.#server as unknown as { _handle: ListeningHandle | null }
    if (handle === null) connection.close()
    else handle.onconnection(0, connection)
  }

  closeIdle (): void {
    for (const socket of this.#idle()) socket.destroy()
  }

  /** As many as may be on their way at once; the others with the next call. */
  handOverIdle (handOver: HandOver): void {
    for (const socket of this.#idle()) {
      if (this.#onTheirWay.size >= ON_THEIR_WAY_MAX) return
      const { _handle: handle } = socket as unknown as { _handle: ConnectionHandle | null }
      if (handle === null || this.#onTheirWay.has(socket)) continue
      this.#onTheirWay.add(socket)
      // What the client sends from here on stays in the kernel, for whoever reads next.
      handle.readStop()
      handOver(handle, () => {
        this.#onTheirWay.delete(socket)
        socket.destroy()
      })
    }
  }

  /** Between two requests, or before the first: nothing of the next was read, all of the last answer is written. */
  #idle (): Socket[] {
    const idle = [...this.#open].filter((socket) => socket.bytesRead === 0)
    // Whether its parser is in the middle of a request Node says nowhere but here: by destroying those that are not.
    for (const socket of this.#open) {
      socket.destroy = () => {
        if (socket.writableLength === 0) idle.push(socket)
        return socket
      }
    }
    try {
      this.#server.closeIdleConnections()
    } finally {
      for (const socket of this.#open) delete (socket as Partial<Socket>).destroy
    }
    return idle
  }
}
