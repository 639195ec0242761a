import type { FastifyInstance } from 'fastify'
import { asAdmin, bearer, createTestClient, dataOf, PASSWORD, type Reply, type TestClient } from '../../e2e/client.ts'
import type { Teardown } from '../../server.ts'
import { openApp, type TestApp } from '../../transaction/app.ts'

/** The real application with what its answers are kept by, for clients that no limit stops. */
export interface Kept extends TestApp {
  client: TestClient
  admin: TestClient
  /** Anonymous, at an address of its own. */
  at (address: string): TestClient
}

const UNLIMITED = '1000000/60/0'
export const NO_LIMITS = { RATE_LIMIT_STRICT: UNLIMITED, RATE_LIMIT_STANDARD: UNLIMITED, RATE_LIMIT_RELAXED: UNLIMITED, RATE_LIMIT_MAX: '1000000' }

export async function openKept (t: Teardown, environment: Record<string, string> = {}): Promise<Kept> {
  const server = await openApp(t, { ADMIN_PASSWORD: PASSWORD, LOG_LEVEL: 'warn', ...NO_LIMITS, ...environment })
  const client = createTestClient(t, server)
  return { ...server, client, admin: await asAdmin(client), at: (address) => client.as({ 'x-forwarded-for': address }) }
}

/** Somebody who signed in with that role. */
export async function newUser ({ client, admin }: Pick<Kept, 'client' | 'admin'>, name: string, role: string): Promise<{ id: string, user: TestClient, headers: Record<string, string> }> {
  const { createUser: { id } } = await dataOf<{ createUser: { id: string } }>(admin.graphql('mutation ($n: String!, $p: String!, $r: Role!) { createUser(username: $n, password: $p, role: $r) { id } }', { n: name, p: PASSWORD, r: role }))
  const headers = bearer((await client.login(name, PASSWORD)).accessToken)
  return { id, user: client.as(headers), headers }
}

export const statusOf = ({ headers }: Reply): string => String(headers['x-cache'])

/** X-Cache of the same request asked so often. */
export async function statusesOf (ask: () => Promise<Reply>, times = 2): Promise<string[]> {
  const statuses: string[] = []
  for (let i = 0; i < times; i++) statuses.push(statusOf(await ask()))
  return statuses
}

export async function addActor (admin: TestClient, name: string, category = 'UNKNOWN'): Promise<string> {
  const { addThreatActor: { id } } = await dataOf<{ addThreatActor: { id: string } }>(admin.graphql('mutation ($i: ThreatActorInput!) { addThreatActor(input: $i) { id } }', { i: { name, category } }))
  return id
}

/** Of the query string of a GET. */
export function targetOf (query: string, more: Record<string, string> = {}): string {
  return `/graphql?${new URLSearchParams({ query, ...more }).toString()}`
}

/** Requests that were answered at once behind the gate: the rest takes the ordinary way. */
export function countEarly (t: Teardown, app: FastifyInstance): () => number {
  let count = 0
  const own = app.sendPrepared
  app.sendPrepared = (request, reply, answer) => {
    // Refusals are prepared too.
    if (answer.status === 200) count++
    own(request, reply, answer)
  }
  t.teardown(() => { app.sendPrepared = own })
  return () => count
}
