import t from 'tap'
import { Redis } from 'ioredis'
import { request } from 'undici'
import { showFigure } from '../bar.ts'
import { PASSWORD, asAdmin, createTestClient, dataOf, makeKey } from './client.ts'
import type { TestClient } from './client.ts'
import { startServer } from '../server.ts'
import type { StartedServer } from '../server.ts'
import { skipWithoutRedis, startRedis } from '../services/redis.ts'

/**
 * FLUSHALL under load, and a Redis that comes back empty. Nothing that must last lives there: blocks and revocations
 * stay in force in every process of both hosts, a client gets at most one window more, and what is decided
 * afterwards still reaches the other host.
 */
/** Ends a test that would hang. */
const HANGS_MS = 20_000
const LIMIT = 150
const BLOCKED = '203.0.113.9'
const BUSY = '203.0.113.50'
const READ = JSON.stringify({ query: '{ threatCounts { category count } }' })

/** Status of an ordinary request, over a connection of its own, so that every process is asked. */
async function ask (server: StartedServer, from: string, headers: Record<string, string> = {}): Promise<number> {
  const response = await request(`${server.url}/graphql`, { method: 'POST', body: READ, headers: { 'content-type': 'application/json', 'user-agent': 'r19/1.0', accept: '*/*', 'x-forwarded-for': from, connection: 'close', ...headers } })
  await response.body.dump()
  return response.statusCode
}

async function statuses (server: StartedServer, from: string, headers?: Record<string, string>): Promise<number[]> {
  return await Promise.all(Array.from({ length: 10 }, () => ask(server, from, headers)))
}

/** Milliseconds until every process answers so; Infinity when they do not within `ms`. */
async function untilAll (server: StartedServer, from: string, status: number, ms = HANGS_MS): Promise<number> {
  const startMs = performance.now()
  for (;;) {
    const askedMs = performance.now() - startMs
    if ((await statuses(server, from)).every((one) => one === status)) return askedMs
    if (askedMs > ms) return Infinity
  }
}

const blockAddress = async (admin: TestClient, value: string): Promise<unknown> => await dataOf(admin.graphql('mutation ($v: String!) { addDecision(scope: IP, value: $v, action: BLOCK, reason: "test") { id } }', { v: value }))

t.test('Redis is emptied under load, and restarted empty: decisions and revocations survive, and new ones travel', { skip: skipWithoutRedis }, async (t) => {
  const redis = await startRedis(t)
  const env = { REDIS_URL: redis.url, JWT_SECRET: 'the secret of this test, long enough for it', TRUST_PROXY: '127.0.0.1/32', ADMIN_PASSWORD: PASSWORD, LOG_LEVEL: 'warn', RATE_LIMIT_STANDARD: `${LIMIT}/60/0`, RATE_LIMIT_STRICT: '1000/60/0', RATE_LIMIT_RELAXED: '100000/60/0', ENFORCEMENT: 'enforce' }
  const [here, there] = await Promise.all([startServer(t, { env: { ...env, WORKERS: '2' } }), startServer(t, { env: { ...env, WORKERS: '1' } })])
  const admin = await asAdmin(createTestClient(t, here))
  const key = await makeKey(admin, ['read'])
  const withKey = { 'x-api-key': key.key }
  await blockAddress(admin, BLOCKED)
  t.ok(await untilAll(there, BLOCKED, 403) < Infinity, 'the block reached the other host')
  await dataOf(admin.graphql('mutation ($id: ID!) { revokeApiKey(id: $id) { id } }', { id: key.id }))
  t.ok((await statuses(here, '198.51.100.1')).every((status) => status === 200))

  const seen: Record<'blocked' | 'revoked' | 'busy', number[]> = { blocked: [], revoked: [], busy: [] }
  let stop = false
  const load = Promise.all([here, there].map(async (server) => {
    while (!stop) {
      const [blocked, revoked, ...busy] = await Promise.all([ask(server, BLOCKED), ask(here, '198.51.100.2', withKey), ...Array.from({ length: 8 }, () => ask(server, BUSY))])
      seen.blocked.push(blocked)
      seen.revoked.push(revoked)
      seen.busy.push(...busy)
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  }))
  const operator = new Redis(redis.port, '127.0.0.1')
  t.teardown(() => operator.disconnect())
  const until = async (what: () => boolean): Promise<void> => { for (let i = 0; i < 3_000 && !what(); i++) await new Promise((resolve) => setTimeout(resolve, 20)) }
  await until(() => seen.busy.includes(429) || seen.busy.length > 2 * LIMIT)
  t.ok(seen.busy.includes(429), 'the limit is used up')
  const before = seen.busy.length
  await operator.flushall()
  await until(() => seen.busy.length > before + LIMIT / 2)
  await operator.flushall()
  await until(() => seen.busy.length > before + 2 * LIMIT)
  stop = true
  await load
  t.ok(seen.blocked.every((status) => status === 403), `the block held in ${seen.blocked.length} of ${seen.blocked.length} requests`)
  t.ok(seen.revoked.every((status) => status === 401 || status === 429), 'so did the revocation')
  t.ok(seen.busy.every((status) => status === 200 || status === 429), `no other answers: ${[...new Set(seen.busy)].join(' ')}`)
  const admitted = seen.busy.filter((status) => status === 200).length
  t.ok(admitted <= 2 * LIMIT, `at most one window more: ${admitted} of ${2 * LIMIT} (${seen.busy.length} asked)`)

  await blockAddress(admin, '203.0.113.10')
  const afterFlushMs = await untilAll(there, '203.0.113.10', 403)
  t.ok(afterFlushMs < Infinity, 'a new block reaches the other host')
  showFigure(t, 'a new block reaches the other host', afterFlushMs, 1_000)

  await redis.kill()
  await blockAddress(admin, '203.0.113.11')
  const alone = await untilAll(here, '203.0.113.11', 403)
  t.ok(alone < Infinity, 'without Redis, in every process of the host')
  showFigure(t, 'without Redis, in every process of the host', alone, 1_000)
  await redis.start()
  for (const server of [here, there]) t.ok((await statuses(server, BLOCKED)).every((status) => status === 403), 'the old block stands')
  const backMs = performance.now()
  // What is said before the hosts have found Redis again is lost (these two share no store): it is said anew.
  let travelled = Infinity
  for (let i = 20; travelled === Infinity && performance.now() - backMs < 60_000; i++) {
    await blockAddress(admin, `203.0.113.${i}`)
    travelled = await untilAll(there, `203.0.113.${i}`, 403, 1_000)
  }
  t.ok(travelled < Infinity, `and new ones travel again: ${Math.round(performance.now() - backMs)} ms after Redis came back`)
  showFigure(t, 'new ones travel', travelled, 1_000)
  t.ok((await statuses(here, '198.51.100.2', withKey)).every((status) => status === 401 || status === 429), 'the revoked key stays revoked')
})
