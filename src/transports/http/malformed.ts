import type { IncomingMessage } from 'node:http'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { NEKO_ERR_HEADERS_TOO_LARGE, NEKO_ERR_URL_INVALID } from '../../errors.ts'

/** Browsers send some 20; Node bounds their bytes (16 KiB) and drops what follows the 2,000th without a word. */
const HEADERS_MAX = 200

/**
 * Requests that passed the gate and that no handler should read: too many headers, or no host or two (RFC 9112 3.2;
 * Node drops the second). The connection ends with them.
 * @throws NEKO_ERR_HEADERS_TOO_LARGE, NEKO_ERR_URL_INVALID
 */
export async function refuseUnreadable (request: FastifyRequest, reply: FastifyReply): Promise<void> {
  const { rawHeaders } = request.raw
  if (rawHeaders.length > HEADERS_MAX * 2) {
    reply.header('connection', 'close')
    throw new NEKO_ERR_HEADERS_TOO_LARGE()
  }
  const hosts = countHosts(rawHeaders)
  if (hosts > 1 || (hosts === 0 && request.raw.httpVersionMajor === 1 && request.raw.httpVersionMinor >= 1)) {
    reply.header('connection', 'close')
    throw new NEKO_ERR_URL_INVALID()
  }
}

/** A request that the hook above refuses for nothing. */
export function isReadable ({ rawHeaders }: IncomingMessage): boolean {
  return rawHeaders.length <= HEADERS_MAX * 2 && countHosts(rawHeaders) === 1
}

function countHosts (rawHeaders: readonly string[]): number {
  let hosts = 0
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] as string
    if (name.length === 4 && name.toLowerCase() === 'host') hosts++
  }
  return hosts
}
