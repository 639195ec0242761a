import { hash } from 'node:crypto'
import type { Principal } from '../../identity/shapes.ts'
import type { GraphqlRequest } from './read-request.ts'

/**
 * The names of kept answers: SHA-256 over everything that an answer depends on, each part with its length before it, so
 * that no part can run into the next. Pure.
 */
interface Asked {
  principal: Principal | null
  /** ClientKey. */
  client: string
  /** Whether all callers of the same role and scopes get the same. */
  isShared: boolean
  request: GraphqlRequest
  contentType: string
  /** Of the schema: answers of another release say other things. */
  schemaDigest: string
}

/** Teams have no tenants of their own yet. */
const TENANT = ''

export function answerKey (
  { principal, client, isShared, request, contentType, schemaDigest }: Asked
): string {
  const { query, operationName, variables } = request
  let text = ''
  for (const part of [
    TENANT,
    scopeOf(principal),
    isShared ? '' : client,
    operationName === null ? '-' : `+${operationName}`,
    query,
    canonical(variables ?? {}),
    contentType,
    schemaDigest
  ]) text += `${part.length}:${part}`
  // Half surrogate pairs are all the same in UTF-8. A text has its `0:` in front: in UTF-16 it is no text of UTF-8.
  return hash('sha256', text.isWellFormed() ? text : Buffer.from(text, 'utf16le'), 'base64url')
}

/** What a caller may see, whoever it is. */
export function scopeOf (principal: Principal | null): string {
  if (principal === null) return 'anonymous'
  const { kind, role, scopes, mustChangePassword } = principal
  return [kind, role ?? '', [...scopes].sort().join('+'), mustChangePassword === true ? 'must change' : ''].join('|')
}

/** The same text for the same JSON, in whatever order its keys came. Its depth is bounded (std/keys.ts). */
function canonical (value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null'
  const members = Object.entries(value).sort(([a], [b]) => a < b ? -1 : a > b ? 1 : 0)
  return `{${members.map(([name, member]) => `${JSON.stringify(name)}:${canonical(member)}`).join(',')}}`
}
