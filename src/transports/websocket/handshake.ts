import type { IncomingMessage } from 'node:http'
import { NEKO_ERR_FORBIDDEN, NEKO_ERR_INPUT_INVALID } from '../../errors.ts'

/** Which requests may become WebSockets, and what a handshake must show. Pure: headers in, a refusal or nothing out. */
export const PROTOCOL = 'graphql-transport-ws'

/** RFC 9110 5.6.2. */
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/

type Headers = IncomingMessage['headers']

/**
 * Whether Node may take a request out of HTTP: only what asks for a WebSocket at /graphql. Everything else
 * that carries an Upgrade header stays an ordinary request and passes the gate; Node would leave it without
 * any answer.
 */
export function asksForSocket ({ method, url, headers }: Pick<IncomingMessage, 'method' | 'url' | 'headers'>): boolean {
  if (method !== 'GET' || headers.upgrade?.trim().toLowerCase() !== 'websocket') return false
  // A body would be read as frames.
  if (headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0') return false
  return url === '/graphql' || url?.startsWith('/graphql?') === true
}

/** The fault of a handshake, or null. */
export function handshakeFault (
  headers: Headers,
  corsOrigins: readonly string[]
): (Error & { code: string, statusCode?: number }) | null {
  if (!isTrustedOrigin(headers, corsOrigins)) return new NEKO_ERR_FORBIDDEN('an origin that CORS_ORIGIN names')
  if (headers['sec-websocket-version'] !== '13') return new NEKO_ERR_INPUT_INVALID('sec-websocket-version must be 13')
  if (!/^[+/0-9A-Za-z]{22}==$/.test(headers['sec-websocket-key'] ?? '')) {
    return new NEKO_ERR_INPUT_INVALID('sec-websocket-key must be 16 bytes in base64')
  }
  const offered = (headers['sec-websocket-protocol'] ?? '').split(',').map((name) => name.trim())
  if (
    !offered.includes(PROTOCOL) || new Set(offered).size !== offered.length ||
    !offered.every((name) => TOKEN.test(name))
  ) {
    return new NEKO_ERR_INPUT_INVALID(`sec-websocket-protocol must offer ${PROTOCOL}`)
  }
  return null
}

/**
 * Browsers open WebSockets across sites without asking first (CWE-1385): a page must be ours or named by CORS_ORIGIN.
 * Programs send no Origin. Scheme and port of ours are the proxy's, so that only the host is compared.
 */
function isTrustedOrigin ({ origin, host }: Headers, corsOrigins: readonly string[]): boolean {
  if (origin === undefined || corsOrigins.includes(origin)) return true
  return host !== undefined && URL.canParse(origin) && new URL(origin).host === host.toLowerCase()
}
