import createError from '@fastify/error'

/**
 * Every error NEKO answers with, in one table: code, message (%s takes arguments), HTTP status. Codes are promises:
 * never renamed, never reused. The table of deploy/reference.md is held against this file by test/tidy.system.test.ts.
 */
export const NEKO_ERR_AUDIT_UNAVAILABLE = createError(
  'NEKO_ERR_AUDIT_UNAVAILABLE',
  'The audit trail cannot be written now; nothing was changed',
  503
)
export const NEKO_ERR_BACKUP_UNSUPPORTED = createError(
  'NEKO_ERR_BACKUP_UNSUPPORTED',
  'This store has no file to copy: use its own backup tools',
  400
)
export const NEKO_ERR_BLOCKED = createError('NEKO_ERR_BLOCKED', 'This request was refused', 403)
export const NEKO_ERR_BODY_INVALID = createError('NEKO_ERR_BODY_INVALID', 'The body cannot be read: %s', 400)
export const NEKO_ERR_BODY_TOO_LARGE = createError(
  'NEKO_ERR_BODY_TOO_LARGE',
  'The body is larger than this route takes',
  413
)
export const NEKO_ERR_CONFIG_INVALID = createError('NEKO_ERR_CONFIG_INVALID', '%s: %s', 500)
export const NEKO_ERR_CURSOR_INVALID = createError(
  'NEKO_ERR_CURSOR_INVALID',
  'Invalid cursor',
  400
)
export const NEKO_ERR_DECISION_SELF = createError(
  'NEKO_ERR_DECISION_SELF',
  'This block would hold for yourself: it needs force: true',
  400
)
export const NEKO_ERR_EVIDENCE_CERTAIN = createError(
  'NEKO_ERR_EVIDENCE_CERTAIN',
  'This evidence has no ordinary reading: allowing it needs the scope manage, and force: true',
  403
)
export const NEKO_ERR_FORBIDDEN = createError('NEKO_ERR_FORBIDDEN', 'This needs %s', 403)
export const NEKO_ERR_HEADERS_TOO_LARGE = createError(
  'NEKO_ERR_HEADERS_TOO_LARGE',
  'The headers are larger or more than we take',
  431
)
export const NEKO_ERR_INPUT_INVALID = createError('NEKO_ERR_INPUT_INVALID', '%s', 400)
export const NEKO_ERR_INTERNAL = createError('NEKO_ERR_INTERNAL', 'Something went wrong on our side', 500)
export const NEKO_ERR_KEY_FORBIDDEN = createError(
  'NEKO_ERR_KEY_FORBIDDEN',
  'A key begins with $, contains a dot or names a prototype',
  400
)
export const NEKO_ERR_LIMIT_EXCEEDED = createError(
  'NEKO_ERR_LIMIT_EXCEEDED',
  'Too many requests: try again in %s s',
  429
)
export const NEKO_ERR_MEDIA_UNSUPPORTED = createError(
  'NEKO_ERR_MEDIA_UNSUPPORTED',
  'This route does not take that content type, charset or encoding',
  415
)
export const NEKO_ERR_METHOD_INVALID = createError(
  'NEKO_ERR_METHOD_INVALID',
  'This route does not take that method',
  405
)
export const NEKO_ERR_NOT_FOUND = createError('NEKO_ERR_NOT_FOUND', '%s', 404)
export const NEKO_ERR_OVERLOADED = createError('NEKO_ERR_OVERLOADED', 'Too busy now: try again in %s s', 503)
export const NEKO_ERR_QUERY_TOO_COSTLY = createError(
  'NEKO_ERR_QUERY_TOO_COSTLY',
  'The query costs %s points, more than the whole budget of %s: ask for smaller pages',
  400
)
export const NEKO_ERR_QUERY_TOO_DEEP = createError('NEKO_ERR_QUERY_TOO_DEEP', 'The query is nested deeper than %s', 400)
export const NEKO_ERR_QUERY_TOO_LARGE = createError('NEKO_ERR_QUERY_TOO_LARGE', 'The query has %s at most', 400)
export const NEKO_ERR_REQUEST_TIMEOUT = createError(
  'NEKO_ERR_REQUEST_TIMEOUT',
  'The request took too long to arrive',
  408
)
export const NEKO_ERR_REQUEST_TOO_COMPLEX = createError(
  'NEKO_ERR_REQUEST_TOO_COMPLEX',
  'The head of the request has more parameters, cookies or layers of encoding than we read',
  400
)
export const NEKO_ERR_REQUEST_UNJUDGED = createError(
  'NEKO_ERR_REQUEST_UNJUDGED',
  'This request takes longer to judge than any ordinary one',
  503
)
export const NEKO_ERR_STORE_CORRUPT = createError(
  'NEKO_ERR_STORE_CORRUPT',
  'The store %s is damaged (%s): restore a backup',
  500
)
export const NEKO_ERR_STORE_DUPLICATE = createError('NEKO_ERR_STORE_DUPLICATE', 'Already there: %s', 409)
export const NEKO_ERR_STORE_INCOMPATIBLE = createError(
  'NEKO_ERR_STORE_INCOMPATIBLE',
  'The store was written by an incompatible version (%s)',
  500
)
export const NEKO_ERR_STORE_UNAVAILABLE = createError(
  'NEKO_ERR_STORE_UNAVAILABLE',
  'The database cannot answer now',
  503
)
export const NEKO_ERR_TIMEOUT = createError('NEKO_ERR_TIMEOUT', 'This took too long', 503)
export const NEKO_ERR_UNAUTHENTICATED = createError(
  'NEKO_ERR_UNAUTHENTICATED',
  'Missing or invalid credentials',
  401
)
export const NEKO_ERR_URL_INVALID = createError('NEKO_ERR_URL_INVALID', 'The request target cannot be read', 400)

/**
 * What callers see of the errors with the status 500. The arguments of these are the operator's (a file, a variable,
 * the driver's words): they stand in the log, in exit lines and in the answers of `neko`.
 */
const SHOWN_MESSAGES: Readonly<Record<string, string>> = {
  NEKO_ERR_CONFIG_INVALID: 'The configuration is not valid',
  NEKO_ERR_STORE_CORRUPT: 'The store is damaged: restore a backup',
  NEKO_ERR_STORE_INCOMPATIBLE: 'The store was written by an incompatible version'
}

/** The message of an error of this table for whoever calls from outside. */
export function shownMessage (
  { code, message, statusCode }: { code: string, message: string, statusCode?: number }
): string {
  if (!isOperators({ statusCode })) return message
  return SHOWN_MESSAGES[code] ?? new NEKO_ERR_INTERNAL().message
}

/** Whether the error is for the operator to mend: the log has it whole. */
export function isOperators ({ statusCode }: { statusCode?: number }): boolean {
  return statusCode === 500
}

/** True for errors of this table: callers see their code, and of their message what `shownMessage` says. */
export function isNekoError (error: unknown): error is Error & { code: string, statusCode: number } {
  return error instanceof Error && typeof (error as { code?: unknown }).code === 'string' &&
    (error as unknown as { code: string }).code.startsWith('NEKO_ERR_')
}
