/**
 * What does `bench/price.ts` measure? A table: each step is a server process of its own and the one kind of request it
 * gets. A step more is a line more.
 */
import { COUNTER } from './raw-load.ts'

/** What a browser sends with a call. Nothing is compressed: that is a price of its own. */
const BROWSER = {
  'User-Agent': 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36',
  Accept: 'application/json',
  'Accept-Language': 'en-US,en;q=0.9',
  'Accept-Encoding': 'identity'
}
const JSON_HEADERS = { ...BROWSER, 'Content-Type': 'application/json' }

export const COUNTS = '{ threatCounts { category count } }'
export const ACTORS = '{ threatActors(first: 20) { nodes { id name aliases country category } } }'
/** An address under a standing block; in no range of the load's own. */
export const BLOCKED = '203.0.113.9'

export interface Load {
  method: string
  path: string
  headers: Record<string, string>
  body: string | null
  /** Null: each request is another client's. */
  address: string | null
  /** Of every answer; anything else is an error of the bench. */
  status: number
}

const post = (query: string, extensions?: object): Load => (
  { method: 'POST', path: '/graphql', headers: JSON_HEADERS, body: JSON.stringify({ query, extensions }), address: null, status: 200 }
)

export const LOADS = {
  live: { method: 'GET', path: '/health/live', headers: BROWSER, body: null, address: null, status: 200 },
  /** The same bytes each time, but for the client's address. */
  counts: post(COUNTS),
  /** Another payload each time, for the same document. */
  'counts, each payload': post(COUNTS, { call: COUNTER }),
  /** Another document each time, for the same answer. */
  'counts, each document': post(`# ${COUNTER}\n${COUNTS}`),
  actors: post(ACTORS),
  blocked: { ...post(COUNTS), address: BLOCKED, status: 403 }
} satisfies Record<string, Load>

export type Server =
  | { kind: 'baseline', name: 'http' | 'fastify' }
  | { kind: 'rival', file: string }
  | { kind: 'neko', env: Record<string, string> }

export interface Step { name: string, server: Server, load: keyof typeof LOADS }

const MERCURIUS: Server = { kind: 'rival', file: 'mercurius.ts' }
const neko = (env: Record<string, string> = {}): Server => ({ kind: 'neko', env })

/** Each step is compared with the step of this server that has the same load, where there is one. */
export const COMPARED_WITH = 'mercurius'

export const STEPS: readonly Step[] = [
  { name: 'http', server: { kind: 'baseline', name: 'http' }, load: 'counts' },
  { name: 'fastify', server: { kind: 'baseline', name: 'fastify' }, load: 'counts' },
  { name: 'mercurius', server: MERCURIUS, load: 'counts' },
  { name: 'neko', server: neko(), load: 'counts' }
]
