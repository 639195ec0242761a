/**
 * What `bench/cached.ts` asks besides the one request that raw-load.ts repeats: requests of several kinds, each with
 * variables of its own. Every answer is looked into, since an error of GraphQL is a 200, and a cache that keeps nothing
 * answers as well.
 */
import { Pool, type Dispatcher } from 'undici'
import { foldName } from '../src/intel/match.ts'
import { makeCursor } from '../src/storage/cursor.ts'
import type { Actor } from './cached-server.ts'
import { BROWSER } from './price-steps.ts'

/** `token`: of the administrator; null: anonymous, from an address that nobody had before. */
export interface Asked { kind: string, body: string, token: string | null }

/** Of one kind. */
export interface Answered {
  requests: number
  /** By X-Cache. */
  cached: Record<string, number>
  /** Other statuses than 200, and errors in answers. */
  unexpected: Record<string, number>
}

export interface Played { requests: number, seconds: number, byKind: Record<string, Answered> }

interface PlayOptions {
  port: number
  connections: number
  /** Whichever comes first. */
  requestsMax: number
  secondsMax: number
  /** Clients that came before. */
  firstClient: number
  /** The request of a number from 0 on. */
  request (i: number): Asked
}

const PAGE = `query ($first: Int!, $after: String) {
  threatActors(first: $first, after: $after) { nodes { id name aliases country category } }
}`
const ANSWER_MS_MAX = 10_000
const ADMINISTRATOR = '192.0.2.1'

/** Each connection asks again as soon as it has its answer. */
export async function play (options: PlayOptions): Promise<Played> {
  const { port, connections, requestsMax, secondsMax, firstClient, request } = options
  const pool = new Pool(`http://127.0.0.1:${port}`, { connections, pipelining: 1 })
  const byKind: Record<string, Answered> = {}
  const startedMs = performance.now()
  const endMs = startedMs + secondsMax * 1000
  let sent = 0

  async function ask (): Promise<void> {
    while (sent < requestsMax && performance.now() < endMs) {
      const i = sent++
      const { kind, body, token } = request(i)
      const reply = await pool.request({
        method: 'POST',
        path: '/graphql',
        headersTimeout: ANSWER_MS_MAX,
        bodyTimeout: ANSWER_MS_MAX,
        headers: {
          ...BROWSER,
          'Content-Type': 'application/json',
          'X-Forwarded-For': token === null ? addressOf(firstClient + i) : ADMINISTRATOR,
          ...(token === null ? {} : { Authorization: `Bearer ${token}` })
        },
        body
      })
      const text = await reply.body.text()
      note(byKind[kind] ??= { requests: 0, cached: {}, unexpected: {} }, reply, text)
    }
  }

  try {
    await Promise.all(Array.from({ length: connections }, ask))
  } finally {
    await pool.destroy()
  }
  return { requests: sent, seconds: (performance.now() - startedMs) / 1000, byKind }
}

/** A page of actors behind a place in their order that nobody named before: an answer that nobody keeps yet. */
export function pageBehind ({ name, id }: Actor, first: number, nth: number): string {
  // Behind this actor and before the next: there are as many such places as ids.
  const place = { id: `${id}${nth}`, nameKey: foldName(name) }
  return JSON.stringify({ query: PAGE, variables: { first, after: makeCursor([['nameKey', 1]], place) } })
}

/** The first page: the same bytes each time. */
export function firstPage (first: number): string {
  return JSON.stringify({ query: PAGE, variables: { first } })
}

export function unexpectedOf ({ byKind }: Played): Record<string, number> {
  const all: Record<string, number> = {}
  for (const [kind, { unexpected }] of Object.entries(byKind)) {
    for (const [what, times] of Object.entries(unexpected)) all[`${kind}: ${what}`] = times
  }
  return all
}

function note (answered: Answered, { statusCode, headers }: Dispatcher.ResponseData, text: string): void {
  answered.requests++
  const xCache = String(headers['x-cache'])
  answered.cached[xCache] = (answered.cached[xCache] ?? 0) + 1
  const isWhole = statusCode === 200 && text.startsWith('{"data":{') && !text.includes('"errors":')
  if (isWhole) return
  const what = statusCode === 200 ? text.slice(0, 200) : String(statusCode)
  answered.unexpected[what] = (answered.unexpected[what] ?? 0) + 1
}

/** Of 198.18.0.0/15, which is for benchmarks: raw-load.ts has others. */
function addressOf (client: number): string {
  return `198.${18 + (client >> 16 & 1)}.${client >> 8 & 255}.${client & 255}`
}
