import { connect } from 'node:net'

/** What came back for bytes that no HTTP client would send. */
export interface RawAnswer {
  /** As latin1. */
  text: string
  /** Status codes of the responses, in order. */
  statuses: number[]
  /** The server ended the connection within the time. */
  closed: boolean
  ms: number
}

/**
 * Writes the parts one after the other and reads until the server closes or `timeoutMs` have passed. A server that
 * closes while it is still written to is no error here: that is what it should do.
 *
 * @param isEnough of the text so far: a connection that stays open is read no longer
 */
export async function sendRaw (port: number, parts: Iterable<string | Buffer>, timeoutMs = 20_000, isEnough?: (text: string) => boolean): Promise<RawAnswer> {
  const started = performance.now()
  const { promise, resolve } = Promise.withResolvers<boolean>()
  const socket = connect(port, '127.0.0.1')
  const received: Buffer[] = []
  const timer = setTimeout(() => resolve(false), timeoutMs)
  socket.on('data', (chunk: Buffer) => {
    received.push(chunk)
    if (isEnough?.(Buffer.concat(received).toString('latin1')) === true) resolve(false)
  })
  socket.on('error', () => {})
  socket.on('end', () => resolve(true))
  socket.on('close', () => resolve(true))
  socket.once('connect', async () => {
    for (const part of parts) {
      if (!socket.writable) break
      const bytes: Uint8Array = typeof part === 'string' ? Buffer.from(part, 'latin1') : part
      if (!socket.write(bytes)) await new Promise((resolve) => { socket.once('drain', resolve).once('close', resolve) })
    }
  })
  const closed = await promise
  clearTimeout(timer)
  const ms = performance.now() - started
  socket.destroy()
  const text = Buffer.concat(received).toString('latin1')
  return { text, closed, ms, statuses: [...text.matchAll(/HTTP\/1\.[01] (\d{3}) /g)].map((match) => Number(match[1])) }
}
