/**
 * How many database reads are saved under a mixed load: 80 % cached reads, 15 % uncached ones, 5 % mutations? Reads are
 * counted at the driver (driver-probe.ts), and compared with the documents that the answers hold: whoever remembers
 * nothing reads each of them. The same requests go to a server that keeps no answers, whose room of actors remembers
 * what it read (intel/shown-actors.ts): what that one reads less is not the work of kept answers.
 *
 * Cached and uncached reads are the same page of 20 actors; what is uncached names a place that nobody named before.
 * Mutations change decisions, of which no kept answer says anything, or actors, each change of which ends every kept
 * page. With many connections changes come in groups, whose records are synced together, and a page is computed once
 * for the group; with one connection each change ends it anew, which is the worst case.
 */
import {
  firstPage, pageBehind, play, unexpectedOf, type Answered, type Asked, type Played
} from './cached-requests.ts'
import { readsIn, startProbed, type ProbedServer } from './cached-server.ts'
import type { Reading } from './driver-probe.ts'

type Mutation = 'decisions' | 'actors'
type Kind = 'cached' | 'uncached' | 'mutation'

interface Side {
  requests: number
  perSecond: number
  /** Database reads per 1,000 requests of the mix, and documents that their answers hold. */
  reads: number
  documents: number
  readsByTable: Record<string, number>
  /** Database reads of one request of each kind, asked alone, one after the other. */
  alone: Record<Kind, number>
  byKind: Record<string, Answered>
}

export interface Mix {
  mutation: Mutation
  connections: number
  on: Side
  off: Side
  /** Share of the documents that were not read for their answer. */
  saved: number
  unexpected: Record<string, number>
}

export const SAVED_BAR = 0.8
const CACHE_OFF = { CACHE_TTL: '0', CACHE_TTL_SHORT: '0', CACHE_TTL_MEDIUM: '0', CACHE_TTL_LONG: '0' }
/** The administrator makes all mutations: one client, far beyond what one may, at a pace that is no person's. */
const UNTIRING = { RATE_LIMIT_RELAXED: '9999999/60/0', CHALLENGE_THRESHOLD: '100', BLOCK_THRESHOLD: '100' }
const FIRST = 20
/** Of each 20 requests: 16 cached, 3 uncached, 1 mutation. */
const ORDER: readonly Kind[] = Array.from({ length: 20 }, (_, i) =>
  i === 9 ? 'mutation' : i % 7 === 4 ? 'uncached' : 'cached')
const REQUESTS_MAX = 1_000_000
const ALONE = 50

export async function measureMixes (options: Omit<MixOptions, 'mutation'>): Promise<Mix[]> {
  return [
    await measureMix({ ...options, mutation: 'decisions' }),
    await measureMix({ ...options, mutation: 'actors' }),
    await measureMix({ ...options, mutation: 'actors', connections: 1 })
  ]
}

interface MixOptions { directory: string, mutation: Mutation, seconds: number, connections: number }

async function measureMix (options: MixOptions): Promise<Mix> {
  const on = await measureSide(options, {})
  const off = await measureSide(options, CACHE_OFF)
  return {
    mutation: options.mutation,
    connections: options.connections,
    on: on.side,
    off: off.side,
    saved: 1 - on.side.reads / on.side.documents,
    unexpected: { ...on.unexpected, ...off.unexpected }
  }
}

async function measureSide (
  { directory, mutation, seconds, connections }: MixOptions,
  env: Record<string, string>
): Promise<{ side: Side, unexpected: Record<string, number> }> {
  const server = await startProbed(directory, { ...UNTIRING, ...env })
  let asked = 0
  /** Never asked twice on this server, whoever asks. */
  const request = (kind: Kind): Asked => requestOf({ server, mutation, kind, nth: asked++ })
  const isOdd: Array<Record<string, number>> = []

  async function readsOf (work: () => Promise<Played>): Promise<{ played: Played, before: Reading, after: Reading }> {
    const before = await server.read()
    const played = await work()
    isOdd.push(unexpectedOf(played))
    return { played, before, after: await server.read() }
  }

  async function readsAlone (kind: Kind): Promise<number> {
    const { port } = server
    const { before, after } = await readsOf(() => play({
      port, connections: 1, requestsMax: ALONE, secondsMax: seconds, firstClient: asked, request: () => request(kind)
    }))
    return (readsIn(after) - readsIn(before)) / ALONE
  }

  try {
    // Once without counting: what is kept from then on is there.
    await readsAlone('cached')
    const alone = {
      cached: await readsAlone('cached'),
      uncached: await readsAlone('uncached'),
      mutation: await readsAlone('mutation')
    }
    const { played, before, after } = await readsOf(() => play({
      port: server.port,
      connections,
      requestsMax: REQUESTS_MAX,
      secondsMax: seconds,
      firstClient: asked,
      request: (i) => request(ORDER[i % ORDER.length] as Kind)
    }))
    const { cached, uncached } = played.byKind
    const pages = (cached?.requests ?? 0) + (uncached?.requests ?? 0)
    const side = {
      requests: played.requests,
      perSecond: played.requests / played.seconds,
      reads: 1000 * (readsIn(after) - readsIn(before)) / played.requests,
      documents: 1000 * FIRST * pages / played.requests,
      readsByTable: byTable(before, after, played.requests),
      alone,
      byKind: played.byKind
    }
    return { side, unexpected: Object.assign({}, ...isOdd) as Record<string, number> }
  } finally {
    await server.stop()
  }
}

function requestOf (
  { server, mutation, kind, nth }: { server: ProbedServer, mutation: Mutation, kind: Kind, nth: number }
): Asked {
  const { actors, token } = server
  // The last actors have no whole page behind them.
  const actor = actors[nth % (actors.length - FIRST)]!
  switch (kind) {
    case 'cached': return { kind, body: firstPage(FIRST), token: null }
    case 'uncached': return { kind, body: pageBehind(actor, FIRST, nth), token: null }
    case 'mutation': return { kind, body: mutation === 'actors' ? actorChange(actor.id, nth) : decision(nth), token }
  }
}

/** About addresses that nobody asks from. */
function decision (nth: number): string {
  const query = `mutation ($value: String!) {
    addDecision(scope: IP, value: $value, action: BLOCK, ttlSeconds: 600, reason: "measured") { id }
  }`
  const value = `100.${64 + (nth >> 16 & 63)}.${nth >> 8 & 255}.${nth & 255}`
  return JSON.stringify({ query, variables: { value } })
}

function actorChange (id: string, nth: number): string {
  const query = 'mutation ($id: ID!, $input: ThreatActorPatch!) { updateThreatActor(id: $id, input: $input) { id } }'
  return JSON.stringify({ query, variables: { id, input: { motivation: `Measured for the ${nth}th time` } } })
}

/** Per 1,000 requests, the most first. */
function byTable (before: Reading, after: Reading, requests: number): Record<string, number> {
  const rows = Object.entries(after.readsByTable)
    .map(([table, reads]): [string, number] => [table, 1000 * (reads - (before.readsByTable[table] ?? 0)) / requests])
    .filter(([, reads]) => reads > 0)
  return Object.fromEntries(rows.sort(([, a], [, b]) => b - a))
}
