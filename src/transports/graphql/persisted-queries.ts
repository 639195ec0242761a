import { hash } from 'node:crypto'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { createMemory } from '../../cache/memory.ts'
import { NEKO_ERR_INPUT_INVALID } from '../../errors.ts'
import { BoundedMap } from '../../std/bounded-map.ts'
import { BODY_BYTES_MAX } from '../../transaction/bounds.ts'
import { countedAs } from '../../transaction/cross-site.ts'
import type { Body, Transaction } from '../../transaction/transaction.ts'
import type { Answer } from './execute.ts'
import { isPlainObject } from './read-request.ts'

/**
 * Automatic persisted queries (Apollo's protocol): a client sends the SHA-256 of its document, and the document itself
 * only when it is asked for it.
 *
 * Owns: the documents, by hash, in this process alone: a client whose next request meets another process sends its
 * document once more. Never does: judge. A request that names a document is made, before anything looks at it, what
 * it would be had its client sent the document: so scores, decoys, cost, armor, receipts and the rule for GET are those
 * of the document, and so is what is learnt of its bytes (early-answers.ts).
 *
 * In: members of requests, and what came of those that brought a document. Kept is only what was validated, in a
 * request that every rule allowed by itself: what one may send by an exemption must not reach others by its hash.
 */
export interface PersistedQueries {
  /** For `standsFor` of the route (transports/http/gate.ts). */
  standsFor (request: FastifyRequest, body: Body | null): { target: string, body: Body | null } | null
  /** It brings a document that is not here: whoever answers it must come to `keep`. */
  isNew (request: FastifyRequest): boolean
  /** The document of this hash was validated, and its request is past its decoys. */
  keep (request: FastifyRequest, persisted: { hash: string, query: string }): void
}

/** 8 MiB of documents, some thousands. */
const BYTES_MAX = 8 * 1_048_576
const NEW_MAX = 200
const NEW_MS = 60_000
/** Each with 200 times at most: 1.6 MB together. */
const CLIENTS_MAX = 1_000
/** As long as a target may be that a client sends itself. */
const TARGET_CHARACTERS_MAX = 16_384

/** Whatever names a document without these letters, escaped for instance, names one that is not here. */
const MARK = 'persistedQuery'
const MARK_BYTES = Buffer.from(MARK)

export function createPersistedQueries (app: FastifyInstance): PersistedQueries {
  /** As a member of JSON with its comma, ready to be put into a body. */
  const documents = createMemory<Buffer>({ bytesMax: BYTES_MAX })
  const isWithinRate = createRate(() => app.clock.monotonic())
  const news = new WeakSet<FastifyRequest>()
  const counted = {
    hit: app.metrics.cacheRequestsTotal.labels('persisted-queries', 'hit'),
    miss: app.metrics.cacheRequestsTotal.labels('persisted-queries', 'miss')
  }

  function find (request: FastifyRequest, members: Record<string, unknown>): Buffer | null {
    const named = hashIn(members)
    if (named === null) return null
    const document = documents.get(named)?.value
    if (Object.hasOwn(members, 'query')) {
      if (document === undefined) news.add(request)
      return null
    }
    counted[document === undefined ? 'miss' : 'hit'].inc()
    return document ?? null
  }

  return {
    standsFor (request, body) {
      const { target } = request.transaction!
      if (request.raw.method === 'POST') {
        const bytes = body?.end === 'whole' ? body.bytes : null
        const members = bytes === null ? null : membersOfBody(request, bytes)
        const document = members === null ? null : find(request, members)
        return document === null ? null : { target, body: bounded(withDocument(bytes!, document)) }
      }
      const members = membersOfTarget(request, target)
      const document = members === null ? null : find(request, members)
      if (document === null) return null
      const query = textOf(document)
      const longer = withQuery(target, query)
      if (longer === null) return null
      const asked = request.query as Record<string, unknown>
      asked.query = query
      return { target: longer, body }
    },
    isNew: (request) => news.has(request),
    keep (request, persisted) {
      const { transaction } = request
      if (transaction === null || documents.get(persisted.hash) !== undefined) return
      if (!isAllowedByItself(transaction) || !isWithinRate(countedAs(transaction))) return
      const document = Buffer.from(`"query":${JSON.stringify(persisted.query)},`)
      documents.set({
        key: persisted.hash,
        value: document,
        bytes: document.length,
        references: [],
        storedAtMs: 0,
        freshForMs: Infinity,
        staleForMs: 0
      })
    }
  }
}

/** Members as their route reads them later; null for whatever names no document. */
function membersOfBody ({ headers }: FastifyRequest, bytes: Uint8Array): Record<string, unknown> | null {
  const body = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (!body.includes(MARK_BYTES) || !/^\s*application\/json\s*(?:;|$)/i.test(headers['content-type'] ?? '')) return null
  return objectIn(body.toString('utf8'))
}

function membersOfTarget ({ query }: FastifyRequest, target: string): Record<string, unknown> | null {
  if (!target.includes(MARK)) return null
  const members = query as Record<string, unknown>
  const extensions = typeof members.extensions === 'string' ? objectIn(members.extensions) : null
  return extensions === null ? null : { ...members, extensions }
}

function objectIn (json: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(json)
    return isPlainObject(value) ? value : null
  } catch {
    return null
  }
}

/** Null also for what `readPersisted` refuses. */
function hashIn (members: Record<string, unknown>): string | null {
  try {
    const persisted = readPersisted(members)
    return persisted?.isSupported === true ? persisted.hash : null
  } catch {
    return null
  }
}

/** All other bytes stay as they came: repeated keys and odd escapes are signs. */
function withDocument (body: Uint8Array, document: Buffer): Buffer {
  const from = body.indexOf(BRACE) + 1
  return Buffer.concat([body.subarray(0, from), document, body.subarray(from)])
}

const BRACE = '{'.charCodeAt(0)

/** Null for one that is too long, or that the router reads in another way than the rest of us (`/graphql#query`). */
function withQuery (target: string, query: string): string | null {
  const at = target.search(/[?#]/)
  if (target[at] !== '?') return null
  const longer = `${target.slice(0, at)}?query=${encodeURIComponent(query)}&${target.slice(at + 1)}`
  return longer.length > TARGET_CHARACTERS_MAX ? null : longer
}

/** As the gate reads a body that says it is too large. */
function bounded (bytes: Buffer): Body {
  return bytes.length > BODY_BYTES_MAX
    ? { bytes: bytes.subarray(0, BODY_BYTES_MAX), end: 'over' }
    : { bytes, end: 'whole' }
}

function textOf (document: Buffer): string {
  return (JSON.parse(`{${document.toString('utf8').slice(0, -1)}}`) as { query: string }).query
}

/** By its own score, all of which counts: nothing lifted a block, and nothing of it was left out. */
function isAllowedByItself ({ verdict, score, scoreWithoutData, decision, submittedSample }: Transaction): boolean {
  return verdict?.action === 'ALLOW' && !verdict.simulated && decision?.action !== 'ALLOW' &&
    scoreWithoutData === null && !submittedSample && score !== null && !score.decoy && !score.degraded &&
    score.notInspected.length === 0
}

/** At most 200 in any minute for each client. */
function createRate (nowMs: () => number): (client: string) => boolean {
  const clients = new BoundedMap<string, number[]>(CLIENTS_MAX)
  return (client) => {
    const now = nowMs()
    const times = (clients.get(client) ?? []).filter((ms) => now - ms < NEW_MS)
    const isWithin = times.length < NEW_MAX
    if (isWithin) times.push(now)
    clients.set(client, times)
    return isWithin
  }
}

/** What a request says of its document; null where it says nothing. */
export interface Persisted { hash: string, isSupported: boolean }

const HASH = /^[0-9a-f]{64}$/

/** @throws NEKO_ERR_INPUT_INVALID for what the protocol does not know */
export function readPersisted ({ extensions }: Record<string, unknown>): Persisted | null {
  if (!isPlainObject(extensions) || !Object.hasOwn(extensions, MARK)) return null
  const given = extensions[MARK]
  if (!isPlainObject(given)) throw new NEKO_ERR_INPUT_INVALID('persistedQuery must be an object')
  const { version, sha256Hash } = given
  if (!Number.isInteger(version)) throw new NEKO_ERR_INPUT_INVALID('the version of persistedQuery must be a number')
  if (version !== 1) return { hash: '', isSupported: false }
  if (typeof sha256Hash !== 'string' || !HASH.test(sha256Hash)) {
    throw new NEKO_ERR_INPUT_INVALID('sha256Hash must be 64 digits, 0-9 and a-f')
  }
  return { hash: sha256Hash, isSupported: true }
}

/** @throws NEKO_ERR_INPUT_INVALID */
export function requireMatch (query: string, persisted: Persisted): void {
  if (hash('sha256', query) !== persisted.hash) {
    throw new NEKO_ERR_INPUT_INVALID('provided sha does not match query')
  }
}

/**
 * The answer to a request that the protocol does not carry further, in the protocol's own words: its clients send the
 * document then (not found), or send no hashes any more (not supported).
 */
export function refusedPersisted ({ isSupported }: Persisted, assessment: string | null): Answer {
  const [message, code] = isSupported
    ? ['PersistedQueryNotFound', 'PERSISTED_QUERY_NOT_FOUND']
    : ['PersistedQueryNotSupported', 'PERSISTED_QUERY_NOT_SUPPORTED']
  const extensions = { code, ...(assessment === null ? {} : { assessment }) }
  return { errors: [{ message, extensions }], cost: null, status: 200, retryAfterSeconds: null, limited: null }
}
