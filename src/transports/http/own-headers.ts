import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { limitHeaders } from '../../transaction/limit-headers.ts'
import type { LimitAnswer } from '../../limits/shapes.ts'
import { linesOf } from './header-lines.ts'
import { verdictHeaders } from './verdict-headers.ts'

/**
 * What every answer of ours carries, whatever it says: security headers, the request's id, its receipt, the limit that
 * it counted for, the origin that may read it, and the verdict for who may see it. Said once, in two forms: as headers
 * of a reply, and as lines of a prepared head.
 */
interface OwnHeaders {
  putOn (request: FastifyRequest, reply: FastifyReply): void
  lines (request: FastifyRequest): string
}

export function createOwnHeaders (app: FastifyInstance, constant: Readonly<Record<string, string>>): OwnHeaders {
  const constantLines = linesOf(constant)
  const originLines = new WeakMap<object, string>()

  function originText (request: FastifyRequest): string {
    const headers = app.originHeaders(request)
    if (headers === null) return ''
    let lines = originLines.get(headers)
    // Who may read an answer is its caller's business alone: `vary` of the answer says that already.
    if (lines === undefined) originLines.set(headers, lines = linesOf(headers, 'vary'))
    return lines
  }

  return {
    putOn (request, reply) {
      const { transaction } = request
      reply.header('x-request-id', request.id)
      if (transaction !== null) reply.header('x-neko-assessment', transaction.id)
      reply.headers(constant)
      const origin = app.originHeaders(request)
      if (origin !== null) reply.headers(origin)
      if (transaction?.limit) reply.headers(limitHeaders(transaction.limit))
    },
    lines (request) {
      const { transaction } = request
      let lines = `${constantLines}${originText(request)}x-request-id: ${request.id}\r\n`
      if (transaction === null) return lines
      lines += `x-neko-assessment: ${transaction.id}\r\n`
      if (transaction.limit !== null) lines += limitLines(transaction.limit)
      // A client over a limit is not called an attacker in a header.
      const isJudged = transaction.score !== null || transaction.refusedBy === 'decision'
      const isShown = isJudged && app.maySeeScore(transaction.principal)
      return isShown ? lines + linesOf(verdictHeaders(transaction)) : lines
    }
  }
}

/** As limitHeaders, in one text. */
function limitLines ({ tier, limit, remaining, resetSeconds, windowSeconds }: LimitAnswer): string {
  return `x-ratelimit-limit: ${limit}\r\nx-ratelimit-remaining: ${remaining}\r\n` +
    `x-ratelimit-reset: ${resetSeconds}\r\n` +
    `ratelimit-policy: "${tier}";q=${limit};w=${windowSeconds}\r\n` +
    `ratelimit: "${tier}";r=${remaining};t=${resetSeconds}\r\n`
}
