import { decisiveFactor } from '../detect/decisive-factor.ts'
import { redactAgent, redactPath } from '../receipts/redact.ts'
import { BoundedMap } from '../std/bounded-map.ts'
import type { Clock } from '../std/clock.ts'
import { createPerSecond } from '../std/per-second.ts'
import type { RequestLog } from '../telemetry/logger.ts'
import type { LogLine, Transaction } from './transaction.ts'

/**
 * The one log line of a request, written by hand: its fields are few and known, and none of them can hold a secret, so
 * that nothing is looked through and no object is made (a logger's own way cost 24 us of main for each).
 *
 * Owns: the fields and their order, and which requests leave a line. A blocked or limited flood must not become a flood
 * of lines: what is left out is counted in the next one.
 */
export interface RequestLines { write (transaction: Transaction, line: LogLine): void }

interface RequestLinesParts {
  requests: RequestLog
  clock: Pick<Clock, 'now' | 'monotonic'>
  /** LOG_REQUESTS. */
  which: 'all' | 'acted' | 'off'
}

/** Lines about requests that a standing decision refused, of all clients together. */
const REFUSALS_PER_SECOND = 20
/** Between two lines about requests of one client that its limit refused. */
const LIMITED_EVERY_MS = 1_000
const LIMITED_CLIENTS_MAX = 10_000
/** Of the requests that nothing came of. */
const ACTED_ONE_IN = 100
const PATH_MAX = 200
/** Of addresses and agents that were seen lately, as they are written. */
const TEXTS_MAX = 1_000

export function createRequestLines ({ requests, clock, which }: RequestLinesParts): RequestLines {
  const { head } = requests
  const refusals = createRefusalLines(clock)
  const timeText = createTimeText()
  const pathText = remembered(TEXTS_MAX, (path) => quoted(redactPath(path).slice(0, PATH_MAX)))
  const agentText = remembered(TEXTS_MAX, (agent) => quoted(redactAgent(agent)))
  let passed = 0

  function isWanted (transaction: Transaction, status: number): boolean {
    return which === 'all' || hasActed(transaction, status) || passed++ % ACTED_ONE_IN === 0
  }

  return {
    write (transaction, { requestId, method, route, status, ms }) {
      if (!requests.isOn || which === 'off' || !isWanted(transaction, status)) return
      const unlogged = refusals.take(transaction)
      if (unlogged === null) return
      const { id, client, address, principal, target, headers, refusedBy, score, verdict } = transaction
      let line = `${head}${timeText(clock.now())}","assessment":"${id}","client":${quoted(client)}`
      // An address is its anonymous client's name already.
      if (principal !== null) line += `,"address":${quoted(address ?? '')}`
      if (requestId !== null) line += `,"requestId":${quoted(requestId)}`
      line += `,"method":"${method}","route":${route === null ? 'null' : quoted(route)}`
      line += `,"path":${pathText(pathOf(target))}`
      const agent = agentOf(headers)
      if (agent !== null) line += `,"agent":${agentText(agent)}`
      line += `,"status":${status}`
      if (ms !== null) line += `,"ms":${ms}`
      if (refusedBy !== null) line += `,"refusedBy":"${refusedBy}"`
      if (unlogged > 0) line += `,"unlogged":${unlogged}`
      if (score !== null) {
        const factor = decisiveFactor(score)
        line += `,"score":${score.value},"action":"${verdict?.action ?? ''}"`
        line += factor === null ? ',"factor":null' : `,"factor":"${factor}"`
      }
      requests.write(`${line},"msg":"${transaction.door === 'websocket' ? 'operation' : 'request'}"}`)
    }
  }
}

/** It was challenged, refused, limited, or it failed. */
function hasActed ({ refusedBy, verdict }: Transaction, status: number): boolean {
  return status >= 400 || refusedBy !== null || (verdict !== null && verdict.action !== 'ALLOW')
}

interface RefusalLines {
  /** How many lines were left out before this one; null when this one is left out too. */
  take (transaction: Transaction): number | null
}

function createRefusalLines (clock: Pick<Clock, 'monotonic'>): RefusalLines {
  const decided = createPerSecond(clock, REFUSALS_PER_SECOND)
  const limited = new BoundedMap<string, { saidMs: number, unlogged: number }>(LIMITED_CLIENTS_MAX)
  let unlogged = 0

  function ofDecision (): number | null {
    if (!decided.take()) {
      unlogged++
      return null
    }
    const before = unlogged
    unlogged = 0
    return before
  }

  function ofLimit (client: string): number | null {
    const nowMs = clock.monotonic()
    const last = limited.get(client)
    if (last !== undefined && nowMs - last.saidMs < LIMITED_EVERY_MS) {
      last.unlogged++
      return null
    }
    limited.set(client, { saidMs: nowMs, unlogged: 0 })
    return last === undefined ? 0 : last.unlogged
  }

  return {
    take ({ refusedBy, client }) {
      if (refusedBy === 'decision') return ofDecision()
      return refusedBy === 'limit' ? ofLimit(client) : 0
    }
  }
}

/** RFC 3339 with milliseconds; the text of a second is made once. */
function createTimeText (): (nowMs: number) => string {
  let second = NaN
  let text = ''
  return (nowMs) => {
    const current = Math.floor(nowMs / 1000)
    if (current !== second) {
      second = current
      text = new Date(current * 1000).toISOString().slice(0, -4)
    }
    const ms = nowMs - current * 1000
    return `${text}${ms < 10 ? '00' : ms < 100 ? '0' : ''}${ms}Z`
  }
}

/** Longer texts than these are made anew each time: they are somebody's attempt to fill memory. */
const REMEMBERED_CHARACTERS_MAX = 512

function remembered (max: number, make: (text: string) => string): (text: string) => string {
  const known = new BoundedMap<string, string>(max)
  return (text) => {
    if (text.length > REMEMBERED_CHARACTERS_MAX) return make(text)
    let made = known.get(text)
    if (made === undefined) known.set(text, made = make(text))
    return made
  }
}

function pathOf (target: string): string {
  const mark = target.indexOf('?')
  return mark === -1 ? target : target.slice(0, mark)
}

function agentOf (headers: readonly string[]): string | null {
  for (let i = 0; i + 1 < headers.length; i += 2) {
    const name = headers[i] as string
    if (name.length === 10 && name.toLowerCase() === 'user-agent') return headers[i + 1] as string
  }
  return null
}

/** Characters that JSON may hold as they are; the rest is for JSON.stringify. */
const PLAIN = /^[ !#-[\]-~]*$/

function quoted (text: string): string {
  return PLAIN.test(text) ? `"${text}"` : JSON.stringify(text)
}
