import type { Socket } from 'node:net'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { Clock } from '../../std/clock.ts'

/**
 * Ends connections whose client asks and does not read: bytes written for it stay in our memory, or in the kernel's.
 *
 * Why not socket.setTimeout: any byte of the client resets it, and one byte every few seconds is the attack. Two looks:
 * - waiting: a connection that has had something waiting here at every look for 8 s must have taken 32 KiB
 * within the last
 *   4 of them (what the kernel's buffers take comes at the beginning);
 * - quiet: the kernel takes some 400 kB and more of an answer and does not say how much of it was read. After a large
 *   answer a connection that is not used for 8 s is ended instead of kept for 65.
 */
const SLOW_READER_MS = 8_000
const TAKEN_BYTES_MIN = 32 * 1024
const TAKEN_MS = 4_000
const LARGE_BYTES = 64 * 1024
const LOOK_MS = 500

/** Times are monotonic. */
interface Watched {
  /** Something waits since; null while nothing does. It had last taken enough at markMs: markBytes. */
  waitingSinceMs: number | null
  markMs: number
  markBytes: number
  /** As of the last look, and when they last changed. */
  readBytes: number
  writtenBytes: number
  quietSinceMs: number
  /** Written before the last request came. */
  beforeBytes: number
}

export default fp(async (app) => {
  const watch = watchSlowReaders(app, app.clock)
  app.addHook('onClose', () => watch.close())
}, { name: 'slow-readers', dependencies: ['clock'] })

function watchSlowReaders (app: FastifyInstance, clock: Clock): { close (): void } {
  // Bounded by the open connections.
  const sockets = new Map<Socket, Watched>()
  const forget = (socket: Socket): void => { sockets.delete(socket) }
  app.server.on('connection', (socket: Socket) => {
    sockets.set(socket, {
      waitingSinceMs: null,
      markMs: 0,
      markBytes: 0,
      readBytes: 0,
      writtenBytes: 0,
      quietSinceMs: 0,
      beforeBytes: 0
    })
    socket.once('close', () => forget(socket))
  })
  // A WebSocket has bounds of its own.
  app.server.on('upgrade', (_request, socket) => forget(socket as Socket))

  const timer = setInterval(() => {
    const now = clock.monotonic()
    for (const [socket, watched] of sockets) {
      const isSlow = socket.writableLength > 0 ? isStuck(socket, watched, now) : isQuiet(socket, watched, now)
      if (!isSlow) continue
      app.log.info({
        address: socket.remoteAddress ?? null,
        waitingBytes: socket.writableLength,
        writtenBytes: socket.bytesWritten
      }, 'a client that does not read was cut off')
      // A reset, so that the kernel does not go on offering what it holds.
      socket.resetAndDestroy()
    }
  }, LOOK_MS)
  timer.unref()
  return { close: () => clearInterval(timer) }
}

// The first look comes late by up to LOOK_MS: it is added, so that 8 s are 8 s.
function isStuck (socket: Socket, watched: Watched, now: number): boolean {
  const takenBytes = socket.bytesWritten - socket.writableLength
  if (watched.waitingSinceMs === null) {
    Object.assign(watched, { waitingSinceMs: now, markMs: now, markBytes: takenBytes })
  } else if (takenBytes - watched.markBytes >= TAKEN_BYTES_MIN) {
    Object.assign(watched, { markMs: now, markBytes: takenBytes })
  } else return now - watched.waitingSinceMs + LOOK_MS >= SLOW_READER_MS && now - watched.markMs >= TAKEN_MS
  return false
}

function isQuiet (socket: Socket, watched: Watched, now: number): boolean {
  watched.waitingSinceMs = null
  const { bytesRead, bytesWritten } = socket
  if (bytesRead !== watched.readBytes) {
    Object.assign(watched, { readBytes: bytesRead, beforeBytes: watched.writtenBytes, quietSinceMs: now })
  }
  if (bytesWritten !== watched.writtenBytes) Object.assign(watched, { writtenBytes: bytesWritten, quietSinceMs: now })
  return bytesWritten - watched.beforeBytes >= LARGE_BYTES && now - watched.quietSinceMs + LOOK_MS >= SLOW_READER_MS
}
