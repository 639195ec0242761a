import t, { type Test } from 'tap'
import { showFigure } from '../bar.ts'
import { until } from '../processes/load.ts'
import { makeDataDir, startServer } from '../server.ts'
import { connect } from '../transports/websocket/client.ts'
import { PASSWORD, asAdmin, bearer, createTestClient, dataOf, makeKey, type TestClient } from './client.ts'

/** Keys and their makers on a server of two workers: over HTTP, on sockets that are open, and after a restart. */
const env = { WORKERS: '2', ADMIN_PASSWORD: PASSWORD, LOG_LEVEL: 'warn', RATE_LIMIT_STRICT: '1000/60/0', RATE_LIMIT_STANDARD: '100000/60/0' }

/** What all processes come to say: over connections of their own. */
async function settles (t: Test, client: TestClient, query: string, hold: (text: string) => boolean): Promise<boolean> {
  const startMs = performance.now()
  await until('all processes agree', async () => (await Promise.all(Array.from({ length: 12 }, () => client.graphql(query, {}, { connection: 'close' })))).every(({ text }) => hold(text)), 20_000)
  showFigure(t, 'all processes agree after', performance.now() - startMs, 1_000)
  return true
}

t.test('the key of a disabled administrator neither brings its maker back nor does anything else', async (t) => {
  const dataDir = makeDataDir(t)
  let server = await startServer(t, { env, dataDir })
  let client = createTestClient(t, server)
  const admin = await asAdmin(client)
  const { createUser: { id } } = await dataOf<{ createUser: { id: string } }>(admin.graphql('mutation ($p: String!) { createUser(username: "zoe", password: $p, role: ADMIN) { id } }', { p: PASSWORD }))
  const { users: { nodes } } = await dataOf<{ users: { nodes: Array<{ id: string, username: string }> } }>(admin.graphql('{ users { nodes { id username } } }'))
  const rootId = nodes.find(({ username }) => username === 'admin')!.id
  const key = await makeKey(client.as(bearer((await client.login('zoe', PASSWORD)).accessToken)), ['read', 'decide', 'manage'], 'hers')
  let asKey = client.as({ 'x-api-key': key.key })
  const peer = await (await connect(t, server, { headers: { 'x-api-key': key.key } })).init()
  peer.subscribe('1', 'subscription { decisionChanged { id } }')

  await dataOf(admin.graphql('mutation ($id: ID!) { setUserRole(id: $id, role: ANALYST) { role } }', { id }))
  t.ok(await settles(t, asKey, '{ me { scopes } }', (text) => text.includes('"scopes":["read","decide"]')), 'a lower role caps it in every process')
  t.match(await peer.closed, { code: 4403 }, 'and what was open with more than that is over')
  t.match(await asKey.graphql('mutation ($id: ID!) { setUserRole(id: $id, role: ADMIN) { role } }', { id }), { status: 403 })

  await dataOf(admin.graphql('mutation ($id: ID!) { setUserRole(id: $id, role: ADMIN) { role } }', { id }))
  const replaced = await (await connect(t, server, { headers: { 'x-api-key': key.key } })).init()
  replaced.subscribe('1', 'subscription { decisionChanged { id } }')
  const { rotateApiKey } = await dataOf<{ rotateApiKey: { key: string } }>(admin.graphql('mutation ($id: ID!) { rotateApiKey(id: $id, overlapSeconds: 0) { key } }', { id: key.id }))
  t.match(await replaced.closed, { code: 4403 }, 'what was opened with a secret that is over is over too')
  asKey = client.as({ 'x-api-key': rotateApiKey.key })
  const again = await (await connect(t, server, { headers: { 'x-api-key': rotateApiKey.key } })).init()
  again.subscribe('1', 'subscription { decisionChanged { id } }')
  await dataOf(admin.graphql('mutation ($id: ID!) { disableUser(id: $id) { id } }', { id }))
  const disabledMs = performance.now()
  t.ok(await settles(t, asKey, '{ me { scopes } }', (text) => text.includes('NEKO_ERR_UNAUTHENTICATED')), 'a disabled maker ends it in every process')
  t.match(await again.closed, { code: 4403 })
  t.comment(`the socket closed ${Math.round(performance.now() - disabledMs)} ms after`)
  for (const [verb, target] of [['enableUser', id], ['disableUser', rootId]] as const) {
    t.match(await asKey.graphql(`mutation ($id: ID!) { ${verb}(id: $id) { id } }`, { id: target }), { status: 401 }, verb)
  }

  await server.stop()
  server = await startServer(t, { env: { ...env, WORKERS: '1' }, dataDir })
  client = createTestClient(t, server)
  const back = await asAdmin(client)
  await dataOf(back.graphql('mutation ($id: ID!) { enableUser(id: $id) { id } }', { id }))
  t.ok(await settles(t, client.as({ 'x-api-key': rotateApiKey.key }), '{ me { scopes } }', (text) => text.includes('NEKO_ERR_UNAUTHENTICATED')), 'nor does a restart, or enabling, bring it back')
  const { users } = await dataOf<{ users: { nodes: Array<{ username: string, apiKeys: object[] }> } }>(back.graphql('{ users { nodes { username apiKeys { id name revokedAt } } } }'))
  t.match(users.nodes.find(({ username }) => username === 'zoe'), { apiKeys: [{ id: key.id, name: 'hers', revokedAt: /^20\d\d-/ }] }, 'which keys fell is shown beside the user')
})
