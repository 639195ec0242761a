import type { IncomingMessage } from 'node:http'

/**
 * The raw body, read by the gate before Fastify parses it, and given to Fastify's parser afterwards.
 *
 * Bounded in bytes and in time: Node closes a slow body only after 30 to 60 s, whatever requestTimeout says.
 */
interface BodyRead {
  bytes: Buffer
  /**
   * over: more came than `limitBytes` (the first `limitBytes` are in `bytes`). slow: time ran out. gone: the
   * client left.
   */
  end: 'whole' | 'over' | 'slow' | 'gone'
  isInMidst: boolean
}

/** True when the message says that it has a body. */
export function announcesBody (raw: IncomingMessage): boolean {
  const length = raw.headers['content-length']
  return (length !== undefined && length !== '0') || raw.headers['transfer-encoding'] !== undefined
}

/**
 * A body in more pieces than these, and one more for each 64 bytes of it, is a bomb of tiny chunks: each costs 3 us and
 * some 200 bytes of heap, whatever it holds, and 10,000 of one byte lie in one read, which nothing interrupts. A client
 * that writes its JSON token by token sends a thousand in peace, and chunks of 64 bytes and more are as many as fit.
 */
const SMALL_PIECES_MAX = 1024
const PIECE_BYTES = 64

interface BodyBounds {
  limitBytes: number
  timeoutMs: number
  /** Memory of ours for a body of the length that was announced. */
  room: Buffer | null
  /** Called at once when more comes than is read: in the midst of a read, of which the rest need not be parsed. */
  onUnread: () => void
}

/**
 * Reads at most `limitBytes` within `timeoutMs`, and then calls `done`. Too many pieces count as too many bytes. A
 * whole body is told in the midst of the parser's work (`isInMidst`): nobody knows yet what stands behind it in the
 * same read.
 */
export function readBody (raw: IncomingMessage, bounds: BodyBounds, done: (read: BodyRead) => void): void {
  const reading = new Reading(raw, bounds, done)
  underWay.add(reading)
  sweeper ??= setInterval(sweep, SWEEP_MS).unref()
  // What came before somebody asked lies in the stream already (a request that waited for its turn on its connection).
  const { parser } = (raw.socket ?? {}) as { parser?: object | null }
  const isFresh = parser != null && !raw.complete && raw.readableLength === 0
  if (isFresh) takeFromParser(raw, reading)
  else takeFromStream(raw, reading)
}

/** One look at all bodies that are under way, instead of a timer and four listeners for each. */
const SWEEP_MS = 100
const underWay = new Set<Reading>()
let sweeper: NodeJS.Timeout | null = null

function sweep (): void {
  const nowMs = performance.now()
  for (const reading of underWay) {
    if (reading.raw.destroyed) reading.finish('gone')
    else if (nowMs >= reading.dueMs) reading.finish('slow')
  }
  if (underWay.size > 0) return
  clearInterval(sweeper!)
  sweeper = null
}

class Reading {
  readonly raw: IncomingMessage
  readonly dueMs: number
  readonly #bounds: BodyBounds
  readonly #done: (read: BodyRead) => void
  readonly #chunks: Buffer[] = []
  #pieces = 0
  #received = 0
  isOver = false
  /** Lets go of what the chunks come from. */
  leave: () => void = () => {}

  constructor (raw: IncomingMessage, bounds: BodyBounds, done: (read: BodyRead) => void) {
    this.raw = raw
    this.#bounds = bounds
    this.#done = done
    this.dueMs = performance.now() + bounds.timeoutMs
  }

  take (chunk: Buffer): void {
    const { room, limitBytes } = this.#bounds
    if (room !== null) chunk.copy(room, this.#received)
    this.#received += chunk.length
    const received = this.#received
    if (room === null) {
      this.#chunks.push(received > limitBytes ? chunk.subarray(0, chunk.length - (received - limitBytes)) : chunk)
    }
    if (received > limitBytes || ++this.#pieces > SMALL_PIECES_MAX + received / PIECE_BYTES) this.finish('over')
  }

  finish (end: BodyRead['end']): void {
    if (this.isOver) return
    this.isOver = true
    underWay.delete(this)
    this.leave()
    if (end === 'over' || end === 'slow') this.#bounds.onUnread()
    const isInMidst = end === 'whole'
    const read = { bytes: this.#bytes(), end, isInMidst }
    if (isInMidst) this.#done(read)
    else process.nextTick(this.#done, read)
  }

  #bytes (): Buffer {
    const { room, limitBytes } = this.#bounds
    if (room !== null) return room.subarray(0, Math.min(this.#received, limitBytes))
    return this.#chunks.length === 1 ? this.#chunks[0] as Buffer : Buffer.concat(this.#chunks)
  }
}

/**
 * Past the stream, which costs as much as all else here: Node's parser gives each chunk to `push`. The stream still
 * hears of the end, and of whatever is not read.
 */
function takeFromParser (raw: IncomingMessage, reading: Reading): void {
  const push = raw.push
  reading.leave = () => { raw.push = push }
  raw.push = (chunk: Buffer | null) => {
    if (chunk !== null) {
      reading.take(chunk)
      return true
    }
    const isTaken = push.call(raw, null)
    reading.finish('whole')
    return isTaken
  }
}

function takeFromStream (raw: IncomingMessage, reading: Reading): void {
  const onData = (chunk: Buffer): void => reading.take(chunk)
  const onEnd = (): void => reading.finish('whole')
  const onGone = (): void => reading.finish('gone')
  reading.leave = () => { raw.off('data', onData).off('end', onEnd).off('close', onGone).off('error', onGone) }
  raw.on('data', onData).on('end', onEnd).on('close', onGone).on('error', onGone)
}

/** Larger ones are not worth their connection. */
const SKIMMED_BYTES_MAX = 16_384

/**
 * Drops the body of a request that is refused, as far as it came with its head: then its connection need not end with
 * the answer. False for one that is not that small and plain; else `done` is called once, with whether all of it came,
 * and when it came, what stands behind it in the same read is known by then.
 */
export function skimBody (raw: IncomingMessage, done: (isWhole: boolean) => void): boolean {
  const length = Number(raw.headers['content-length'])
  const { parser } = (raw.socket ?? {}) as { parser?: object | null }
  if (!(length <= SKIMMED_BYTES_MAX) || raw.headers['transfer-encoding'] !== undefined) return false
  if (parser == null || raw.complete || raw.readableLength > 0) return false
  const push = raw.push
  let left = length
  raw.push = (chunk: Buffer | null) => {
    if (chunk === null) {
      process.nextTick(done, true)
      return push.call(raw, null)
    }
    left -= chunk.length
    return true
  }
  process.nextTick(() => {
    if (left === 0) return
    raw.push = push
    done(false)
  })
  return true
}

/**
 * As much of a stream as Fastify's parser needs: with Readable.from the same costs five times as much
 * (13 us against 2.3 us a request). Emits when resumed, at once.
 */
export class ReplayedBody {
  readonly receivedEncodedLength: number
  #bytes: Buffer
  #onData: ((chunk: Buffer) => void) | null = null
  #onEnd: (() => void) | null = null

  constructor (bytes: Buffer) {
    this.#bytes = bytes
    this.receivedEncodedLength = bytes.length
  }

  on (event: string, listener: (...args: never[]) => void): this {
    if (event === 'data') this.#onData = listener as (chunk: Buffer) => void
    if (event === 'end') this.#onEnd = listener as () => void
    return this
  }

  removeListener (event: string): this {
    if (event === 'data') this.#onData = null
    if (event === 'end') this.#onEnd = null
    return this
  }

  setEncoding (): this {
    return this
  }

  resume (): this {
    if (this.#bytes.length > 0) this.#onData?.(this.#bytes)
    this.#onEnd?.()
    return this
  }
}
