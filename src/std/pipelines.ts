import { AsyncLocalStorage } from 'node:async_hooks'
import type { IncomingMessage, RequestListener, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

/**
 * Requests that a client sends behind one another without waiting for answers (pipelining, RFC 9112 9.3.2), bounded for
 * each connection and for each turn of the event loop.
 *
 * Why: Node parses all that it read of a connection in one turn, and begins each request at once; 2,000 short ones
 * lie in one read of 64 KiB, and 100 such connections kept everybody else waiting for seconds. So only a few of a
 * connection are under way, few of all connections begin behind others in one turn, and the rest waits here in its
 * order. A connection that holds more than that is read no further: it is closed after the answer to the last
 * request that was read, and its client sends the others again, as it must be ready to. Whoever waits for each
 * answer before the next request is never kept waiting here.
 */
export interface Pipelines {
  /**
   * Called with a refused request, before its answer is sent. True when more of its connection waits behind it: none of
   * that is read or begun, and the answer has to say `Connection: close`.
   */
  endsWith (request: IncomingMessage): boolean
  /** The same while the parser is still at work: what it finds behind a refused request is not begun. */
  holdBehind (request: IncomingMessage): void
  /** Nothing more of the connection is read or begun, not even this request's body: its answer has to say so. */
  endAt (request: IncomingMessage): void
}

interface PipelineBounds {
  /** Of one connection under way at the same time. Load tools pipeline 10 to 16. */
  begunMax: number
  /** Of one connection, read and not answered. */
  readMax: number
}

/** Of requests of one connection that wait, as they came: their bodies are held meanwhile. */
const WAITING_BYTES_MAX = 1_048_576
/** Requests of all connections that begin behind others of theirs in one turn: a few milliseconds. */
const BEHIND_PER_TURN = 64

/**
 * open: read on. held: until it is known what the answer to a refused request will say. last: read no further, and what
 * was read is answered. ended: nothing more is begun.
 */
type Reading = 'open' | 'held' | 'last' | 'ended'

interface Line {
  reading: Reading
  begun: Set<ServerResponse>
  /** The last one that was begun. */
  newest: IncomingMessage | null
  /** `bytesBefore`: of the connection, when the request came. */
  waiting: Array<{ request: IncomingMessage, response: ServerResponse, bytesBefore: number }>
  /** When one last began alone: another one of the same read stands behind it, though its answer may have left. */
  bytesRead: number
}

/** Bounds a server whose listener of 'request' stands already; once for each server. */
export function boundPipelines (server: Server, { begunMax, readMax }: PipelineBounds): Pipelines {
  const [handle] = server.listeners('request') as [RequestListener]
  const lines = new WeakMap<Socket, Line>()
  /** Connections with a request that may begin, in the order of their turns. */
  const due = new Set<Line>()
  let begunBehind = 0
  let isTurnComing = false
  // What begins later belongs to no request that happens to run then.
  const takeTurn = AsyncLocalStorage.bind(beginDue)

  server.off('request', handle)
  server.on('request', (request, response) => {
    const { socket } = request
    const line = lines.get(socket) ?? openLine(socket)
    const { bytesRead } = socket
    const isAlone = line.reading === 'open' && line.begun.size === 0 && line.waiting.length === 0
    if (isAlone && line.bytesRead !== bytesRead) {
      line.bytesRead = bytesRead
      begin(line, request, response)
    } else arriveBehind(line, request, response)
  })

  function openLine (socket: Socket): Line {
    const line: Line = { reading: 'open', begun: new Set(), newest: null, waiting: [], bytesRead: 0 }
    lines.set(socket, line)
    socket.once('close', () => process.nextTick(abandon, line))
    return line
  }

  function arriveBehind (line: Line, request: IncomingMessage, response: ServerResponse): void {
    const { socket } = request
    if (line.reading === 'held') end(line, socket)
    if (line.reading !== 'open') return
    if (line.waiting.length === 0) {
      if (line.begun.size < begunMax && begunBehind < BEHIND_PER_TURN) return beginBehind(line, request, response)
    } else if (line.begun.size + line.waiting.length >= readMax || heldBytes(line, socket) > WAITING_BYTES_MAX) {
      line.reading = 'last'
      return stopReading(socket)
    }
    line.waiting.push({ request, response, bytesBefore: socket.bytesRead })
    if (line.begun.size < begunMax) queue(line)
  }

  function beginBehind (line: Line, request: IncomingMessage, response: ServerResponse): void {
    begunBehind++
    comeTurn()
    begin(line, request, response)
  }

  function begin (line: Line, request: IncomingMessage, response: ServerResponse): void {
    line.begun.add(response)
    line.newest = request
    response.on('close', answered)
    handle(request, response)
  }

  function answered (this: ServerResponse): void {
    const line = lines.get(this.req.socket)!
    line.begun.delete(this)
    if (line.begun.size === 0) allAnswered(line, this.req.socket)
    if (line.waiting.length > 0) queue(line)
  }

  function queue (line: Line): void {
    due.add(line)
    comeTurn()
  }

  function comeTurn (): void {
    if (isTurnComing) return
    isTurnComing = true
    setImmediate(takeTurn)
  }

  /** One request of each connection after the other. */
  function beginDue (): void {
    isTurnComing = false
    begunBehind = 0
    for (const line of due) {
      if (begunBehind >= BEHIND_PER_TURN) return comeTurn()
      due.delete(line)
      const next = line.waiting.shift()
      if (next === undefined) continue
      const { request, response } = next
      if (!request.socket.writable) {
        line.waiting.length = 0
        continue
      }
      if (line.reading === 'last' && line.waiting.length === 0) response.shouldKeepAlive = false
      beginBehind(line, request, response)
      if (line.waiting.length > 0 && line.begun.size < begunMax) due.add(line)
    }
  }

  function end (line: Line, socket: Socket): void {
    if (line.reading !== 'last' && line.reading !== 'ended') stopReading(socket)
    line.reading = 'ended'
    line.waiting.length = 0
  }

  return {
    endsWith (request) {
      const line = lines.get(request.socket)
      if (line === undefined) return false
      const isFollowed = line.waiting.length > 0 || line.newest !== request
      if (isFollowed) end(line, request.socket)
      // Its answer will say that the connection goes on, so what comes from here on is begun.
      else if (line.reading === 'held') line.reading = 'open'
      return isFollowed || line.reading === 'ended' || line.reading === 'last'
    },
    holdBehind ({ socket }) {
      const line = lines.get(socket)
      if (line?.reading === 'open') line.reading = 'held'
    },
    endAt ({ socket }) {
      const line = lines.get(socket)
      if (line !== undefined) end(line, socket)
    }
  }
}

function allAnswered (line: Line, socket: Socket): void {
  if (line.reading === 'held') line.reading = 'open'
  // Whatever its answers said of it: nobody reads what comes on it, not even that its client has left.
  else if (line.reading === 'ended' && socket.writable) socket.destroySoon()
}

/** At most: of those that wait. */
function heldBytes ({ waiting }: Line, { bytesRead }: Socket): number {
  return bytesRead - waiting[0]!.bytesBefore
}

/**
 * Node tells only the response whose turn it is that its client has gone; those behind it would be under way for ever.
 */
function abandon (line: Line): void {
  line.waiting.length = 0
  for (const response of line.begun) if (!response.closed) response.emit('close')
}

/** Of a connection's HTTP parser; Node 26 documents none of it. `onBody`: an own property with a number for a name. */
interface Parser { onIncoming: () => number, incoming: unknown, [onBody: string]: unknown }

/** As Node has it for an upgrade: the parser leaves the rest of what it holds. */
const LEAVE_THE_REST = (): number => 2

/**
 * Nothing that comes on the connection from now on reaches a request, and nothing is parsed: not even the rest of a
 * read, in which 3,600 more requests or 10,000 chunks of one byte may lie. Were the parser another one than it is,
 * that rest would cost its parsing, and would still begin nothing.
 */
function stopReading (socket: Socket): void {
  const { parser } = socket as Socket & { parser?: Parser | null }
  if (parser !== undefined && parser !== null) {
    parser.onIncoming = LEAVE_THE_REST
    parser.incoming = null
    passOverBody(socket, parser)
  }
  // Not in the midst of the parser's work.
  process.nextTick(leaveUnread, socket)
}

/** Without its callback a chunk costs a twentieth. Parsers are used again: Node gets this one back whole. */
function passOverBody (socket: Socket, parser: Parser): void {
  const name = Object.keys(parser).find((key) => (parser[key] as { name?: string } | null)?.name === 'parserOnBody')
  if (name === undefined) return
  const onBody = parser[name]
  parser[name] = null
  socket.prependOnceListener('close', () => { parser[name] = onBody })
}

function leaveUnread (socket: Socket): void {
  // A listener takes the connection from its parser.
  socket.on('data', ignore).removeAllListeners('data')
  // Node would find the body unfinished, and answer that.
  socket.removeAllListeners('end')
  socket.pause()
}

function ignore (): void {}
