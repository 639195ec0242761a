import type { Socket } from 'node:net'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { Clock } from '../std/clock.ts'

/**
 * Ends connections whose client asks and does not read: what is written for it stays in our memory.
 *
 * Why not socket.setTimeout: any byte of the client resets it, and one byte every few seconds is the attack. Here a
 * connection that has had something waiting at every look for 8 s must have taken 32 KiB within the last 4 of them: what
 * the kernel's own buffers take comes at the beginning.
 */
export const SLOW_READER_MS = 8_000
const TAKEN_BYTES_MIN = 32 * 1024
const TAKEN_MS = 4_000
const LOOK_MS = 500

/** Monotonic times; `markMs` is when it had last taken enough, `markBytes` how much it had taken then. */
interface Waiting { sinceMs: number, markMs: number, markBytes: number }

export default fp(async (app) => {
  const watch = watchSlowReaders(app, app.clock)
  app.addHook('onClose', () => watch.close())
}, { name: 'slow-readers', dependencies: ['clock'] })

function watchSlowReaders (app: FastifyInstance, clock: Clock): { close (): void } {
  /** null while nothing waits. Bounded by the open connections. */
  const sockets = new Map<Socket, Waiting | null>()
  const forget = (socket: Socket): void => { sockets.delete(socket) }
  app.server.on('connection', (socket: Socket) => {
    sockets.set(socket, null)
    socket.once('close', () => forget(socket))
  })
  // A WebSocket has bounds of its own.
  app.server.on('upgrade', (_request, socket) => forget(socket as Socket))

  const timer = setInterval(() => {
    const now = clock.monotonic()
    for (const [socket, before] of sockets) {
      if (socket.writableLength === 0) {
        if (before !== null) sockets.set(socket, null)
        continue
      }
      const takenBytes = socket.bytesWritten - socket.writableLength
      if (before === null) sockets.set(socket, { sinceMs: now, markMs: now, markBytes: takenBytes })
      else if (takenBytes - before.markBytes >= TAKEN_BYTES_MIN) Object.assign(before, { markMs: now, markBytes: takenBytes })
      // A look late at its beginning, none at its end.
      else if (now - before.sinceMs + LOOK_MS >= SLOW_READER_MS && now - before.markMs >= TAKEN_MS) {
        app.log.info({ address: socket.remoteAddress ?? null, waitingBytes: socket.writableLength }, 'a client that does not read was cut off')
        // A reset, so that the kernel does not go on offering what it holds.
        socket.resetAndDestroy()
      }
    }
  }, LOOK_MS)
  timer.unref()
  return { close: () => clearInterval(timer) }
}
