/**
 * The bytes of an import: from a file, an https address, or a request's body; packed by gzip or not.
 *
 * Owns the bounds on bytes and time, and whom we may call. An address typed by an administrator must not become a way
 * into the network behind us (SSRF, OWASP API7): https only, no credentials in it, no private, local or reserved
 * address (std/outbound.ts, at the moment of connecting), and the same again at each redirect.
 */
import { createReadStream } from 'node:fs'
import { basename } from 'node:path'
import { Readable, pipeline } from 'node:stream'
import { createGunzip } from 'node:zlib'
import {
  NEKO_ERR_BODY_INVALID,
  NEKO_ERR_BODY_TOO_LARGE,
  NEKO_ERR_INPUT_INVALID,
  NEKO_ERR_TIMEOUT,
  isNekoError
} from '../errors.ts'
import { isPrivateHost, publicLookup } from '../std/outbound.ts'

export interface SourceBounds {
  /** Bytes as they arrive. */
  packedBytesMax: number
  /** Bytes after gunzip: a gzip bomb ends here. */
  plainBytesMax: number
}

export const SOURCE_BOUNDS: SourceBounds = { packedBytesMax: 64 * 1024 * 1024, plainBytesMax: 512 * 1024 * 1024 }

interface FetchOptions {
  /** All of it: connecting, redirects, body. The time that an import may take to arrive, by whatever door. */
  timeoutMs: number
  redirectsMax: number
  /** Plain http and private addresses: for tests against a server of their own. */
  allowPrivate: boolean
}

export const FETCH_OPTIONS: FetchOptions = { timeoutMs: 120_000, redirectsMax: 3, allowPrivate: false }

/** True for what openUrl takes; anything else on a command line is a file. */
export function isUrl (source: string): boolean {
  return /^[a-z][a-z0-9+.-]*:\/\//i.test(source)
}

/** The bytes of a file or an https address, whichever the text names. */
export function openSource (source: string, options: FetchOptions = FETCH_OPTIONS): AsyncGenerator<Uint8Array> {
  return isUrl(source) ? openUrl(source, options) : openFile(source)
}

/**
 * A source as the audit may keep it: a file's name, or an address without its query and its user. A part of the path
 * that is no word may be a token, as feeds have it, and is left out, too.
 */
export function sourceLabel (source: string): string {
  if (!isUrl(source)) return basename(source).slice(0, 200)
  if (!URL.canParse(source)) return 'an address'
  const { origin, pathname } = new URL(source)
  const path = pathname.split('/', SEGMENTS_MAX).map((segment) => isPlain(segment) ? segment : '…').join('/')
  return (origin + path).slice(0, 200)
}

const SEGMENTS_MAX = 32

/** `enterprise-attack-15.1.json`, `v2`, `2026-11-30`. */
function isPlain (segment: string): boolean {
  return segment === '' || segment.split(/[-_.]/).every((word) => /^(?:[A-Za-z]{1,20}\d{0,2}|\d{1,4}|)$/.test(word))
}

/**
 * The bytes of a file.
 * @throws NEKO_ERR_INPUT_INVALID while reading, when it cannot be read
 */
export async function * openFile (path: string): AsyncGenerator<Uint8Array> {
  try {
    yield * createReadStream(path, { highWaterMark: 256 * 1024 })
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown'
    throw new NEKO_ERR_INPUT_INVALID(`The file cannot be read (${code})`)
  }
}

/**
 * The bytes behind an https address. Its body is not decoded by us: gzip shows by its first bytes.
 * @throws NEKO_ERR_INPUT_INVALID (address, status, redirects), NEKO_ERR_TIMEOUT
 */
export async function * openUrl (url: string, options: FetchOptions = FETCH_OPTIONS): AsyncGenerator<Uint8Array> {
  const signal = AbortSignal.timeout(options.timeoutMs)
  // Late: 110 files that only this needs.
  const { Agent, request } = await import('undici')
  const agent = new Agent(
    {
      connect: { lookup: options.allowPrivate ? undefined : lookupPublic },
      maxRedirections: 0
    } as ConstructorParameters<typeof Agent>[0]
  )
  try {
    let target = checkedUrl(url, options)
    for (let redirects = 0; ; redirects++) {
      const response = await request(target, {
        dispatcher: agent,
        signal,
        headers: { accept: 'application/json, application/gzip', 'user-agent': 'neko-defense-api' }
      })
      if (response.statusCode === 200) {
        yield * response.body
        return
      }
      // The body of a redirect is of no use; its socket is.
      await response.body.dump({ limit: 64 * 1024 })
      target = checkedUrl(redirectTarget(response.statusCode, response.headers.location, target), options)
      if (redirects >= options.redirectsMax) {
        throw new NEKO_ERR_INPUT_INVALID(`The address redirects more than ${options.redirectsMax} times`)
      }
    }
  } catch (error) {
    throw fetchError(error, signal)
  } finally {
    await agent.destroy()
  }
}

function redirectTarget (status: number, location: string | string[] | undefined, from: URL): string {
  const isRedirect = [301, 302, 303, 307, 308].includes(status)
  if (!isRedirect || typeof location !== 'string' || !URL.canParse(location, from)) {
    throw new NEKO_ERR_INPUT_INVALID(`The address answered ${status}`)
  }
  return new URL(location, from).href
}

function checkedUrl (text: string, options: FetchOptions): URL {
  if (text.length > 2048 || !URL.canParse(text)) throw new NEKO_ERR_INPUT_INVALID('The address cannot be read')
  const url = new URL(text)
  if (url.protocol !== 'https:' && !(options.allowPrivate && url.protocol === 'http:')) {
    throw new NEKO_ERR_INPUT_INVALID('The address must be https')
  }
  if (url.username !== '' || url.password !== '') {
    throw new NEKO_ERR_INPUT_INVALID('The address must not carry credentials')
  }
  if (!options.allowPrivate && isPrivateHost(url)) throw privateAddress()
  return url
}

/** Names that lead to a private address are refused when the connection asks for them. */
const lookupPublic = publicLookup({ refused: privateAddress })

function privateAddress (): Error {
  return new NEKO_ERR_INPUT_INVALID('The address is private')
}

function fetchError (error: unknown, signal: AbortSignal): Error {
  if (isNekoError(error)) return error
  if (signal.aborted) return new NEKO_ERR_TIMEOUT()
  const code = (error as NodeJS.ErrnoException).code
  // Errors of ours without a code are no news about the network: they crash.
  return typeof code === 'string'
    ? new NEKO_ERR_INPUT_INVALID(`The address cannot be fetched (${code})`)
    : error as Error
}

/**
 * Unpacks gzip when the first two bytes say so (1f 8b: names and content types lie), and holds both bounds.
 * @throws NEKO_ERR_BODY_TOO_LARGE (packed bytes), NEKO_ERR_BODY_INVALID (unpacked bytes, broken gzip)
 */
export async function * plainBytes (
  chunks: AsyncIterable<Uint8Array>,
  bounds: SourceBounds = SOURCE_BOUNDS
): AsyncGenerator<Uint8Array> {
  const arriving = atMost(chunks, bounds.packedBytesMax, () => new NEKO_ERR_BODY_TOO_LARGE())[Symbol.asyncIterator]()
  try {
    const head = await readHead(arriving)
    const whole = joined(head, arriving)
    if (head.length < 2 || head[0] !== 0x1f || head[1] !== 0x8b) yield * whole
    else {
      yield * atMost(gunzip(whole), bounds.plainBytesMax, () =>
        new NEKO_ERR_BODY_INVALID(`it has more than ${bounds.plainBytesMax} bytes when unpacked`))
    }
  } finally {
    await arriving.return?.(undefined)
  }
}

/** At least two bytes, or all there are. */
async function readHead (arriving: AsyncIterator<Uint8Array>): Promise<Uint8Array> {
  let head: Uint8Array = new Uint8Array(0)
  while (head.length < 2) {
    const next = await arriving.next()
    if (next.done === true) break
    head = head.length === 0 ? next.value : Buffer.concat([head, next.value])
  }
  return head
}

async function * joined (head: Uint8Array, rest: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield head
  for (let next = await rest.next(); next.done !== true; next = await rest.next()) yield next.value
}

async function * atMost (
  chunks: AsyncIterable<Uint8Array>,
  bytesMax: number,
  error: () => Error
): AsyncGenerator<Uint8Array> {
  let bytes = 0
  for await (const chunk of chunks) {
    bytes += chunk.length
    if (bytes > bytesMax) throw error()
    yield chunk
  }
}

async function * gunzip (packed: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const unpacking = createGunzip({ chunkSize: 64 * 1024 })
  // The callback exists because pipeline wants one; its error reaches us through the stream that we read.
  pipeline(Readable.from(packed, { objectMode: true, highWaterMark: 2 }), unpacking, () => {})
  try {
    yield * unpacking
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? ''
    if (code.startsWith('Z_')) throw new NEKO_ERR_BODY_INVALID('its gzip is broken or cut')
    throw error
  } finally {
    unpacking.destroy()
  }
}
