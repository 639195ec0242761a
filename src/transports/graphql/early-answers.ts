import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { BoundedMap } from '../../std/bounded-map.ts'
import { countedAs } from '../../transaction/cross-site.ts'
import type { Transaction } from '../../transaction/transaction.ts'
import { scopeOf } from './answer-key.ts'
import { keptHeaders } from './answer-headers.ts'
import type { KeptAnswers } from './kept-answers.ts'
import { bodyAtHand, codingFor, type Coding, type KeptAnswer } from './kept-answer.ts'

/**
 * Kept answers for requests that were answered from the cache before, byte for byte the same: at once behind the gate,
 * before anything parses them again.
 *
 * Owns: which bytes of a request, from callers of which scope, ask for which kept answer. Never does: judge, or answer
 * what is not plain; whatever it does not know goes the ordinary way, which learns it.
 *
 * Why that is sound: what a route of ours makes of a request (its document, its variables, a refusal for its keys or
 * type) follows from its method, target, content type, Accept and body, and from nothing else. Some 1.5 us.
 */
interface EarlyAnswers {
  /** For `answerEarly` of the route (transports/http/gate.ts). */
  answer (request: FastifyRequest, reply: FastifyReply, pass: () => void): boolean
  /** These bytes were answered with the kept answer of this key, for the caller alone where it is not shared. */
  learn (request: FastifyRequest, answer: { key: string, isShared: boolean }): void
}

interface Found { value: KeptAnswer, coding: Coding | null, body: string | Buffer, ageMs: number }

/** Requests that are known: some 6 MiB. */
const KNOWN_MAX = 2_000
const KNOWN_CHARACTERS_MAX = 2_048

export function createEarlyAnswers (app: FastifyInstance, { cache }: Pick<KeptAnswers, 'cache'>): EarlyAnswers {
  const keys = new BoundedMap<string, string>(KNOWN_MAX)
  const hits = app.metrics.cacheRequestsTotal.labels('graphql', 'hit')

  function send (request: FastifyRequest, reply: FastifyReply, { value, coding, body, ageMs }: Found): void {
    hits.inc()
    const { method } = request
    const asked = coding === null ? method : `${method} ${coding}`
    let lines = value.lines.get(asked)
    if (lines === undefined) {
      const headers = Object.entries(keptHeaders(value, { method, status: 'HIT', coding }))
      value.lines.set(asked, lines = headers.map(([name, text]) => `${name}: ${text}\r\n`).join(''))
    }
    app.sendPrepared(request, reply, { lines: `${lines}age: ${Math.floor(ageMs / 1000)}\r\n`, body })
  }

  return {
    answer (request, reply, pass) {
      const { headers, transaction } = request
      if (transaction === null || headers['x-neko-cost'] !== undefined) return false
      if (headers['if-none-match'] !== undefined || !app.mayPrepare(request, reply)) return false
      const text = textOf(request, transaction)
      const key = text === null ? undefined : keys.get(text)
      const entry = key === undefined ? undefined : cache.peek(key)
      if (entry === undefined) return false
      const { value, storedAtMs } = entry
      const coding = codingFor(value, headers['accept-encoding'])
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
      paid.then(({ allowed }) => allowed ? send(request, reply, found) : pass(), pass)
      return true
    },
    learn (request, { key, isShared }) {
      const { transaction } = request
      // All anonymous callers have the same text.
      if (transaction === null || (!isShared && transaction.principal === null)) return
      const text = textOf(request, transaction)
      if (text !== null) keys.set(text, key)
    }
  }
}

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
