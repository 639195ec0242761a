import { ServerResponse, type IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { WebSocketServer, type ServerOptions } from 'ws'
import { SOCKET } from './bounds.ts'
import { asksForSocket, handshakeFault, PROTOCOL } from './handshake.ts'
import { OpenSockets } from './open-sockets.ts'
import type { Caller } from './operations.ts'

/**
 * GraphQL over WebSocket (graphql-transport-ws) at /graphql.
 *
 * Owns: which upgrades are taken, the open sockets, and when each must go. Never does: judge, authenticate or
 * execute by itself. In: an upgrade that passed the gate. Out: frames.
 *
 * Why not mercurius' transport: it validates and bounds no subscription, leaks timers on repeated inits, knows neither
 * a time limit for the init nor duplicate ids, and makes request headers of what the init's payload holds.
 * Why the upgrade is given to Fastify as a request: so that it passes the one gate, with receipt, limit and
 * score, like everything else.
 */
interface Upgrade { socket: Socket, head: Buffer, response: ServerResponse }

/** Names that belong to the handshake, or to its credential, and say nothing about an operation. */
const HANDSHAKE_ONLY = /^(?:connection|upgrade|sec-websocket-.*|authorization|x-api-key|content-.*|transfer-encoding)$/i
/** A quarter of a kilobyte per header pair at most is kept with an open socket. */
const HEADER_CHARACTERS_MAX = 256
const HEADERS_KEPT_MAX = 48

const SERVER_OPTIONS: ServerOptions = Object.freeze({
  noServer: true,
  clientTracking: false,
  // Compression holds some 300 kB per socket, and small hostile messages unpack to large ones.
  perMessageDeflate: false,
  maxPayload: SOCKET.messageBytes,
  autoPong: false,
  // Options that the types of ws do not know yet.
  ...{ maxFragments: SOCKET.fragments, maxBufferedChunks: SOCKET.chunks, closeTimeout: SOCKET.closeMs },
  handleProtocols: () => PROTOCOL
})

export default fp(async (app) => {
  const upgrades = new WeakMap<IncomingMessage, Upgrade>()
  const sockets = new OpenSockets(app)
  const server = new WebSocketServer(SERVER_OPTIONS)
  const receiptHeaders = new WeakMap<IncomingMessage, string[]>()
  server.on('headers', (headers, raw) => headers.push(...receiptHeaders.get(raw) ?? []))

  Object.assign(app.server, { shouldUpgradeCallback: asksForSocket })
  app.server.on('upgrade', (raw, socket, head) => routeUpgrade(raw, socket as Socket, head))
  app.addHook('onRequest', async (request, reply) => {
    const upgrade = upgrades.get(request.raw)
    return upgrade === undefined || reply.sent ? undefined : answerUpgrade(request, reply, upgrade)
  })
  app.addHook('preClose', () => sockets.leave())

  /** Gives an upgrade to Fastify as a request, with a response that writes to its socket. */
  function routeUpgrade (raw: IncomingMessage, socket: Socket, head: Buffer): void {
    // Node no longer listens to it.
    socket.on('error', ignore)
    const response = new ServerResponse(raw)
    response.shouldKeepAlive = false
    response.assignSocket(socket)
    response.once('finish', () => socket.destroySoon())
    upgrades.set(raw, { socket, head, response })
    app.routing(raw, response)
  }

  /** After the gate: a refusal like any other, which the edge answers, or a WebSocket. */
  function answerUpgrade (
    request: FastifyRequest,
    reply: FastifyReply,
    { socket, head, response }: Upgrade
  ): FastifyReply {
    const caller = callerOf(request)
    const fault = handshakeFault(request.headers, app.config.corsOrigins) ?? sockets.reserve(caller)
    if (fault !== null) throw fault
    reply.hijack()
    reply.raw.statusCode = 101
    response.detachSocket(socket)
    receiptHeaders.set(request.raw, [
      `x-request-id: ${request.id}`,
      `x-neko-assessment: ${request.transaction?.id ?? ''}`
    ])
    let isOpen = false
    server.handleUpgrade(request.raw, socket, head, (ws) => {
      isOpen = true
      sockets.open(ws, caller)
    })
    // The peer left meanwhile.
    if (!isOpen) sockets.release(caller)
    app.gate.after(request, reply)
    return reply
  }
}, {
  name: 'socket',
  dependencies: [
    'config',
    'clock',
    'metrics',
    'fleet',
    'http',
    'graphql',
    'limits',
    'identity',
    'clients', 'threads',
    'decisions',
    'receipts',
    'playbooks'
  ]
})

function callerOf ({ id, raw, transaction }: FastifyRequest): Caller {
  if (transaction === null) throw new Error('an upgrade did not pass the gate')
  return {
    address: transaction.address as string,
    neverBlockApplies: transaction.neverBlockApplies,
    unnamedProxy: transaction.unnamedProxy,
    headers: keptHeaders(raw.rawHeaders),
    requestId: id,
    principal: transaction.principal
  }
}

function keptHeaders (raw: readonly string[]): string[] {
  const kept: string[] = []
  for (let i = 0; i + 1 < raw.length && kept.length < HEADERS_KEPT_MAX; i += 2) {
    const [name, value] = [raw[i] as string, raw[i + 1] as string]
    if (!HANDSHAKE_ONLY.test(name)) {
      kept.push(name.slice(0, HEADER_CHARACTERS_MAX), value.slice(0, HEADER_CHARACTERS_MAX))
    }
  }
  return kept
}

/** A peer that resets its connection while the gate looks at it; the code behind it sees a destroyed socket. */
function ignore (): void {}
