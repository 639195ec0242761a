import { HISTORY_LENGTH, decodeHistory, encodeHistory } from './history-shapes.ts'
import type { Observation } from './shapes.ts'

/**
 * How an Observation lies in a slot of memory, instead of as an object of some 120 parts: all text of a request is
 * written by one call and cut by its lengths when it is read; history is numbers; the body is copied as it came.
 */
export interface SlotMemory {
  /** The same memory as words, numbers, lengths and bytes. */
  readonly words: Int32Array
  readonly floats: Float64Array
  readonly shorts: Uint16Array
  readonly bytes: Buffer<ArrayBufferLike>
  /** Of each slot, a multiple of 8. */
  readonly slotBytes: number
}

// A request: 16 words, the numbers (time, history), the lengths of the header texts, all text, the body.
const TEXT_BYTES = 0
const BODY_BYTES = 1
const HEADERS = 2
const METHOD_LENGTH = 3
const URL_LENGTH = 4
const ROUTE_LENGTH = 5
const CLIENT_LENGTH = 6
const ID_LENGTH = 7
const HAS_HISTORY = 8
const NUMBERS_AT = 64
const LENGTHS_AT = NUMBERS_AT + 8 * (1 + HISTORY_LENGTH)

/**
 * Writes a request into the slot that begins at this byte, a multiple of 8; false when it does not fit, and then the
 * slot's content means nothing.
 */
export function encodeObservation (memory: SlotMemory, at: number, observation: Observation): boolean {
  const { words, floats, shorts, bytes, slotBytes } = memory
  const { headers, body, history, method, url, client, id } = observation
  const route = observation.route
  const count = headers.length
  const textAt = LENGTHS_AT + 2 * count
  const bodyBytes = body === null ? 0 : body.length
  const room = slotBytes - textAt - bodyBytes
  if (room < 0) return false

  let text = method + url + client + id
  if (route !== null) text += route
  const lengthsAt = (at + LENGTHS_AT) >> 1
  for (let i = 0; i < count; i++) {
    const header = headers[i] as string
    if (header.length > 0xffff) return false
    shorts[lengthsAt + i] = header.length
    // Not join: that copies once more.
    text += header
  }
  // UTF-8 takes up to three bytes for each unit; half a surrogate pair would not come back as it was.
  if (text.length * 3 > room && (text.length > room || Buffer.byteLength(text) > room)) return false
  if (!text.isWellFormed()) return false
  const textBytes = bytes.write(text, at + textAt, room, 'utf8')
  if (body !== null) bytes.set(body, at + textAt + textBytes)

  const word = at >> 2
  words[word + TEXT_BYTES] = textBytes
  words[word + BODY_BYTES] = body === null ? -1 : bodyBytes
  words[word + HEADERS] = count
  words[word + METHOD_LENGTH] = method.length
  words[word + URL_LENGTH] = url.length
  words[word + ROUTE_LENGTH] = route === null ? -1 : route.length
  words[word + CLIENT_LENGTH] = client.length
  words[word + ID_LENGTH] = id.length
  words[word + HAS_HISTORY] = history === null ? 0 : 1
  const number = (at + NUMBERS_AT) >> 3
  floats[number] = observation.at
  if (history !== null) encodeHistory(history, floats, number + 1)
  return true
}

/** The request of a slot, with a body of its own: the slot may be written over. */
export function decodeObservation ({ words, floats, shorts, bytes }: SlotMemory, at: number): Observation {
  const word = at >> 2
  const count = words[word + HEADERS] as number
  const textAt = at + LENGTHS_AT + 2 * count
  const bodyAt = textAt + (words[word + TEXT_BYTES] as number)
  const bodyBytes = words[word + BODY_BYTES] as number
  const text = bytes.toString('utf8', textAt, bodyAt)
  let from = 0
  const cut = (length: number): string => {
    from += length
    return text.slice(from - length, from)
  }
  const method = cut(words[word + METHOD_LENGTH] as number)
  const url = cut(words[word + URL_LENGTH] as number)
  const client = cut(words[word + CLIENT_LENGTH] as number)
  const id = cut(words[word + ID_LENGTH] as number)
  const routeLength = words[word + ROUTE_LENGTH] as number
  const route = routeLength < 0 ? null : cut(routeLength)
  const headers: string[] = []
  const lengthsAt = (at + LENGTHS_AT) >> 1
  for (let i = 0; i < count; i++) headers.push(cut(shorts[lengthsAt + i] as number))
  const number = (at + NUMBERS_AT) >> 3
  return {
    id,
    at: floats[number] as number,
    client,
    method,
    url,
    headers,
    body: bodyBytes < 0 ? null : new Uint8Array(bytes.subarray(bodyAt, bodyAt + bodyBytes)),
    route,
    history: words[word + HAS_HISTORY] === 0 ? null : decodeHistory(floats, number + 1)
  }
}
