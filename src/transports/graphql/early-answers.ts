import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { BoundedMap } from '../../std/bounded-map.ts'
import { countedAs } from '../../transaction/cross-site.ts'
import type { Transaction } from '../../transaction/transaction.ts'
import { faultOfKeys } from '../../std/keys.ts'
import { createSeenBefore } from '../../std/seen-before.ts'
import { decoyAnswer, touchesDecoy } from '../../transaction/graphql-decoys.ts'
import { scopeOf } from './answer-key.ts'
import { keptHeaders } from './answer-headers.ts'
import type { KeptAnswers } from './kept-answers.ts'
import { bodyAtHand, codingFor, type Coding, type KeptAnswer } from './kept-answer.ts'
import { isPlainObject, readMembers, type GraphqlRequest } from './read-request.ts'

/**
 * Kept answers for requests that were answered from the cache before, byte for byte the same: at once behind the gate,
 * before anything parses them again.
 *
 * Owns: which bytes of a request, from callers of which scope, ask for which kept answer. Never does: judge, or answer
 * what is not plain; whatever it does not know goes the ordinary way, which learns it.
 *
 * Why that is sound: what a route of ours makes of a request (its document, its variables, a refusal for its keys or
 * type) follows from its method, target, content type, Accept and body, and from nothing else.
 */
interface EarlyAnswers {
  /** For `answerEarly` of the route (transports/http/gate.ts). */
  answer (request: FastifyRequest, reply: FastifyReply, pass: () => void): boolean
  /** These bytes were answered with the kept answer of this key, for the caller alone where it is not shared. */
  learn (request: FastifyRequest, answer: { key: string, isShared: boolean }): void
}

interface Found { value: KeptAnswer, coding: Coding | null, body: string | Buffer, ageMs: number }

/** Requests that are known: of at most 2,048 characters each but for the name of whoever is signed in. */
const KNOWN_MAX = 2_000
const KNOWN_CHARACTERS_MAX = 2_048
/** Bytes that ask for what is kept already and came once: they are not worth a place yet. */
const SEEN_MAX = 16_384

export function createEarlyAnswers (app: FastifyInstance, kept: KeptAnswers): EarlyAnswers {
  const { cache, policyOf } = kept
  const keys = new BoundedMap<string, string>(KNOWN_MAX)
  const seen = createSeenBefore(SEEN_MAX)

  function send (request: FastifyRequest, reply: FastifyReply, { value, coding, body, ageMs }: Found): void {
    const { method } = request
    const asked = coding === null ? method : `${method} ${coding}`
    let lines = value.lines.get(asked)
    if (lines === undefined) {
      const headers = Object.entries(keptHeaders(value, { method, status: 'HIT', coding }))
      value.lines.set(asked, lines = headers.map(([name, text]) => `${name}: ${text}\r\n`).join(''))
    }
    cache.countHit()
    const age = `age: ${Math.floor(ageMs / 1000)}\r\n`
    app.sendPrepared(request, reply, { status: 200, lines: lines + age, body })
  }

  /** By the bytes of the request, or else by what they say. */
  function keyOf (request: FastifyRequest, transaction: Transaction): string | null {
    const text = textOf(request, transaction)
    if (text === null) return null
    const known = keys.get(text)
    if (known !== undefined) return known
    const asked = transaction.body === null ? null : readPlain(request.headers['content-type'], transaction.body)
    const policy = asked === null ? null : policyOf(request, asked)
    if (asked === null || policy === null) return null
    const key = kept.keyOf(request, asked, policy)
    // Anonymous callers have one text for all of them: what belongs to one of them is never found by it.
    const isOfAll = policy.isShared || transaction.principal !== null
    if (isOfAll && seen.note(text)) keys.set(text, key)
    return key
  }

  return {
    answer (request, reply, pass) {
      const { headers, transaction } = request
      if (transaction === null || headers['x-neko-cost'] !== undefined) return false
      if (headers['if-none-match'] !== undefined || !app.mayPrepare(request, reply)) return false
      const key = keyOf(request, transaction)
      const entry = key === null ? undefined : cache.peek(key)
      if (entry === undefined) return false
      const { value, storedAtMs } = entry
      const coding = codingFor(value, headers)
      const body = bodyAtHand(value, coding)
      if (body === null) return false
      const found = { value, coding, body, ageMs: app.clock.monotonic() - storedAtMs }
      const { principal } = transaction
      const paid = app.limits.takeCost(principal?.tier ?? 'standard', countedAs(transaction), 1)
      if (!(paid instanceof Promise)) {
        // The ordinary way says what is wrong.
        if (!paid.allowed) return false
        send(request, reply, found)
        return true
      }
      // The ordinary way looks at everything anew, also where the connection has changed meanwhile.
      paid.then(({ allowed }) => allowed && app.mayPrepare(request, reply) ? send(request, reply, found) : pass())
        .catch((error: Error) => {
          app.log.error({ err: error, requestId: request.id }, 'an early answer failed')
          reply.raw.destroy()
        })
      return true
    },
    learn (request, { key, isShared }) {
      const { transaction } = request
      if (transaction === null || (!isShared && transaction.principal === null)) return
      const text = textOf(request, transaction)
      if (text !== null) keys.set(text, key)
    }
  }
}

/**
 * An operation as the route would read it (read-request.ts); null for whatever the route or a hook before it would
 * refuse, or might read otherwise.
 */
function readPlain (type: string | undefined, body: Uint8Array): GraphqlRequest | null {
  if (type === undefined || !PLAIN_TYPE.test(type)) return null
  try {
    const text = (body as Buffer).toString('utf8')
    const read = JSON.parse(text) as unknown
    if (!isPlainObject(read) || faultOfKeys(read) !== null || namesPersisted(read.extensions)) return null
    const asked = readMembers(read)
    return decoyAnswer(asked.query) === null && !touchesDecoy(asked.query) ? asked : null
  } catch {
    return null
  }
}

/** Such a request is looked at more closely (persisted-queries.ts). */
function namesPersisted (extensions: unknown): boolean {
  return isPlainObject(extensions) && extensions.persistedQuery !== undefined
}

const PLAIN_TYPE = /^application\/json(?:; ?charset=utf-8)?$/

/** All that decides what a request asks for, and of which scope its caller is; null for one that is not plain. */
function textOf ({ raw, headers }: FastifyRequest, { principal, client, body, target }: Transaction): string | null {
  const isPost = raw.method === 'POST'
  if (isPost ? body === null || target !== '/graphql' : body !== null || raw.method !== 'GET') return null
  const type = headers['content-type'] ?? ''
  const accept = headers.accept ?? ''
  const length = target.length + type.length + accept.length + (body?.length ?? 0)
  if (length > KNOWN_CHARACTERS_MAX) return null
  // An answer for one caller alone is never another's: whoever is signed in has a text of its own.
  const caller = principal === null ? '' : `${client} ${scopeOf(principal)}`
  const asked = body === null ? target : (body as Buffer).toString('latin1')
  return `${raw.method} ${caller.length} ${type.length} ${accept.length} ${caller}${type}${accept}${asked}`
}
