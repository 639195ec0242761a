import { IncomingMessage, ServerResponse, STATUS_CODES } from 'node:http'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { isReadable } from './malformed.ts'

/**
 * Answers whose head is put together as one text and whose body is ready: they cost neither Node's store of headers,
 * which checks, copies and joins some 25 lines for each answer, nor Fastify's reply.
 *
 * Owns: writing such an answer past `writeHead`. Never does: anything for an answer that is not plain (to HEAD, over a
 * connection that ends, over HTTP/1.0): those go the ordinary way. Each line of a head is ours, or was checked where it
 * came in (x-request-id, Origin, texts of a limit).
 *
 * Node documents none of `_header`. Where it is not as it was, `mayPrepare` says so of every answer, and all go the
 * ordinary way.
 */
interface PreparedAnswer {
  status: number
  /** Header lines, each with its end: all that say what the body is, but for its length. */
  lines: string
  /** A text is ASCII. */
  body: string | Buffer
}

declare module 'fastify' {
  interface FastifyInstance {
    /** Whether this answer may be one with a prepared head. */
    mayPrepare (request: FastifyRequest, reply: FastifyReply): boolean
    /** With what every answer carries. The request is settled with it. */
    sendPrepared (request: FastifyRequest, reply: FastifyReply, answer: PreparedAnswer): void
  }
}

type Written = ServerResponse & { _header: string | null, _contentLength: number | null }

interface PreparedParts {
  /** What every answer carries, as header lines. */
  ownLines (request: FastifyRequest): string
  /** The answer has left. */
  settle (request: FastifyRequest, reply: FastifyReply): void
}

export function preparedAnswers (
  app: FastifyInstance,
  { ownLines, settle }: PreparedParts
): Pick<FastifyInstance, 'mayPrepare' | 'sendPrepared'> {
  const isAsKnown = knowsHeader()
  const date = createDateText(() => app.clock.now())
  let tail: string | null = null

  function tailOf (): string {
    const { keepAliveTimeout } = app.server
    return `Connection: keep-alive\r\nKeep-Alive: timeout=${Math.floor(keepAliveTimeout / 1000)}\r\n\r\n`
  }

  return {
    mayPrepare: ({ raw }, reply) => isAsKnown && raw.method !== 'HEAD' && raw.httpVersion === '1.1' &&
      reply.raw.shouldKeepAlive && !reply.raw.headersSent && isReadable(raw),
    sendPrepared (request, reply, { status, lines, body }) {
      const raw = reply.raw as Written
      reply.hijack()
      const length = `content-length: ${body.length}\r\nDate: ${date()}\r\n`
      raw.statusCode = status
      raw._header = `${statusLine(status)}${lines}${ownLines(request)}${length}${tail ??= tailOf()}`
      raw._contentLength = body.length
      if (typeof body === 'string') raw.end(body, 'latin1')
      else raw.end(body)
      settle(request, reply)
    }
  }
}

const statusLines = new Map<number, string>()

function statusLine (status: number): string {
  let line = statusLines.get(status)
  if (line === undefined) statusLines.set(status, line = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'Unknown'}\r\n`)
  return line
}

/** A text in `_header` is a head that stands. */
function knowsHeader (): boolean {
  const probe = new ServerResponse(new IncomingMessage(null as never)) as Written
  if (probe._header !== null || probe.headersSent) return false
  probe._header = 'HTTP/1.1 200 OK\r\n\r\n'
  return probe.headersSent
}

/** As RFC 9110 wants it; made once a second. */
function createDateText (now: () => number): () => string {
  let second = NaN
  let text = ''
  return () => {
    const current = Math.floor(now() / 1000)
    if (current !== second) {
      second = current
      text = new Date(current * 1000).toUTCString()
    }
    return text
  }
}
