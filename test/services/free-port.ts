import { createServer } from 'node:net'

/** Below those that the system gives to outgoing connections, which would take the port of a server that is away. */
const PORTS = { from: 20_000, count: 12_000 }
const TRIES = 50

/** A port of this machine that nobody listens on, for a server that may be killed and started again. */
export async function freePort (): Promise<number> {
  for (let tries = 0; tries < TRIES; tries++) {
    const port = PORTS.from + Math.floor(Math.random() * PORTS.count)
    const server = createServer()
    const isFree = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false))
      server.listen(port, '127.0.0.1', () => resolve(true))
    })
    if (!isFree) continue
    await new Promise((resolve) => server.close(resolve))
    return port
  }
  throw new Error('no free port')
}
