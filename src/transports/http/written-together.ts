import type { Socket } from 'node:net'

/**
 * Answers of one turn of the event loop leave together at its end. A write wakes whoever sleeps until it comes, at our
 * expense where that is a process of the same machine (a proxy beside us, a load test): those right behind the first
 * find it awake. Nobody waits longer than for the turn, nor for more than HELD_MAX others.
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
