import type { Server } from 'node:http'
import type { Socket } from 'node:net'

/**
 * Closes as RFC 9112 9.6 asks: our side ends, what the client still sends is read and dropped for a moment, then the
 * connection goes. Node destroys the socket at once; with unread bytes in it the kernel answers by a reset,
 * and the client never sees why it was refused (413 after 10 MB of body).
 */
const LINGER_MS = 1_000

/** For every connection of the server: `destroySoon` is what Node calls after the last response of a connection. */
export function lingerOnClose (server: Server): void {
  server.on('connection', (socket: Socket) => {
    socket.destroySoon = () => linger(socket)
  })
}

/** Ends our side and destroys the socket when the client has ended its own, at the latest after a second. */
export function linger (socket: Socket): void {
  if (socket.writable) socket.end()
  if (socket.destroyed) return
  const timer = setTimeout(() => socket.destroy(), LINGER_MS)
  timer.unref()
  socket.once('close', () => clearTimeout(timer))
  // Past the HTTP parser, which makes a buffer of each chunk: 80,000 chunks of one byte took 180 MB to drop.
  socket.on('data', drop)
  for (const listener of socket.listeners('data')) if (listener !== drop) socket.off('data', listener as () => void)
  socket.resume()
}

/** One read of a connection in a turn: libuv would go on with one that brings enough, up to 2 MB. */
function drop (this: Socket): void {
  this.pause()
  setImmediate(resume, this)
}

function resume (socket: Socket): void {
  socket.resume()
}
