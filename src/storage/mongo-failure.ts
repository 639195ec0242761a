import { MongoBulkWriteError, MongoError, MongoNetworkError, MongoServerError } from 'mongodb'
import { NEKO_ERR_STORE_DUPLICATE, NEKO_ERR_STORE_UNAVAILABLE, isNekoError } from '../errors.ts'

/** The driver's errors, as readiness (a class), the breaker (down or not) and callers (a typed error) know them. */
export type MongoReason = 'auth' | 'refused' | 'tls' | 'timeout' | 'full' | 'other'

/** Not primary, shutting down, interrupted, host unreachable: the server is there but cannot do it now. */
const UNAVAILABLE_CODES = new Set([6, 7, 50, 64, 89, 91, 189, 262, 9001, 10058, 10107, 11600, 11602, 13435, 13436])
/** Errors of the driver itself, when it cannot reach a server; a name stands for all that begin with it. */
const UNAVAILABLE_NAMES = new RegExp('^Mongo(' + [
  'Network', 'ServerSelection', 'OperationTimeout', 'PoolCleared', 'WaitQueueTimeout', 'TopologyClosed', 'NotConnected',
  'ClientClosed', 'PoolClosed', 'ServerClosed', 'Runtime', 'WriteConcern'
].join('|') + ')')
/** The call, or its wait for a connection, took too long: new connections of a slow server take as long as a call. */
const TIMEOUT_NAMES = new Set(['MongoOperationTimeoutError', 'MongoWaitQueueTimeoutError'])
const AUTH_CODES = new Set([13, 18, 8000])
const FULL_CODE = 14031
const SOCKET_CODES = /^(ECONNREFUSED|ECONNRESET|ECONNABORTED|EPIPE|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH)$/
const DUPLICATE_CODE = 11000
export const NOT_IMPLEMENTED_CODE = 238

/** The server's error code, 0 where there is none. */
export function codeOf (error: unknown): number {
  const code = (error as { code?: unknown } | null)?.code
  return typeof code === 'number' ? code : 0
}

/** True when an id or a unique index was taken. */
export function isDuplicate (error: unknown): boolean {
  if (!(error instanceof MongoServerError)) return false
  // FerretDB names duplicates of an insert only; those of an update come as SQLite's own words with code 1.
  return codeOf(error) === DUPLICATE_CODE ||
    (codeOf(error) === 1 && /UNIQUE constraint failed: (?!_ferretdb)/.test(error.message))
}

/** A bulk write wraps what ended it, a lost connection included, in an error of its own that says nothing of it. */
export function unwrapped (error: unknown): unknown {
  const inner = error instanceof MongoBulkWriteError ? (error as { errorResponse?: unknown }).errorResponse : null
  return inner instanceof MongoError || isSocketError(inner) ? inner : error
}

/** True when the store is not able to answer, false when it answered and did not like the question. */
export function isUnavailable (error: unknown): boolean {
  if (isSocketError(error)) return true
  if (!(error instanceof MongoError)) return false
  if (error instanceof MongoServerError) {
    const code = codeOf(error)
    return UNAVAILABLE_CODES.has(code) || AUTH_CODES.has(code) || code === FULL_CODE
  }
  return UNAVAILABLE_NAMES.test(error.name)
}

/** The server took longer than the call had. */
export function isTimeout (error: unknown): boolean {
  return error instanceof MongoError && TIMEOUT_NAMES.has(error.name)
}

/** The reply was lost or never came: the operation may have been done. */
export function isLostReply (error: unknown): boolean {
  return isSocketError(error) || error instanceof MongoNetworkError ||
    (error instanceof MongoError && /^MongoPoolCleared|^MongoConnectionPoolCleared/.test(error.name))
}

/** The driver lets a failed write to its socket through as it is. */
function isSocketError (error: unknown): boolean {
  const code = (error as { code?: unknown } | null)?.code
  return !(error instanceof MongoError) && typeof code === 'string' && SOCKET_CODES.test(code)
}

/** The meaning of a failure to readiness, by the innermost cause that says something. */
export function reasonOf (error: unknown): MongoReason {
  for (const cause of causesOf(error)) {
    const code = (cause as { code?: unknown }).code
    const name = (cause as { name?: unknown }).name
    if (typeof code === 'number' && AUTH_CODES.has(code)) return 'auth'
    if (code === FULL_CODE) return 'full'
    if (
      typeof code === 'string' &&
      /^(ERR_TLS|ERR_SSL|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO_|HOSTNAME_MISMATCH|EPROTO)/.test(code)
    ) {
      return 'tls'
    }
    if (typeof code === 'string' && SOCKET_CODES.test(code)) return 'refused'
    if (
      code === 'ETIMEDOUT' || name === 'MongoNetworkTimeoutError' || TIMEOUT_NAMES.has(String(name))
    ) {
      return 'timeout'
    }
  }
  return error instanceof MongoNetworkError ? 'refused' : 'other'
}

/** Innermost causes first: a timeout of server selection is told by why no server could be selected. */
function causesOf (error: unknown): unknown[] {
  const found: unknown[] = []
  const visit = (value: unknown, depth: number): void => {
    if (typeof value !== 'object' || value === null || depth > 6 || found.includes(value)) return
    const { cause, reason, errors } = value as { cause?: unknown, reason?: { servers?: unknown }, errors?: unknown }
    if (cause !== undefined) visit(cause, depth + 1)
    if (Array.isArray(errors)) for (const inner of errors.slice(0, 4)) visit(inner, depth + 1)
    if (reason?.servers instanceof Map) {
      for (const server of [...reason.servers.values()].slice(0, 8)) {
        visit((server as { error?: unknown }).error, depth + 1)
      }
    }
    found.push(value)
  }
  visit(error, 0)
  return found
}

/** The typed error a caller sees; the driver's text stays in `cause`, for the log. */
export function typedError (error: unknown, collection: string): Error {
  if (isNekoError(error)) return error
  if (isDuplicate(error)) return Object.assign(new NEKO_ERR_STORE_DUPLICATE(collection), { cause: error })
  if (error instanceof MongoError || isSocketError(error)) {
    return Object.assign(new NEKO_ERR_STORE_UNAVAILABLE(), { cause: error })
  }
  return error instanceof Error ? error : new Error(String(error))
}
