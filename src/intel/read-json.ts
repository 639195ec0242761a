/**
 * A JSON document as a stream of the elements of one array at its top level, within bounds.
 *
 * stream-json says of itself that it is not made for hostile input; imports come from administrators, yet from files
 * that others wrote. So what it is fed and what it gives is bounded here: depth, size of one element, count of
 * elements, and the time between two breaths of the event loop. Never assembles anything but the elements asked for.
 */
import { setImmediate as breathe } from 'node:timers/promises'
import { Assembler } from 'stream-json/assembler.js'
import { jsonParser, type Token } from 'stream-json/core/parser.js'
import { NEKO_ERR_BODY_INVALID } from '../errors.ts'

/** Real bundles nest 5 deep. */
const DEPTH_MAX = 32
/** The largest real object has 15 KiB; a report can hold a document. */
const ELEMENT_BYTES_MAX = 4 * 1024 * 1024
/** The whole ATT&CK has 25,000 objects. */
const ELEMENTS_MAX = 500_000
/** Fed at once: an error is located to this many bytes, and no call takes longer than about 0.1 ms. */
const PIECE_BYTES = 4096
/** After this much the event loop gets its turn (about 3 ms of parsing). */
const BREATH_BYTES = 256 * 1024

interface JsonHandlers {
  /** Keys of the top level whose arrays are wanted. */
  arrays: readonly string[]
  /** A scalar at the top level. */
  onField (key: string, value: string | number | boolean | null): void
  onElement (arrayKey: string, element: unknown, index: number): void
  /** Called about every 256 KiB with the bytes read so far. */
  onProgress? (bytes: number): void
}

/**
 * Reads one JSON object to its end. Resolves to the bytes read.
 * @throws NEKO_ERR_BODY_INVALID with the place: `objects[12], near byte 45056: ...`
 */
export async function readJson (chunks: AsyncIterable<Uint8Array>, handlers: JsonHandlers): Promise<number> {
  const walk = createWalk(handlers)
  const decoder = new TextDecoder('utf-8', { fatal: true })
  const parse = jsonParser({ streamValues: false })
  let bytes = 0
  let sinceBreath = 0
  const feed = (piece: Uint8Array | null): void => {
    try {
      const text = piece === null ? decoder.decode() : decoder.decode(piece, { stream: true })
      const tokens = text === '' ? null : parse(text) as unknown as { values?: Token[] }
      walk.take(tokens?.values ?? [], piece?.length ?? 0)
    } catch (error) {
      throw located(error, walk.place(), bytes)
    }
  }
  for await (const chunk of chunks) {
    for (let from = 0; from < chunk.length; from += PIECE_BYTES) {
      const piece = chunk.subarray(from, from + PIECE_BYTES)
      feed(piece)
      bytes += piece.length
      sinceBreath += piece.length
      if (sinceBreath < BREATH_BYTES) continue
      sinceBreath = 0
      handlers.onProgress?.(bytes)
      await breathe()
    }
  }
  feed(null)
  if (!walk.isComplete()) throw new NEKO_ERR_BODY_INVALID(`it ends too early, ${walk.place()}near byte ${bytes}`)
  return bytes
}

/** Follows the tokens: depth 1 is the document, depth 2 a wanted array, below it the elements. */
function createWalk (
  handlers: JsonHandlers
): { take (tokens: Token[], bytes: number): void, place (): string, isComplete (): boolean } {
  const assembler = new Assembler<unknown>()
  let depth = 0
  let key = ''
  /** Key of the wanted array that we are in, else null. */
  let arrayKey: string | null = null
  let index = 0
  let elements = 0
  let complete = false
  let pendingBytes = 0

  const finish = (element: unknown): void => {
    if (++elements > ELEMENTS_MAX) throw new Refusal(`more than ${ELEMENTS_MAX} elements`)
    handlers.onElement(arrayKey!, element, index++)
    pendingBytes = 0
  }
  const open = (token: Token): void => {
    if (++depth > DEPTH_MAX) throw new Refusal(`nested deeper than ${DEPTH_MAX}`)
    if (depth === 1) {
      if (token.name !== 'startObject') throw new Refusal('the top level must be an object')
    } else if (depth === 2 && token.name === 'startArray' && handlers.arrays.includes(key)) {
      arrayKey = key
      index = 0
    } else if (arrayKey !== null) assembler.consume(token)
  }
  const close = (token: Token): void => {
    depth--
    if (arrayKey !== null && depth >= 2) {
      assembler.consume(token)
      if (depth === 2) finish(assembler.current)
    } else if (depth === 1) arrayKey = null
    else if (depth === 0) complete = true
  }
  const scalar = (token: Token): void => {
    if (depth === 0) throw new Refusal('the top level must be an object')
    if (arrayKey !== null && depth === 2) finish(scalarOf(token))
    else if (arrayKey !== null) assembler.consume(token)
    else if (depth === 1) handlers.onField(key, scalarOf(token))
  }
  const step = (token: Token): void => {
    if (token.name === 'startObject' || token.name === 'startArray') open(token)
    else if (token.name === 'endObject' || token.name === 'endArray') close(token)
    else if (token.name !== 'keyValue') scalar(token)
    else if (depth === 1) key = token.value.slice(0, 100)
    else if (arrayKey !== null) assembler.consume(token)
  }
  return {
    take (tokens, bytes) {
      pendingBytes += bytes
      if (pendingBytes > ELEMENT_BYTES_MAX) throw new Refusal(`one value is larger than ${ELEMENT_BYTES_MAX} bytes`)
      for (const token of tokens) step(token)
      if (tokens.length > 0 && (arrayKey === null || depth === 2)) pendingBytes = 0
    },
    place: () => arrayKey === null ? '' : `${arrayKey}[${index}], `,
    isComplete: () => complete
  }
}

/** A bound or a form that does not hold; becomes NEKO_ERR_BODY_INVALID with the place. */
class Refusal extends Error {}

function scalarOf (token: Token): string | number | boolean | null {
  if (token.name === 'numberValue') return Number(token.value)
  return 'value' in token ? token.value : null
}

function located (error: unknown, place: string, bytes: number): Error {
  if (error instanceof Refusal) return new NEKO_ERR_BODY_INVALID(`${place}near byte ${bytes}: ${error.message}`)
  const isText = error instanceof TypeError &&
    (error as NodeJS.ErrnoException).code === 'ERR_ENCODING_INVALID_ENCODED_DATA'
  if (isText) return new NEKO_ERR_BODY_INVALID(`${place}near byte ${bytes}: it is not UTF-8`)
  // The parser's own errors are plain ones with a message of this beginning; all else is ours and must crash.
  if (error instanceof Error && error.message.startsWith('Parser ')) {
    return new NEKO_ERR_BODY_INVALID(`${place}near byte ${bytes}: it is not JSON`)
  }
  return error as Error
}
