import t, { type Test } from 'tap'
import { showFigure } from '../bar.ts'
import { until } from '../processes/load.ts'
import { PASSWORD, asAdmin, bearer, createTestClient, dataOf, makeKey } from './client.ts'
import type { TestClient } from './client.ts'
import { makeDataDir, startServer } from '../server.ts'
import type { StartedServer } from '../server.ts'

/**
 * What was ended is refused by every process at once, and stays so after a restart: a session that was
 * logged out, one of a disabled user, a role that was taken away, a revoked key, a refresh token used twice.
 */
const env = { WORKERS: '2', ADMIN_PASSWORD: PASSWORD, LOG_LEVEL: 'warn', RATE_LIMIT_STRICT: '1000/60/0', RATE_LIMIT_STANDARD: '100000/60/0', RATE_LIMIT_RELAXED: '100000/60/0', RATE_LIMIT_MAX: '100000', ENFORCEMENT: 'shadow' }
const ME = '{ me { role scopes } }'

/** Statuses over connections of their own, so that every process is asked. */
async function statuses (client: TestClient, query: string): Promise<Set<number>> {
  const replies = await Promise.all(Array.from({ length: 8 }, () => client.graphql(query, {}, { connection: 'close' })))
  return new Set(replies.map(({ status }) => status))
}

/** Until all processes answer with this status. */
async function settles (t: Test, title: string, client: TestClient, query: string, status: number): Promise<void> {
  const startMs = performance.now()
  await until(`${title}: ${status} of every process`, async () => {
    const seen = await statuses(client, query)
    return seen.size === 1 && seen.has(status)
  }, 20_000)
  showFigure(t, title, performance.now() - startMs, 1000)
}

t.test('what was ended is refused everywhere, and after a restart', async (t) => {
  const dataDir = makeDataDir(t)
  let server: StartedServer = await startServer(t, { env, dataDir })
  let client = createTestClient(t, server)
  const admin = await asAdmin(client)
  const people = new Map<string, { id: string, accessToken: string, refreshToken: string }>()
  for (const name of ['leaver', 'fired', 'demoted', 'reused', 'renewed', 'banned', 'stays']) {
    const { createUser } = await dataOf<{ createUser: { id: string } }>(admin.graphql('mutation ($u: String!, $p: String!) { createUser(username: $u, password: $p, role: ANALYST) { id } }', { u: name, p: PASSWORD }))
    people.set(name, { id: createUser.id, ...await client.login(name, PASSWORD) })
  }
  const as = (name: string): TestClient => client.as(bearer(people.get(name)!.accessToken))
  const key = await makeKey(admin, ['read'])
  for (const name of people.keys()) t.same(await statuses(as(name), ME), new Set([200]), name)
  t.same(await statuses(client.as({ 'x-api-key': key.key }), ME), new Set([200]))

  const timed: Array<[title: string, end: () => Promise<unknown>, who: () => TestClient, query: string, status: number]> = [
    ['logout', () => dataOf(as('leaver').graphql('mutation { logout }')), () => as('leaver'), ME, 401],
    ['a disabled user', () => dataOf(admin.graphql('mutation ($id: ID!) { disableUser(id: $id) { id } }', { id: people.get('fired')!.id })), () => as('fired'), ME, 401],
    ['a role taken away', () => dataOf(admin.graphql('mutation ($id: ID!) { setUserRole(id: $id, role: VIEWER) { role } }', { id: people.get('demoted')!.id })), () => as('demoted'), 'mutation { removeDecision(id: "none") { id } }', 403],
    ['a changed password', () => dataOf(as('renewed').graphql('mutation ($o: String!, $n: String!) { changePassword(currentPassword: $o, newPassword: $n) }', { o: PASSWORD, n: `${PASSWORD} anew` })), () => as('renewed'), ME, 401],
    ['a decision about a user', () => dataOf(admin.graphql('mutation ($id: String!) { addDecision(scope: USER, value: $id, action: BLOCK, reason: "ended") { id } }', { id: people.get('banned')!.id })), () => as('banned'), ME, 403],
    ['a revoked key', () => dataOf(admin.graphql('mutation ($id: ID!) { revokeApiKey(id: $id) { id } }', { id: key.id })), () => client.as({ 'x-api-key': key.key }), ME, 401]
  ]
  for (const [title, end, who, query, status] of timed) {
    await end()
    await settles(t, title, who(), query, status)
  }
  const refresh = (token: string): ReturnType<TestClient['graphql']> => client.graphql('mutation ($t: String!) { refreshToken(refreshToken: $t) { accessToken refreshToken } }', { t: token })
  const renewed = await dataOf<{ refreshToken: { accessToken: string } }>(refresh(people.get('reused')!.refreshToken))
  t.equal((await refresh(people.get('reused')!.refreshToken)).status, 401, 'a refresh token twice')
  await settles(t, 'ends the whole family', client.as(bearer(renewed.refreshToken.accessToken)), ME, 401)
  t.equal((await refresh(people.get('leaver')!.refreshToken)).status, 401, 'nor may a logged-out session go on')

  t.equal(await server.stop(), 0)
  server = await startServer(t, { env: { ...env, WORKERS: '1' }, dataDir })
  client = createTestClient(t, server)
  for (const name of ['leaver', 'fired', 'reused', 'renewed']) t.same(await statuses(as(name), ME), new Set([401]), `${name}, after a restart`)
  t.same(await statuses(client.as(bearer(renewed.refreshToken.accessToken)), ME), new Set([401]))
  t.same(await statuses(client.as({ 'x-api-key': key.key }), ME), new Set([401]), 'the key, after a restart')
  t.same(await statuses(as('banned'), ME), new Set([403]), 'the decision, after a restart')
  t.same(await statuses(as('stays'), ME), new Set([200]), 'who was not ended goes on')
  t.equal((await client.graphql('mutation ($u: String!, $p: String!) { login(username: $u, password: $p) { accessToken } }', { u: 'fired', p: PASSWORD })).status, 401)
})
