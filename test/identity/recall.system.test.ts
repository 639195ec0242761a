import t from 'tap'
import { createTestClock } from '../../src/std/clock.ts'
import { PASSWORD, asAdmin, bearer, createTestClient, makeKey } from '../e2e/client.ts'
import type { Reply, TestClient } from '../e2e/client.ts'
import { startServer } from '../server.ts'
import { ADDRESS, ADMIN_PASSWORD, held, openRoom } from './room.ts'

/** Bad credentials of an address must not take away what holds there, and must not cost any cryptography. */
const authorization = (token: string): { authorization: string } => ({ authorization: `Bearer ${token}` })
/** Another last character of the payload: the signature is one that is known. */
const tampered = (token: string): string => token.replace(/.(?=\.[^.]*$)/, (last) => last === 'A' ? 'B' : 'A')

t.test('100 bad tokens and keys of a shared address do not turn credentials that hold into 429, whichever process answers', async (t) => {
  const server = await startServer(t, { env: { WORKERS: '2', ADMIN_PASSWORD: PASSWORD, LOG_LEVEL: 'warn', RATE_LIMIT_STANDARD: '100/60/60', RATE_LIMIT_RELAXED: '100000/60/0' } })
  const client = createTestClient(t, server)
  const admin = await asAdmin(client)
  const key = client.as({ 'x-api-key': (await makeKey(admin, ['read'])).key })
  const { accessToken } = await client.login('admin', PASSWORD)
  const ask = (who: TestClient): Promise<Reply> => who.graphql('{ me { tier } }', {}, { connection: 'close' })
  const bad = (i: number): Promise<Reply> => ask(client.as(i % 2 === 0 ? bearer(`${accessToken.slice(0, -30)}${'A'.repeat(26)}${1000 + i}`) : { 'x-api-key': `neko_${'0'.repeat(16)}_${'0'.repeat(36)}${1000 + i}` }))
  const statuses = (await Promise.all(Array.from({ length: 130 }, (_, i) => bad(i)))).map(({ status }) => status)
  t.ok(statuses.includes(401))
  t.equal((await bad(130)).status, 429, 'what nobody knows is refused')
  for (const [title, who] of [['a token that was used', admin], ['one that was not used yet', client.as(bearer(accessToken))], ['a key', key]] as const) {
    const replies = await Promise.all(Array.from({ length: 12 }, () => ask(who)))
    t.same(replies.map(({ status }) => status), Array(12).fill(200), title)
  }
  await admin.graphql('mutation { logout }')
  t.equal((await ask(admin)).status, 429, 'what was ended is known no more')
})

t.test('only what holds now is recalled, from memory alone, in every process', async (t) => {
  const clock = createTestClock()
  const { identity, sibling, bus, admin } = await openRoom(t, { clock })
  const other = await sibling()
  const login = async (): Promise<string> => (await identity.login({ username: 'admin', password: ADMIN_PASSWORD, address: ADDRESS })).accessToken
  const by = await admin()
  const { key, apiKey } = await identity.createApiKey(by, { name: 'k', scopes: ['read'], expiresAt: clock.now() + 3_600_000 })
  const token = await login()
  for (const one of [identity, other]) {
    t.match(one.recall(authorization(token)), { state: 'held', principal: { name: 'admin' } })
    t.match(one.recall({ 'x-api-key': key }), { state: 'held', principal: { id: apiKey.id } })
    const none = ['', 'x', 'x'.repeat(100_000), tampered(token), token.slice(0, -1), `${token.slice(0, -21)}${'A'.repeat(21)}`, key]
    for (const text of none) t.equal(one.recall(authorization(text)), null, `token ${text.slice(0, 30)}`)
    for (const text of [...none.slice(0, 3), token, `${key.slice(0, -1)}!`, `neko_${'0'.repeat(16)}_${'0'.repeat(40)}`, key.replace(/.$/, (last) => last === 'a' ? 'b' : 'a')]) t.equal(one.recall({ 'x-api-key': text }), null, `key ${text.slice(0, 30)}`)
    t.equal(one.recall({ ...authorization(token), 'x-api-key': key }), null, 'two credentials')
    t.equal(one.recall({}), null)
  }
  bus.cut(true)
  const unheard = await login()
  t.equal(other.recall(authorization(unheard)), null, 'a process that never heard of a token does not recall it')
  held(await other.authenticate(authorization(unheard)))
  t.ok(other.recall(authorization(unheard)), 'but does once it was used there')
  bus.cut(false)
  const ended = await login()
  await identity.logout(held(await identity.authenticate(authorization(ended))))
  await identity.revokeApiKey(by, apiKey.id)
  for (const one of [identity, other]) {
    t.equal(one.recall(authorization(ended)), null, 'a session that ended')
    t.equal(one.recall({ 'x-api-key': key }), null, 'a revoked key')
  }
  clock.advance(900_000)
  for (const one of [identity, other]) t.equal(one.recall(authorization(token)), null, 'an expired token')
  const last = await login()
  await identity.changePassword(held(await identity.authenticate(authorization(last))), { currentPassword: ADMIN_PASSWORD, newPassword: `${ADMIN_PASSWORD} anew` })
  for (const one of [identity, other]) t.equal(one.recall(authorization(last)), null, 'a token from before a new password')
  identity.setSecrets(['another secret that is long enough to sign'])
  t.equal(identity.recall(authorization(last)), null, 'a secret that is gone')
})
