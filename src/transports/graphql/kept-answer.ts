import { hash } from 'node:crypto'
import { promisify } from 'node:util'
import { brotliCompress, constants, gzip, zstdCompress } from 'node:zlib'
import type { Codec } from '../../cache/redis-layer.ts'

/**
 * A whole answer as it is kept: the bytes of its body, ready to be sent, and beside them what they are packed.
 *
 * Never holds what belongs to one request: receipts and limits are headers, and the cost of an operation is added to a
 * copy.
 */
export interface KeptAnswer {
  /** JSON. A text where it is ASCII alone: Node writes it in one piece with its head. */
  readonly body: string | Buffer
  readonly bytes: number
  /** Of the body. */
  readonly digest: string
  readonly contentType: string
  readonly freshForMs: number
  readonly isShared: boolean
  /** By coding, once somebody asked for it. */
  readonly packed: Map<Coding, Buffer | Promise<Buffer | null>>
  /** The header lines that do not change, by method and coding, once somebody asked for them. */
  readonly lines: Map<string, string>
}

export type Coding = 'br' | 'zstd' | 'gzip'

type About = Pick<KeptAnswer, 'contentType' | 'freshForMs' | 'isShared'>

export function keptAnswer (json: string, about: About): KeptAnswer {
  const isAscii = /^[\0-\x7f]*$/.test(json)
  const body = isAscii ? json : Buffer.from(json)
  const digest = hash('sha256', json, 'base64url').slice(0, DIGEST_CHARACTERS)
  const { contentType, freshForMs, isShared } = about
  return { body, bytes: body.length, digest, contentType, freshForMs, isShared, packed: new Map(), lines: new Map() }
}

/** 132 bits. */
const DIGEST_CHARACTERS = 22

/** How Redis holds them: the body as bytes, the rest as JSON. */
export const keptAnswerCodec: Codec<KeptAnswer> = {
  encode: ({ body, contentType, freshForMs, isShared }) =>
    ({ about: { contentType, freshForMs, isShared }, body: typeof body === 'string' ? Buffer.from(body) : body }),
  decode (about, body) {
    const { contentType, freshForMs, isShared } = (about ?? {}) as { [key in keyof About]?: unknown }
    if (typeof contentType !== 'string' || !PLAIN_VALUE.test(contentType)) return null
    if (typeof freshForMs !== 'number' || typeof isShared !== 'boolean') return null
    const value = keptAnswer(Buffer.from(body).toString('utf8'), { contentType, freshForMs, isShared })
    return { value, bytes: value.bytes }
  }
}

/** What stood in Redis becomes a header. */
const PLAIN_VALUE = /^[\x20-\x7e]{1,100}$/

/** Smaller bodies gain nothing: as the bound of the other answers (transports/http/compression.ts). */
const PACKED_BYTES_MIN = 1024
const CODINGS: readonly Coding[] = ['br', 'zstd', 'gzip']
const PACK: Readonly<Record<Coding, (body: Buffer) => Promise<Buffer>>> = {
  br: (body) => promisify(brotliCompress)(body, { params: { [constants.BROTLI_PARAM_QUALITY]: 6 } }),
  zstd: (body) => promisify(zstdCompress)(body),
  gzip: (body) => promisify(gzip)(body, { level: 6 })
}

/** The coding that a caller gets this answer in; null: as it is. */
export function codingFor (
  { bytes }: Pick<KeptAnswer, 'bytes'>,
  { 'accept-encoding': accepted, 'x-no-compression': optOut }: Readonly<Record<string, unknown>>
): Coding | null {
  if (bytes < PACKED_BYTES_MIN || typeof accepted !== 'string' || optOut !== undefined) return null
  return preferredCoding(accepted)
}

/** Longer headers are read so far. */
const ACCEPT_CHARACTERS_MAX = 500

/** The one with the greatest weight, of equals ours in our order (RFC 9110 12.5.3). */
function preferredCoding (acceptEncoding: string): Coding | null {
  const weights = new Map<string, number>()
  for (const part of acceptEncoding.slice(0, ACCEPT_CHARACTERS_MAX).toLowerCase().split(',')) {
    const [name = '', ...parameters] = part.split(';').map((one) => one.trim())
    const weight = parameters.find((one) => one.startsWith('q='))
    weights.set(name, weight === undefined ? 1 : Number(weight.slice(2)))
  }
  const weightOf = (coding: string): number => weights.get(coding) ?? weights.get('*') ?? 0
  let best: Coding | null = null
  for (const coding of CODINGS) {
    if (weightOf(coding) > 0 && (best === null || weightOf(coding) > weightOf(best))) best = coding
  }
  return best !== null && weightOf(best) >= (weights.get('identity') ?? 0) ? best : null
}

/**
 * The packed body, made once for each coding.
 * @param keep whether what was made may stay beside the answer, which then takes that much more memory
 */
export async function packedBody (
  answer: KeptAnswer,
  coding: Coding,
  keep: (bytes: number) => boolean
): Promise<Buffer | null> {
  const known = answer.packed.get(coding)
  if (known !== undefined) return await known
  const body = typeof answer.body === 'string' ? Buffer.from(answer.body) : answer.body
  const making = PACK[coding](body).catch(() => null)
  answer.packed.set(coding, making)
  const packed = await making
  if (packed === null || !keep(packed.length)) answer.packed.delete(coding)
  else answer.packed.set(coding, packed)
  return packed
}

/** What can be sent at once in that coding; null where it has to be packed first. */
export function bodyAtHand ({ body, packed }: KeptAnswer, coding: Coding | null): string | Buffer | null {
  if (coding === null) return body
  const known = packed.get(coding)
  return Buffer.isBuffer(known) ? known : null
}
