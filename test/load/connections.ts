import { connect, type Socket } from 'node:net'

/** What came back for one request. */
export interface Answer {
  /** 0 when the connection ended without an answer, or none came in time. */
  status: number
  /** Status line and headers, as latin1. */
  head: string
  /** From the moment at which the request was due, so that a wait for a connection counts. */
  ms: number
}

export interface Connections {
  /** @param dueMs as performance.now(); the request goes out at once, or as soon as a connection is free */
  send (request: readonly Buffer[], dueMs?: number): Promise<Answer>
  close (): void
}

interface Pending { request: readonly Buffer[], dueMs: number, isRetry: boolean, resolve: (answer: Answer) => void }
interface Connection { socket: Socket, text: string, pending: Pending | null, answered: number }

const ANSWER_MS_MAX = 15_000

/**
 * Keep-alive connections to 127.0.0.1, at most `max`, one request at a time on each. Requests are bytes made beforehand
 * and answers are read no further than needed: what shares two cores with the server it measures must cost little. A
 * kept connection that the server ended before it read the request is no answer: then the request goes out once more.
 */
export function createConnections (port: number, max: number): Connections {
  const idle: Connection[] = []
  const open = new Set<Connection>()
  const queue: Pending[] = []
  const deadlines = setInterval(() => {
    for (const { pending, socket } of open) {
      if (pending !== null && performance.now() - pending.dueMs > ANSWER_MS_MAX) socket.destroy()
    }
  }, 500)

  function start (pending: Pending): void {
    const kept = pending.isRetry ? undefined : idle.pop()
    if (kept === undefined && open.size >= max) queue.push(pending)
    else write(kept ?? openConnection(), pending)
  }

  function write (connection: Connection, pending: Pending): void {
    connection.pending = pending
    connection.text = ''
    connection.socket.cork()
    for (const part of pending.request) connection.socket.write(part)
    connection.socket.uncork()
  }

  function openConnection (): Connection {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true })
    const connection: Connection = { socket, text: '', pending: null, answered: 0 }
    open.add(connection)
    socket.setEncoding('latin1').on('data', (chunk: unknown) => {
      connection.text += chunk as string
      const end = headEnd(connection.text)
      if (connection.pending === null || end === -1 || !isWhole(connection.text, end)) return
      finish(connection, connection.text.slice(0, end))
      if (/^connection: close/im.test(connection.text.slice(0, end))) socket.destroy()
      else release(connection)
    })
    socket.on('error', () => {}).on('close', () => {
      open.delete(connection)
      if (idle.includes(connection)) idle.splice(idle.indexOf(connection), 1)
      const { pending, text, answered } = connection
      if (pending !== null && text === '' && answered > 0 && !pending.isRetry) {
        connection.pending = null
        start({ ...pending, isRetry: true })
      } else if (pending !== null) finish(connection, text.slice(0, Math.max(0, headEnd(text))))
      const next = queue.shift()
      if (next !== undefined) start(next)
    })
    return connection
  }

  function finish (connection: Connection, head: string): void {
    const { dueMs, resolve } = connection.pending as Pending
    connection.pending = null
    connection.answered++
    resolve({ status: Number(/^HTTP\/1\.1 (\d{3})/.exec(head)?.[1] ?? 0), head, ms: performance.now() - dueMs })
  }

  function release (connection: Connection): void {
    const next = queue.shift()
    if (next === undefined) idle.push(connection)
    else write(connection, next)
  }

  return {
    send: (request, dueMs = performance.now()) => new Promise((resolve) => {
      start({ request, dueMs, isRetry: false, resolve })
    }),
    close () {
      clearInterval(deadlines)
      for (const { socket } of open) socket.destroy()
    }
  }
}

function headEnd (text: string): number {
  return text.indexOf('\r\n\r\n')
}

/** By its length, or by the last chunk, which no body of the server's resembles. */
function isWhole (text: string, end: number): boolean {
  const length = /\r\ncontent-length: (\d+)/i.exec(text.slice(0, end))?.[1]
  return length === undefined
    ? text.endsWith('0\r\n\r\n') || end + 4 === text.length
    : text.length >= end + 4 + Number(length)
}

/** A header of an answer, or ''. */
export function headerOf (head: string, name: string): string {
  return new RegExp(`\\r\\n${name}: ([^\\r]*)`, 'i').exec(head)?.[1] ?? ''
}

const AGENT = 'User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n'
const ACCEPTS = 'Accept: */*\r\nAccept-Language: en\r\n'

/** A request from this client address, as a trusted proxy would send it. `headers`: before those of a browser. */
export function requestBytes (from: string, line: string, options: { headers?: string, body?: Buffer } = {}): Buffer[] {
  const { headers = '', body } = options
  const length = body === undefined ? '' : `Content-Type: application/json\r\nContent-Length: ${body.length}\r\n`
  const browser = /^user-agent:/im.test(headers) ? ACCEPTS : AGENT + ACCEPTS
  const fixed = `${line} HTTP/1.1\r\nHost: neko\r\nX-Forwarded-For: ${from}\r\n`
  const head = Buffer.from(`${fixed}${headers}${browser}${length}\r\n`, 'latin1')
  return body === undefined ? [head] : [head, body]
}
