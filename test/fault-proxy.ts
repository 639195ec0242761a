import { type AddressInfo, type Socket, connect, createServer } from 'node:net'
import type { Test } from 'tap'

/**
 * A TCP proxy that misbehaves on demand, between a client and a real server.
 * The fault holds for new and for open connections from the moment it is set; `null` heals.
 */
export type Fault =
  /** Bytes of both directions are held back this long. */
  | { kind: 'delay', ms: number }
  /** Nothing passes, nothing closes. */
  | { kind: 'stall' }
  /** Open connections are reset, new ones too. */
  | { kind: 'reset' }
  /** The server gets everything; after this many bytes of replies the connection is reset: the operation was done, its reply lost. */
  | { kind: 'cut', replyBytes: number, times: number }
  /** The server's side ends politely while the client may still send. */
  | { kind: 'half-close' }

export interface FaultProxy {
  port: number
  setFault (fault: Fault | null): void
  /** Connections cut or reset so far. */
  cuts (): number
  connections (): number
}

interface Pair { client: Socket, server: Socket, replied: number }

export async function startFaultProxy (t: Test, target: { host?: string, port: number }): Promise<FaultProxy> {
  const pairs = new Set<Pair>()
  let fault: Fault | null = null
  let cuts = 0
  const held: Array<() => void> = []

  const reset = (pair: Pair): void => {
    if (!pairs.delete(pair)) return
    cuts++
    pair.client.resetAndDestroy()
    pair.server.destroy()
  }
  const pass = (write: () => void): void => {
    if (fault?.kind === 'stall') held.push(write)
    else if (fault?.kind === 'delay') setTimeout(write, fault.ms)
    else write()
  }
  const reply = (pair: Pair, chunk: Buffer): void => {
    if (fault?.kind !== 'cut' || fault.times <= 0) return pass(() => pair.client.writable && pair.client.write(chunk))
    const room = fault.replyBytes - pair.replied
    pair.replied += chunk.length
    if (chunk.length < room) return pass(() => pair.client.writable && pair.client.write(chunk))
    fault.times--
    if (room > 0) pair.client.write(chunk.subarray(0, room))
    reset(pair)
  }
  const listener = createServer((client) => {
    const server = connect(target.port, target.host ?? '127.0.0.1')
    const pair: Pair = { client, server, replied: 0 }
    pairs.add(pair)
    const end = (): void => {
      pairs.delete(pair)
      client.destroy()
      server.destroy()
    }
    for (const socket of [client, server]) socket.on('error', end).on('close', end)
    client.on('data', (chunk) => pass(() => server.writable && server.write(chunk)))
    server.on('data', (chunk: Buffer) => reply(pair, chunk))
    if (fault?.kind === 'reset') reset(pair)
    if (fault?.kind === 'half-close') client.end()
  })
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve))
  t.teardown(() => new Promise<void>((resolve) => {
    for (const { client, server } of pairs) { client.destroy(); server.destroy() }
    listener.close(() => resolve())
  }))
  return {
    port: (listener.address() as AddressInfo).port,
    setFault (next) {
      fault = next
      if (next?.kind === 'reset') for (const pair of [...pairs]) reset(pair)
      if (next?.kind === 'half-close') for (const { client } of pairs) client.end()
      // Replies are counted from here: a cut means the next reply, not one of long ago.
      if (next?.kind === 'cut') for (const pair of pairs) pair.replied = 0
      if (next?.kind !== 'stall') for (const write of held.splice(0)) write()
    },
    cuts: () => cuts,
    connections: () => pairs.size
  }
}
