import { Agent, request } from 'node:http'
import type { FastifyInstance } from 'fastify'
import type { Principal } from '../../src/identity/shapes.ts'
import type { Assessment } from '../../src/receipts/shapes.ts'
import type { Authority, Transaction } from '../../src/transaction/transaction.ts'
import { createOperations } from '../../src/transports/websocket/operations.ts'
import type { Teardown } from '../server.ts'
import { replace, type TestApp } from './app.ts'

/**
 * The three doors of the walk under one handle: the same GraphQL operation, from the same address with the same
 * headers, and what came of it. What differs between them is said as data, so that one suite runs on all.
 */
export interface Door {
  readonly name: 'http' | 'websocket' | 'assess'
  readonly authority: Authority
  /** Receipt ids of this door and of no other. */
  readonly series: RegExp
  readonly at: TestApp
  /** Resolves when the answer is there and the transaction is settled. */
  ask (asked: Asked): Promise<Came>
}

export interface Asked {
  address: string
  /** Default: one that anybody may ask. */
  query?: string
  variables?: Record<string, unknown>
  holder?: Holder
}

export interface Came {
  /** Of the receipt. */
  id: string
  /** Of the first error; null when there was none. */
  code: string | null
  retryAfterSeconds: number | null
}

/** Somebody with an API key. */
export interface Holder { key: string, principal: Principal }

export const BENIGN = '{ health { status } }'
const SEARCH = 'query ($q: String) { threatActors(search: $q) { totalCount } }'
/** Scores above BLOCK_THRESHOLD, with evidence that is certain. */
export const ATTACK = { query: SEARCH, variables: { q: "1' UNION SELECT username, password FROM users--" } }
/** Between CHALLENGE_THRESHOLD and BLOCK_THRESHOLD. */
export const SUSPECT = { query: SEARCH, variables: { q: '../' } }
/** Scores 22 for its payload, and fails: a probe. */
export const PROBE = { query: 'query ($q: String) { nowhere(q: $q) }', variables: { q: 'select * from' } }

const AGENT = 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0'

let last = 0

/** One that nobody had before, of the block for benchmarks (RFC 2544). */
export function newAddress (): string {
  last++
  return `198.18.${last >> 8}.${last & 255}`
}

/** A person of all scopes who makes keys. */
export const ADMIN: Principal = {
  kind: 'user',
  id: 'us_contract',
  name: 'contract',
  role: 'ADMIN',
  scopes: ['read', 'assess', 'decide', 'manage'],
  tier: 'relaxed',
  sessionId: null,
  clientKey: 'user:us_contract',
  expiresAt: null
}

export async function newHolder (app: FastifyInstance, scopes: string[] = ['read']): Promise<Holder> {
  const { key } = await app.identity.createApiKey(ADMIN, { name: 'contract', scopes, expiresAt: null })
  const credential = await app.identity.authenticate({ 'x-api-key': key })
  if (credential.state !== 'held') throw new Error('a new key does not hold')
  return { key, principal: credential.principal }
}

export function openDoors (t: Teardown, at: TestApp): Door[] {
  const settled = watchSettled(t, at.app)
  return [httpDoor(t, at, settled), websocketDoor(at, settled), assessDoor(at, settled)]
}

/** HTTP, by a proxy on loopback that says whose request it is. */
function httpDoor (t: Teardown, at: TestApp, settled: Settled): Door {
  const agent = new Agent({ keepAlive: true })
  t.teardown(() => agent.destroy())
  return {
    name: 'http',
    authority: 'caller',
    series: /^as_[0-9a-z]{12}_[0-9a-z]{1,10}$/,
    at,
    async ask (asked) {
      const body = bodyOf(asked)
      const answer = await post(at.port, { agent, headers: headersOf(asked, body), body })
      await settled.of(answer.id)
      return cameOf(answer.id, answer.errors)
    }
  }
}

/** Operations of a WebSocket, without the socket: who asks was read when it was opened. */
function websocketDoor (at: TestApp, settled: Settled): Door {
  const run = createOperations(at.app)
  return {
    name: 'websocket',
    authority: 'caller',
    series: /^as_[0-9a-z]{12}_2[0-9a-z]{10}$/,
    at,
    async ask (asked) {
      const body = bodyOf(asked)
      const { query, variables } = JSON.parse(body) as { query: string, variables: Record<string, unknown> }
      const caller = {
        address: asked.address,
        neverBlockApplies: true,
        unnamedProxy: null,
        headers: sharedHeaders(asked),
        requestId: 'contract',
        principal: asked.holder?.principal ?? null
      }
      const operation = { query, variables, operationName: null, extensions: null }
      const came = await run({ asked: operation, text: body, caller, isOver: () => false })
      const errors = came.kind === 'errors' ? came.errors : came.kind === 'result' ? came.result.errors : undefined
      return cameOf(settled.last('websocket').id, errors)
    }
  }
}

/** Samples, which act; a credential among their headers is one that a stranger showed to somebody else. */
function assessDoor (at: TestApp, settled: Settled): Door {
  return {
    name: 'assess',
    authority: 'sample',
    series: /^as_[0-9a-z]{12}_1[0-9a-z]{10}$/,
    at,
    async ask (asked) {
      const body = bodyOf(asked)
      const headers = pairsOf(headersOf(asked, body))
      const sample = { method: 'POST', url: '/graphql', headers, body, ip: asked.address }
      await at.app.assess([sample], { acts: true, submitter: 'key:tests' })
      return cameOf(settled.last('assess').id, undefined)
    }
  }
}

/** The receipt that a transaction left. */
export async function receiptOf ({ at: { app } }: Door, { id }: Pick<Came, 'id'>): Promise<Assessment> {
  const receipt = await app.receipts.get(id)
  if (receipt === null) throw new Error(`there is no receipt ${id}`)
  return receipt
}

interface Settled {
  /** The transaction of that id, once it is settled. */
  of (id: string): Promise<Transaction>
  last (door: Door['name']): Transaction
}

/** HTTP settles when its answer has left, which its client cannot see. */
function watchSettled (t: Teardown, { walk }: FastifyInstance): Settled {
  const settled = new Map<string, Transaction>()
  const waiting = new Map<string, (transaction: Transaction) => void>()
  const settle = walk.settle
  replace(t, walk, 'settle', (transaction, outcome) => {
    settle(transaction, outcome)
    settled.set(transaction.id, transaction)
    waiting.get(transaction.id)?.(transaction)
  })
  return {
    of: async (id) => settled.get(id) ?? await new Promise((resolve) => { waiting.set(id, resolve) }),
    last: (door) => [...settled.values()].findLast((one) => one.door === door) as Transaction
  }
}

interface Errors { readonly [index: number]: { readonly extensions?: unknown } }

function cameOf (id: string, errors: Errors | undefined): Came {
  const { code = null, retryAfterSeconds = null } = (errors?.[0]?.extensions ?? {}) as Partial<Came>
  return { id, code, retryAfterSeconds }
}

function bodyOf ({ query = BENIGN, variables = {} }: Asked): string {
  return JSON.stringify({ query, variables, operationName: null, extensions: null })
}

/** As a browser behind a proxy sends them: what is left of a handshake has no credential and nothing of a body. */
function sharedHeaders ({ address }: Asked): string[] {
  return [
    'Host', 'neko.example', 'User-Agent', AGENT, 'Accept', '*/*', 'Accept-Language', 'en-GB,en;q=0.5',
    'X-Forwarded-For', address
  ]
}

function headersOf (asked: Asked, body: string): string[] {
  const credential = asked.holder === undefined ? [] : ['x-api-key', asked.holder.key]
  const length = String(Buffer.byteLength(body))
  return [...sharedHeaders(asked), ...credential, 'content-type', 'application/json', 'content-length', length]
}

function pairsOf (headers: readonly string[]): Array<[string, string]> {
  return headers.flatMap((name, i) => i % 2 === 0 ? [[name, headers[i + 1] as string] as [string, string]] : [])
}

export interface HttpAnswer {
  status: number
  id: string
  headers: NodeJS.Dict<string | string[]>
  errors: Errors | undefined
}

interface Post { agent?: Agent, headers: string[], body: string }

/** A POST to /graphql with exactly these headers. */
export async function post (port: number, { agent, headers, body }: Post): Promise<HttpAnswer> {
  const options = { host: '127.0.0.1', port, method: 'POST', path: '/graphql', headers }
  return await new Promise((resolve, reject) => {
    const sent = request(agent === undefined ? options : { ...options, agent })
    sent.once('error', reject).once('response', (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (chunk: string) => { text += chunk }).once('error', reject)
      response.once('end', () => resolve({
        status: response.statusCode as number,
        id: response.headers['x-neko-assessment'] as string,
        headers: response.headers,
        errors: (JSON.parse(text) as { errors?: Errors }).errors
      }))
    })
    sent.end(body)
  })
}
