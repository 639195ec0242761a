import type { Socket } from 'node:net'
import {
  NEKO_ERR_BODY_INVALID,
  NEKO_ERR_BODY_TOO_LARGE,
  NEKO_ERR_HEADERS_TOO_LARGE,
  NEKO_ERR_REQUEST_TIMEOUT
} from '../../errors.ts'
import { linger } from './lingering-close.ts'

/**
 * A request that Node's HTTP parser refuses reaches no route: it is answered on the socket, in the shape of
 * every other refusal, and the connection is closed, since nobody knows where the next request begins.
 */
export function answerParserError (error: Error & { code?: string }, socket: Socket): void {
  // Bytes after a refused request are dropped while the connection lingers.
  if (socket.destroyed || socket.writableEnded) return
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy()
    return
  }
  const { code, statusCode = 400, message } = refusalFor(error.code ?? '')
  const body = JSON.stringify({ error: { code, message } })
  const head = [
    `HTTP/1.1 ${statusCode} ${REASONS[statusCode] ?? 'Bad Request'}`,
    'content-type: application/json; charset=utf-8',
    `content-length: ${Buffer.byteLength(body)}`,
    'connection: close'
  ]
  socket.write(`${head.join('\r\n')}\r\n\r\n${body}`)
  linger(socket)
}

const REASONS: Record<number, string> = {
  400: 'Bad Request',
  408: 'Request Timeout',
  413: 'Payload Too Large',
  431: 'Request Header Fields Too Large'
}

function refusalFor (code: string): Error & { code: string, statusCode?: number } {
  switch (code) {
    case 'HPE_HEADER_OVERFLOW': return new NEKO_ERR_HEADERS_TOO_LARGE()
    case 'HPE_CHUNK_EXTENSIONS_OVERFLOW': return new NEKO_ERR_BODY_TOO_LARGE()
    case 'ERR_HTTP_REQUEST_TIMEOUT': return new NEKO_ERR_REQUEST_TIMEOUT()
    default: return new NEKO_ERR_BODY_INVALID('it is no HTTP/1.1')
  }
}
