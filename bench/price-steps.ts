/**
 * What does `bench/price.ts` measure? Tables: each step is a server process of its own and the one kind of request it
 * gets, and each part is what one step costs above another. A step more is a line more.
 */
import { COUNTER } from './raw-load.ts'

/** What a browser sends with a call. Nothing is compressed: that is a price of its own. */
export const BROWSER = {
  'User-Agent': 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36',
  Accept: 'application/json',
  'Accept-Language': 'en-US,en;q=0.9',
  'Accept-Encoding': 'identity'
}

export const COUNTS = '{ threatCounts { category count } }'
export const ACTORS = '{ threatActors(first: 20) { nodes { id name aliases country category } } }'
/** An address under a standing block; in no range of the load's own. */
export const BLOCKED = '203.0.113.9'

interface Load {
  method: string
  path: string
  headers: Record<string, string>
  body: string | null
  /** Null: each request is another client's. */
  address: string | null
  /** Of every answer; anything else is an error of the bench. */
  status: number
}

const get = (path: string): Load => ({ method: 'GET', path, headers: BROWSER, body: null, address: null, status: 200 })
/** `more`: other members of the body. */
export const post = (query: string, more: object = {}): Load => ({
  method: 'POST',
  path: '/graphql',
  headers: { ...BROWSER, 'Content-Type': 'application/json' },
  body: JSON.stringify({ query, ...more }),
  address: null,
  status: 200
})

export const LOADS = {
  live: get('/health/live'),
  /** The same bytes each time, but for the client's address. */
  counts: post(COUNTS),
  /** Another payload each time, with the same document in it. */
  payloads: post(COUNTS, { extensions: { call: COUNTER } }),
  /** Another document each time, which asks for the same. */
  documents: post(`# ${COUNTER}\n${COUNTS}`),
  actors: post(ACTORS),
  /** Its body is not read, so that its connection ends with it. */
  blocked: { ...post(COUNTS), address: BLOCKED, status: 403 },
  'blocked-get': { ...get(`/graphql?query=${encodeURIComponent(COUNTS)}`), address: BLOCKED, status: 403 }
} satisfies Record<string, Load>

export type Server =
  /** bench/baseline.ts: one fixed answer. */
  | { kind: 'baseline', name: 'http' | 'fastify' }
  /** A program of bench/rivals; one of `own` packages needs what is installed there. */
  | { kind: 'rival', file: string, parts: string[], own: boolean }
  /** NEKO in production, all else at its default. `node`: options of its Node. */
  | { kind: 'neko', env: Record<string, string>, node?: string[] }

export interface Step {
  name: string
  server: Server
  load: keyof typeof LOADS
  /** The step it is compared with beside `BARE`. */
  against?: string
}

/** GraphQL and nothing else: what all figures are compared with. */
export const BARE = 'mercurius'

const mercurius = (...parts: string[]): Server => ({ kind: 'rival', file: 'mercurius.ts', parts, own: false })
const nest: Server = { kind: 'rival', file: 'nest.mjs', parts: [], own: true }
const neko = (env: Record<string, string> = {}): Server => ({ kind: 'neko', env })
/** Answers about actors are executed for each request. */
const uncached = neko({ CACHE_TTL_LONG: '0' })

export const STEPS: readonly Step[] = [
  { name: 'http', server: { kind: 'baseline', name: 'http' }, load: 'counts' },
  { name: 'fastify', server: { kind: 'baseline', name: 'fastify' }, load: 'counts' },
  { name: BARE, server: mercurius(), load: 'counts' },
  { name: 'mercurius-payloads', server: mercurius(), load: 'payloads' },
  { name: 'mercurius-documents', server: mercurius(), load: 'documents' },
  { name: 'mercurius-actors', server: mercurius(), load: 'actors' },
  { name: 'mercurius-headers', server: mercurius('headers'), load: 'counts' },
  { name: 'mercurius-limits', server: mercurius('headers', 'limits'), load: 'counts' },
  { name: 'nest', server: nest, load: 'counts', against: 'neko' },
  { name: 'nest-actors', server: nest, load: 'actors', against: 'neko-actors' },
  { name: 'neko', server: neko(), load: 'counts' },
  { name: 'neko-inline', server: neko({ SCORING_MODE: 'inline' }), load: 'counts', against: 'neko' },
  { name: 'neko-acted', server: neko({ LOG_REQUESTS: 'acted' }), load: 'counts', against: 'neko' },
  { name: 'neko-quiet', server: neko({ LOG_LEVEL: 'warn' }), load: 'counts', against: 'neko' },
  {
    name: 'neko-quiet-inline',
    server: neko({ LOG_LEVEL: 'warn', SCORING_MODE: 'inline' }),
    load: 'counts',
    against: 'neko-quiet'
  },
  { name: 'neko-payloads', server: neko(), load: 'payloads', against: 'mercurius-payloads' },
  { name: 'neko-documents', server: neko(), load: 'documents', against: 'mercurius-documents' },
  { name: 'neko-actors', server: neko(), load: 'actors', against: 'mercurius-actors' },
  { name: 'neko-uncached-actors', server: uncached, load: 'actors', against: 'mercurius-actors' },
  { name: 'neko-live', server: neko(), load: 'live', against: 'fastify' },
  { name: 'neko-blocked', server: neko(), load: 'blocked', against: 'neko-live' },
  { name: 'neko-blocked-acted', server: neko({ LOG_REQUESTS: 'acted' }), load: 'blocked', against: 'neko-live' },
  { name: 'neko-blocked-get', server: neko(), load: 'blocked-get', against: 'neko-live' }
]

/** With --quick. */
export const QUICK_STEPS = ['http', 'fastify', BARE, 'neko', 'neko-quiet', 'neko-quiet-inline']

/** What it is, the step that has it, and the step that is the same without it. */
export const PARTS: ReadonlyArray<readonly [name: string, having: string, without: string]> = [
  ['Fastify', 'fastify', 'http'],
  ['GraphQL', 'mercurius', 'fastify'],
  ['headers (helmet)', 'mercurius-headers', 'mercurius'],
  ['limits (rate-limit)', 'mercurius-limits', 'mercurius-headers'],
  ['all of NEKO above GraphQL', 'neko', 'mercurius'],
  ['lines of all requests', 'neko', 'neko-quiet'],
  ['lines of all but the acted', 'neko', 'neko-acted'],
  ['scoring on a thread, above inline', 'neko-quiet', 'neko-quiet-inline'],
  ['a payload never seen', 'neko-payloads', 'neko'],
  ['a document never seen', 'neko-documents', 'neko'],
  ['a page of actors, of SQLite', 'neko-actors', 'neko'],
  ['the same, executed for each', 'neko-uncached-actors', 'neko'],
  ['the same for mercurius', 'mercurius-actors', 'mercurius'],
  ['a refusal above /health/live', 'neko-blocked', 'neko-live']
]
