import type { Socket } from 'node:net'

/**
 * Answers of one turn of the event loop leave together at its end. Each write wakes whoever waits for it, and where
 * that is a process of the same machine (a proxy beside us, a load test) the first of a turn costs 10 us of ours and
 * those right behind it 4, for the reader is awake by then. Nobody waits longer than for the turn, nor for more than
 * HELD_MAX others.
 */
const HELD_MAX = 64

let held: Socket[] = []

/** What is written to it from here on goes out with the others. */
export function writeWithOthers (socket: Socket): void {
  if (held.length === HELD_MAX) writeAll()
  socket.cork()
  if (held.push(socket) === 1) setImmediate(writeAll)
}

function writeAll (): void {
  const sockets = held
  held = []
  for (const socket of sockets) socket.uncork()
}
