import type { FastifyReply, FastifyRequest } from 'fastify'
import type { DeviceCookie } from '../../schema/context.ts'
import { canonicalAddress, createAddressSet } from '../../std/ip.ts'

/**
 * The cookie of a device that somebody signed in from, read by a login alone: it is no credential, and nothing else
 * looks at it. A page of another site can neither send it (SameSite) nor set it (the __Host- prefix).
 */
const NAME = '__Host-neko_device'
const LOCALHOST = /^(?:localhost|(?:[a-z0-9-]+\.)+localhost|127\.0\.0\.1|\[::1\])(?::\d{1,5})?$/i
const LOOPBACK = createAddressSet(['127.0.0.0/8', '::1/128'])

export function createDeviceCookies (
  trustProxy: readonly string[]
): (request: FastifyRequest, reply: FastifyReply) => DeviceCookie {
  const trusted = createAddressSet(trustProxy)

  /** Browsers keep Secure cookies of localhost as of HTTPS; whoever else speaks plain HTTP would only leak one. */
  function isSecure ({ raw, headers }: FastifyRequest): boolean {
    const peer = canonicalAddress(raw.socket.remoteAddress ?? '') ?? ''
    const scheme = headers['x-forwarded-proto']
    if (peer === '') return false
    if (scheme !== undefined && trusted.has(peer)) return lastOf(scheme) === 'https'
    return headers['x-forwarded-for'] === undefined && scheme === undefined && LOOPBACK.has(peer) &&
      LOCALHOST.test(headers.host ?? '')
  }

  return (request, reply) => ({
    shown: () => cookieOf(request.headers.cookie),
    keep ({ text, seconds }) {
      if (!isSecure(request)) return
      reply.header('set-cookie', `${NAME}=${text}; Max-Age=${seconds}; Path=/; Secure; HttpOnly; SameSite=Strict`)
    }
  })
}

function cookieOf (header: string | undefined): string | null {
  if (header === undefined) return null
  const pair = header.split(';').find((one) => one.trimStart().startsWith(`${NAME}=`))
  return pair === undefined ? null : pair.slice(pair.indexOf('=') + 1).trim()
}

/** Of a list, that of the nearest proxy; the others may be the client's own words. */
function lastOf (scheme: string | string[]): string {
  return String(scheme).split(',').at(-1)!.trim().toLowerCase()
}
