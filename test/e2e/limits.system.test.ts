import { once } from 'node:events'
import { Agent, request, type IncomingMessage } from 'node:http'
import t from 'tap'
import { PASSWORD, asAdmin, createTestClient, dataOf, makeKey } from './client.ts'
import type { Reply, TestClient } from './client.ts'
import { until } from '../processes/load.ts'
import { startServer } from '../server.ts'
import { openApp } from '../transaction/app.ts'

/** Tiers, 429s, standing decisions and shadow, as deploy/reference.md promises them. */
const SHORT = { RATE_LIMIT_STANDARD: '20/60/60', RATE_LIMIT_RELAXED: '40/60/0', RATE_LIMIT_MAX: '60', RATE_LIMIT_TTL: '60' }
/** Ends a test that would hang. */
const HANGS_MS = 20_000
const ATTACK = encodeURIComponent("1' UNION SELECT username, password FROM users WHERE 1=1--")

interface Receipt { action: string, source: string, score: number, factors: unknown[], decision: { id: string } | null }
async function receiptOf (admin: TestClient, reply: Reply): Promise<Receipt | null> {
  return (await dataOf<{ assessment: Receipt | null }>(admin.graphql('query ($id: ID!) { assessment(id: $id) { action source score factors { name } decision { id } } }', { id: reply.headers['x-neko-assessment'] }))).assessment
}

async function drain (call: () => Promise<Reply>, count: number): Promise<Reply[]> {
  return await Promise.all(Array.from({ length: count }, call))
}

const two = await startServer(t, { env: { EXPOSE_SCORE: 'true', RATE_LIMIT_STRICT: '3/60/60', TRUST_PROXY: '127.0.0.1', WORKERS: '2', ADMIN_PASSWORD: PASSWORD, LOG_LEVEL: 'warn' } })

/** Until every process answers the address so; each is asked over a connection of its own. */
async function untilAll (client: TestClient, address: string, status: number): Promise<void> {
  await until(`${status} for ${address}`, async () => {
    const replies = await Promise.all(Array.from({ length: 8 }, () => client.ask('/nothing', { headers: { 'x-forwarded-for': address, connection: 'close' } })))
    return replies.every((reply) => reply.status === status)
  }, HANGS_MS)
}

t.test('each tier admits exactly its number, and says so', async (t) => {
  const server = await openApp(t, { ...SHORT, ADMIN_PASSWORD: PASSWORD })
  const client = createTestClient(t, server)
  const admin = await asAdmin(client)
  const key = client.as({ 'x-api-key': (await makeKey(admin, ['read'])).key })
  for (const [tier, who, max, used] of [['service', key, 60, 0], ['relaxed', admin, 40, 1], ['standard', client, 20, 1]] as const) {
    const replies = await drain(() => who.graphql('{ health { status } }'), max + 5)
    const admitted = replies.filter(({ status }) => status === 200)
    t.equal(admitted.length, max - used, `${tier}: ${max} at once`)
    for (const { headers } of replies) {
      t.match(headers, { 'x-ratelimit-limit': String(max), 'x-ratelimit-remaining': /^\d+$/, 'x-ratelimit-reset': /^[1-9]\d*$/, ratelimit: new RegExp(`^"${tier}";r=\\d+;t=\\d+$`), 'ratelimit-policy': `"${tier}";q=${max};w=60` })
    }
    const refused = replies.filter(({ status }) => status === 429)
    t.equal(refused.length, 5 + used)
    for (const { headers, json } of refused) {
      t.match(headers, { 'retry-after': /^[1-9]\d*$/, 'x-ratelimit-remaining': '0' })
      t.match(json, { errors: [{ extensions: { code: 'NEKO_ERR_LIMIT_EXCEEDED', retryAfterSeconds: Number(headers['retry-after']), assessment: headers['x-neko-assessment'] } }] })
    }
  }
  const rest = await client.ask('/nothing')
  t.match(rest, { status: 429, json: { error: { code: 'NEKO_ERR_LIMIT_EXCEEDED', retryAfterSeconds: Number } } }, 'the body of REST')
  t.match(await client.ask('/health'), { status: 200 })
})

t.test('a script without an agent that asks one after the other gets its whole number; a blocked one sees its score; a limited login is counted', async (t) => {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  t.teardown(() => agent.destroy())
  const statuses: Array<number | undefined> = []
  for (let i = 0; i < 110; i++) {
    const asking = request(`${two.url}/graphql?query=%7Bhealth%7Bstatus%7D%7D`, { agent, headers: { 'x-forwarded-for': '198.51.100.20' } })
    asking.end()
    const [answer] = await once(asking, 'response') as [IncomingMessage]
    statuses.push(answer.statusCode)
    answer.resume()
    await once(answer, 'end')
  }
  t.same([statuses.filter((status) => status === 200).length, statuses.filter((status) => status === 429).length], [100, 10])

  const client = createTestClient(t, two)
  const admin = await asAdmin(client)
  await admin.graphql('mutation { addDecision(scope: IP, value: "198.51.100.21", action: BLOCK, ttlSeconds: 60, reason: "test") { id } }')
  await untilAll(client, '198.51.100.21', 403)
  t.match((await client.as({ 'x-forwarded-for': '198.51.100.21' }).ask('/nothing')).headers, { 'x-neko-score': '0', 'x-neko-action': 'BLOCK', 'x-neko-factors': '' }, 'refused before it was scored')
  const login = await client.graphql(`mutation { login(username: "admin", password: "${PASSWORD}") { accessToken } }`)
  t.match(login.headers, { 'cache-control': 'no-store' })
  for (let i = 0; i < 2; i++) await client.graphql('mutation { login(username: "admin", password: "not the password") { accessToken } }')
  const metrics = await (await fetch(`${two.metricsUrl}/metrics`)).text()
  t.match(metrics, /neko_limit_decisions_total\{tier="strict",result="refused",store="(?:primary|local)"\} [1-9]/)
})

t.test('what a wide query did not use is free again for the next one, whichever process takes it', async (t) => {
  const client = createTestClient(t, two)
  // Charged 1,101 of 2,000 before it runs, and some 80 after.
  const wide = '{ threatActors(first: 100) { nodes { name techniques { id } references { url } } } }'
  for (const address of ['198.51.100.31', '198.51.100.32', '198.51.100.33']) {
    for (let i = 0; i < 8; i++) t.match(await client.graphql(wide, {}, { connection: 'close', 'x-forwarded-for': address }), { status: 200 }, `${address}, request ${i + 1}`)
  }
})

t.test('a refusal by a limit or a decision has a receipt, and stops nobody else', async (t) => {
  const server = await startServer(t, { env: { RATE_LIMIT_STANDARD: '20/60/60', TRUST_PROXY: '127.0.0.1', WORKERS: '2', ADMIN_PASSWORD: PASSWORD, LOG_LEVEL: 'warn' } })
  const client = createTestClient(t, server)
  const admin = await asAdmin(client)
  const from = (address: string): TestClient => client.as({ 'x-forwarded-for': address })
  const replies = await drain(() => from('198.51.100.7').ask('/nothing'), 50)
  const last = replies.find(({ status }) => status === 429)
  t.ok(last !== undefined)
  t.match(await receiptOf(admin, last!), { action: 'BLOCK', source: 'limit', score: 0, factors: [], decision: null })
  t.equal((await from('198.51.100.8').ask('/nothing')).status, 404, 'a neighbour goes on')

  const { addDecision } = await dataOf<{ addDecision: { id: string } }>(admin.graphql('mutation { addDecision(scope: IP, value: "198.51.100.9", action: BLOCK, ttlSeconds: 60, reason: "test") { id } }'))
  await untilAll(client, '198.51.100.9', 403)
  const blocked = await drain(() => from('198.51.100.9').ask('/nothing'), 16)
  t.same(new Set(blocked.map(({ status }) => status)), new Set([403]))
  t.match(blocked[0]!.json, { error: { code: 'NEKO_ERR_BLOCKED', assessment: blocked[0]!.headers['x-neko-assessment'] } })
  t.match((await from('198.51.100.9').graphql('{ health { status } }')).json, { errors: [{ extensions: { code: 'NEKO_ERR_BLOCKED' } }] })
  for (const reply of blocked.slice(0, 4)) t.match(await receiptOf(admin, reply), { action: 'BLOCK', source: 'decision', score: 0, factors: [], decision: { id: addDecision.id } }, 'whichever process minted it')
  t.equal((await from('198.51.100.8').ask('/nothing')).status, 404)
  await dataOf(admin.graphql('mutation ($id: ID!) { removeDecision(id: $id) { id } }', { id: addDecision.id }))
  await untilAll(client, '198.51.100.9', 404)
})

t.test('shadow: every verdict is computed and shown, and nobody is refused by it', async (t) => {
  const server = await openApp(t, { ENFORCEMENT: 'shadow', EXPOSE_SCORE: 'true', ADMIN_PASSWORD: PASSWORD })
  const client = createTestClient(t, server)
  const admin = await asAdmin(client)
  const attacker = client.as({ 'x-forwarded-for': '203.0.113.5', 'user-agent': 'sqlmap/1.8' })
  for (let i = 0; i < 12; i++) {
    const reply = await attacker.ask(`/products?id=${i}${ATTACK}`)
    t.equal(reply.status, 404)
    t.match(reply.headers, { 'x-neko-action': 'BLOCK' })
    if (i === 0) t.match(await dataOf(admin.graphql('query ($id: ID!) { assessment(id: $id) { action simulated } }', { id: reply.headers['x-neko-assessment'] })), { assessment: { action: 'BLOCK', simulated: true } })
  }
  t.equal((await attacker.ask('/nothing', { headers: { 'user-agent': 'Mozilla/5.0' } })).status, 404, 'no standing block')
  const { decisions } = await dataOf<{ decisions: { nodes: Array<{ simulated: boolean }> } }>(admin.graphql('{ decisions { nodes { simulated action value } } }'))
  t.ok(decisions.nodes.every(({ simulated }) => simulated), JSON.stringify(decisions.nodes))
})

t.test('enforced: an attacker of grade certain is blocked as a client, by itself', async (t) => {
  const server = await openApp(t, { ADMIN_PASSWORD: PASSWORD })
  const client = createTestClient(t, server)
  const attacker = client.as({ 'x-forwarded-for': '203.0.113.5', 'user-agent': 'sqlmap/1.8' })
  t.equal((await attacker.ask(`/products?id=${ATTACK}`)).status, 403)
  await until('blocked as a client', async () => (await attacker.ask('/nothing', { headers: { 'user-agent': 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0' } })).status === 403, HANGS_MS)
  const admin = await asAdmin(client)
  t.match(await dataOf(admin.graphql('{ decisions { nodes { value action simulated } } }')), { decisions: { nodes: [{ value: '203.0.113.5', action: 'BLOCK', simulated: false }] } })
})
