/**
 * How fast does a server answer when each request comes from another client? The load of `bench/price.ts`, as a process
 * of its own: raw sockets and prebuilt requests, so that the server's core is full before this one is.
 *
 * Each connection has one request under way (no pipelining) and a buffer of its own, in which two fields of fixed
 * width are written anew for each request: the client's address in X-Forwarded-For, and a counter where the request
 * holds COUNTER. A connection that the server closes is opened again, at the server's expense. Without `rate` a
 * connection asks again as soon as it has its answer (closed loop). With it, requests fall due like those of strangers,
 * at random moments of that mean rate, wait for a free connection when there is none, and their latency counts from
 * the moment they fell due: a server that stops for a second is not asked less.
 *
 * In: `RawLoad` as a message of its parent. Out: `RawResult` as one. It lives as long as its parent, because one that
 * is still being compiled delays a hundredth of the answers by milliseconds of its own.
 */
import { connect, type Socket } from 'node:net'
import { createHistogram } from 'node:perf_hooks'

export interface RawLoad {
  port: number
  method: string
  path: string
  headers: Record<string, string>
  body: string | null
  /** All requests from this address; from one each when null. */
  address: string | null
  /** Clients that came before: those of this run are others, until all CLIENTS had their turn. */
  firstClient: number
  connections: number
  /** Requests a second; null: as fast as they are answered. */
  rate: number | null
  seconds: number
  /** Requests at most; null: as many as there is time for. */
  requestsMax: number | null
}

export interface RawResult {
  /** Answered, from the first to the last. */
  requests: number
  seconds: number
  statuses: Record<string, number>
  /** Connections that the server closed, each opened again; and requests that were under way on one. */
  reconnects: number
  lost: number
  /** Milliseconds. */
  p50: number
  p99: number
  max: number
  /** Share of its processor that the load itself took: above 0.9 it was the load that was measured. */
  busy: number
}

interface Connection {
  socket: Socket
  buffer: Buffer
  /** When what is under way was sent or fell due; 0 when nothing is. */
  sentMs: number
  status: number
  /** Bytes of an answer's body that did not come with its head. */
  missing: number
  /** The first part of a head that came in several. */
  head: Buffer | null
  /** Waits for a request to fall due, or has ended. */
  isFree: boolean
  /** The server said that this answer is its last here. */
  isClosing: boolean
}

/** When requests fall due: the next one's moment, once, if it has come. */
interface Arrivals { take (nowMs: number): number | null }

/** In a body: written anew for each request. */
export const COUNTER = '00000000'
/** 100.64.0.0/10, addresses that belong to nobody. */
const CLIENTS = 2 ** 22
/** Odd, so that a walk by it visits each of them once: neighbours in time are no neighbours in the network. */
const STRIDE = 2_654_435_769 % CLIENTS | 1
const ADDRESS_CHARS = '100.127.255.255'.length
const READ_BYTES = 65_536
const SECONDS_MAX = 600
/** Compiling, here and there, belongs to no percentile. */
const WARM_MS = 200
const OPEN_MS_MAX = 10_000
/** What is still under way at the end is waited for no longer. */
const DRAIN_MS = 2_000

if (import.meta.main) {
  process.on('message', async (load: RawLoad) => { process.send?.(await run(load)) })
  process.once('disconnect', () => { process.exit() })
}

function run (load: RawLoad): Promise<RawResult> {
  const template = requestOf(load)
  const addressAt = template.indexOf(' '.repeat(ADDRESS_CHARS))
  const counterAt = template.indexOf(COUNTER)
  const latencies = createHistogram()
  const statuses: Record<string, number> = {}
  const free: Connection[] = []
  const { promise, resolve, reject } = Promise.withResolvers<RawResult>()
  let startedMs = NaN
  let endMs = Infinity
  let cpu = process.cpuUsage()
  let due: Arrivals | null = null
  let opened = 0
  let lengthHeader = ''
  let requests = 0
  let sent = 0
  let reconnects = 0
  let lost = 0
  let isEnded = false

  /** The clock starts when all connections are open: a machine that was busy until then has not cut the run short. */
  function begin (): void {
    startedMs = performance.now()
    endMs = startedMs + Math.min(load.seconds, SECONDS_MAX) * 1000
    cpu = process.cpuUsage()
    due = load.rate === null ? null : createArrivals(load.rate, startedMs)
    clearTimeout(opening)
    for (const connection of connections) next(connection, startedMs)
    setImmediate(pace)
    setTimeout(end, endMs - startedMs + DRAIN_MS).unref()
  }

  function send (connection: Connection, sentMs: number): void {
    const { buffer, socket } = connection
    if (load.address === null) buffer.write(addressOf(load.firstClient + sent), addressAt, 'latin1')
    if (counterAt >= 0) writeCounter(buffer, counterAt, load.firstClient + sent)
    sent++
    connection.sentMs = sentMs
    connection.isFree = false
    socket.write(buffer)
  }

  function answered (connection: Connection): void {
    const nowMs = performance.now()
    requests++
    if (nowMs - startedMs > WARM_MS) latencies.record(Math.max(1, Math.round((nowMs - connection.sentMs) * 1e6)))
    connection.sentMs = 0
    statuses[connection.status] = (statuses[connection.status] ?? 0) + 1
    if (connection.isClosing) connection.socket.destroy()
    else next(connection, nowMs)
  }

  function next (connection: Connection, nowMs: number): void {
    if (isOver(nowMs)) return isLast(connection) ? end() : undefined
    if (due === null) return send(connection, nowMs)
    const dueMs = due.take(nowMs)
    if (dueMs !== null) return send(connection, dueMs)
    connection.isFree = true
    free.push(connection)
  }

  function isOver (nowMs: number): boolean {
    return nowMs >= endMs || sent >= (load.requestsMax ?? Infinity)
  }

  /** Marks it as done: the last one ends the run. */
  function isLast (connection: Connection): boolean {
    connection.isFree = true
    return connections.every(({ isFree }) => isFree)
  }

  function read (connection: Connection, chunk: Buffer): void {
    if (connection.missing > 0) {
      connection.missing -= chunk.length
      if (connection.missing <= 0) answered(connection)
      return
    }
    const bytes = connection.head === null ? chunk : Buffer.concat([connection.head, chunk])
    const headEnd = bytes.indexOf('\r\n\r\n')
    if (headEnd < 0) {
      connection.head = Buffer.from(bytes)
      return
    }
    connection.head = null
    const head = bytes.toString('latin1', 0, headEnd + 2)
    connection.status = Number(head.slice(9, 12))
    connection.isClosing = head.includes('onnection: close\r')
    connection.missing = headEnd + 4 + lengthOf(head) - bytes.length
    if (connection.missing <= 0) answered(connection)
  }

  /** Servers spell it in two ways, each always in the same. */
  function lengthOf (head: string): number {
    lengthHeader ||= /\r\ncontent-length: /i.exec(head)?.[0] ?? ''
    const at = lengthHeader === '' ? -1 : head.indexOf(lengthHeader)
    if (at < 0) throw new Error(`an answer without Content-Length cannot be read here:\n${head}`)
    return parseInt(head.slice(at + lengthHeader.length, head.indexOf('\r', at + lengthHeader.length)), 10)
  }

  function open (connection: Connection): void {
    Object.assign(connection, { sentMs: 0, missing: 0, head: null, isClosing: false })
    const bytes = Buffer.allocUnsafe(READ_BYTES)
    connection.socket = connect({
      port: load.port,
      host: '127.0.0.1',
      noDelay: true,
      onread: {
        buffer: bytes,
        callback (length) {
          try {
            read(connection, bytes.subarray(0, length))
          } catch (error) {
            reject(error as Error)
          }
          return true
        }
      }
    })
    connection.socket.on('connect', () => {
      opened++
      if (opened > load.connections) next(connection, performance.now())
      else if (opened === load.connections) begin()
    })
    connection.socket.on('error', (error: Error & { code?: string }) => {
      // Nobody listens any more; whatever else ends a connection is counted.
      if (error.code === 'ECONNREFUSED') reject(error)
    })
    connection.socket.on('close', () => {
      if (isEnded) return
      if (connection.sentMs > 0) lost++
      reconnects++
      if (isOver(performance.now())) return isLast(connection) ? end() : undefined
      const at = free.indexOf(connection)
      if (at >= 0) free.splice(at, 1)
      open(connection)
    })
  }

  /** Looks at the clock in every turn of the loop: a timer's millisecond is longer than most answers take. */
  function pace (): void {
    if (isEnded || due === null) return
    const nowMs = performance.now()
    if (isOver(nowMs)) return connections.every(({ isFree }) => isFree) ? end() : undefined
    for (let connection = free.pop(); connection !== undefined; connection = free.pop()) {
      const dueMs = isOver(nowMs) ? null : due.take(nowMs)
      if (dueMs === null) {
        free.push(connection)
        break
      }
      send(connection, dueMs)
    }
    setImmediate(pace)
  }

  function end (): void {
    if (isEnded) return
    isEnded = true
    const seconds = (performance.now() - startedMs) / 1000
    const { user, system } = process.cpuUsage(cpu)
    for (const { socket } of connections) socket.destroy()
    const ms = (percentile: number): number => latencies.count === 0 ? NaN : latencies.percentile(percentile) / 1e6
    resolve({
      requests,
      seconds,
      statuses,
      reconnects,
      lost,
      p50: ms(50),
      p99: ms(99),
      max: latencies.max / 1e6,
      busy: (user + system) / 1e6 / seconds
    })
  }

  const connections = Array.from({ length: load.connections }, (): Connection => (
    {
      socket: null as unknown as Socket,
      buffer: Buffer.from(template),
      sentMs: 0,
      status: 0,
      missing: 0,
      head: null,
      isFree: false,
      isClosing: false
    }
  ))
  const opening = setTimeout(() => { reject(new Error('the connections could not be opened')) }, OPEN_MS_MAX)
  for (const connection of connections) open(connection)
  return promise
}

function requestOf ({ method, path, headers, body, address }: RawLoad): Buffer {
  const lines = [
    `${method} ${path} HTTP/1.1`,
    'Host: 127.0.0.1',
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
    `X-Forwarded-For: ${address ?? ' '.repeat(ADDRESS_CHARS)}`,
    ...(body === null ? [] : [`Content-Length: ${Buffer.byteLength(body)}`])
  ]
  return Buffer.from(`${lines.join('\r\n')}\r\n\r\n${body ?? ''}`)
}

/** Blanks before a header's value are none of it (RFC 9110 5.5), so that all addresses are equally wide. */
function addressOf (client: number): string {
  const number = client % CLIENTS * STRIDE % CLIENTS
  return `100.${64 + (number >> 16)}.${number >> 8 & 255}.${number & 255}`.padStart(ADDRESS_CHARS)
}

function writeCounter (buffer: Buffer, at: number, value: number): void {
  for (let i = at + COUNTER.length - 1, rest = value; i >= at; i--, rest = Math.floor(rest / 10)) {
    buffer[i] = 48 + rest % 10
  }
}

/** Moments with exponential gaps, as calls of many who know nothing of each other have. The same ones in every run. */
function createArrivals (rate: number, startedMs: number): Arrivals {
  const meanMs = 1000 / rate
  let state = 0x9e3779b9
  const gapMs = (): number => {
    // Xorshift: good enough for gaps, and the same in every run.
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return -Math.log(((state >>> 0) + 1) / 4_294_967_297) * meanMs
  }
  let dueMs = startedMs + gapMs()
  return {
    take (nowMs) {
      if (dueMs > nowMs) return null
      const taken = dueMs
      dueMs += gapMs()
      return taken
    }
  }
}
