import type { FastifyReply, FastifyRequest } from 'fastify'
import { NEKO_ERR_HEADERS_TOO_LARGE, NEKO_ERR_MEDIA_UNSUPPORTED } from '../errors.ts'

/** Browsers send some 20; Node bounds their bytes (16 KiB) and drops what follows the 2,000th without a word. */
const HEADERS_MAX = 200

/**
 * Requests that passed the gate and that no handler should read: too many headers, or a body that is packed (unpacking
 * multiplies it). The connection ends with them.
 * @throws NEKO_ERR_HEADERS_TOO_LARGE, NEKO_ERR_MEDIA_UNSUPPORTED
 */
export async function refuseUnreadable (request: FastifyRequest, reply: FastifyReply): Promise<void> {
  if (request.raw.rawHeaders.length > HEADERS_MAX * 2) {
    reply.header('connection', 'close')
    throw new NEKO_ERR_HEADERS_TOO_LARGE()
  }
  const encoding = request.headers['content-encoding']
  // Imports unpack their stream themselves, within bounds.
  if (encoding === undefined || encoding === 'identity' || request.routeOptions.config?.streamed === true) return
  reply.header('connection', 'close')
  throw new NEKO_ERR_MEDIA_UNSUPPORTED()
}
