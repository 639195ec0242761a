import { SOCKET } from './bounds.ts'

/**
 * Messages of graphql-transport-ws (https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md), read strictly and
 * without knowledge of sockets or schema: what does not fit is null, and closes the socket with 4400.
 */
export type ClientMessage =
  | { type: 'connection_init', payload: Record<string, unknown> }
  | { type: 'ping' | 'pong' }
  | { type: 'subscribe', id: string, payload: SubscribePayload }
  | { type: 'complete', id: string }

export interface SubscribePayload {
  query: string
  variables: Record<string, unknown> | null
  operationName: string | null
  extensions: Record<string, unknown> | null
}

/** A message of a client, or null when it is none of the protocol. */
export function readMessage (text: string): ClientMessage | null {
  let message: unknown
  try {
    message = JSON.parse(text)
  } catch {
    return null
  }
  if (!isPlainObject(message)) return null
  const { type, id, payload } = message
  switch (type) {
    case 'connection_init': return isObjectOrNothing(payload) ? { type, payload: payload ?? {} } : null
    case 'ping':
    case 'pong': return isObjectOrNothing(payload) ? { type } : null
    case 'complete': return isId(id) ? { type, id } : null
    case 'subscribe': {
      const asked = readSubscribe(payload)
      return isId(id) && asked !== null ? { type, id, payload: asked } : null
    }
    default: return null
  }
}

/** An AST in place of the text is no query: it would skip the lexer's bound. */
function readSubscribe (payload: unknown): SubscribePayload | null {
  if (!isPlainObject(payload)) return null
  const { query, variables, operationName, extensions } = payload
  if (typeof query !== 'string' || query === '') return null
  if (!isObjectOrNothing(variables) || !isObjectOrNothing(extensions)) return null
  if (operationName !== undefined && operationName !== null && typeof operationName !== 'string') return null
  return {
    query,
    variables: variables ?? null,
    operationName: operationName === '' ? null : operationName ?? null,
    extensions: extensions ?? null
  }
}

/**
 * The credential of a connection_init, as headers would carry it. Names in any case, and only these: whatever else the
 * payload holds is nobody's header.
 */
export function credentialOf (
  payload: Record<string, unknown>
): { authorization?: string, 'x-api-key'?: string } | 'malformed' {
  const shown: { authorization?: string, 'x-api-key'?: string } = {}
  for (const [given, value] of Object.entries(payload)) {
    const name = given.toLowerCase()
    if (name !== 'authorization' && name !== 'x-api-key' && name !== 'token') continue
    const header = name === 'x-api-key' ? name : 'authorization'
    if (typeof value !== 'string' || shown[header] !== undefined) return 'malformed'
    shown[header] = name === 'token' ? `Bearer ${value}` : value
  }
  return shown
}

function isId (id: unknown): id is string {
  return typeof id === 'string' && id !== '' && id.length <= SOCKET.operationIdCharacters
}

function isObjectOrNothing (value: unknown): value is Record<string, unknown> | null | undefined {
  return value === undefined || value === null || isPlainObject(value)
}

function isPlainObject (value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
