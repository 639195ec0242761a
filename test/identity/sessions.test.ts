import t from 'tap'
import { createTestClock } from '../../src/std/clock.ts'
import { userCollection } from '../../src/identity/collections.ts'
import type { User } from '../../src/identity/shapes.ts'
import { ADDRESS, ADMIN_PASSWORD, codeOf, held, olderHash, openRoom } from './room.ts'

t.test('a login gives tokens that name the caller', async (t) => {
  const { identity, login, config } = await openRoom(t)
  const tokens = await login()
  const principal = held(await identity.authenticate({ authorization: `Bearer ${tokens.accessToken}` }))
  t.match(principal, { kind: 'user', name: 'admin', role: 'ADMIN', scopes: ['read', 'assess', 'decide', 'manage'], tier: 'relaxed' })
  t.equal(principal.clientKey, `user:${principal.id}`)
  t.equal(config.jwtExpirationSeconds, 900)
  t.notOk(identity.authenticate({ authorization: `Bearer ${tokens.accessToken}` }) instanceof Promise, 'from memory, at once')
})

t.test('wrong passwords, unknown and disabled users get one and the same answer', async (t) => {
  const { identity, admin, audit } = await openRoom(t)
  const by = await admin()
  const bob = await identity.createUser(by, { username: 'Bob', password: 'bobs long password', role: 'VIEWER' })
  await identity.disableUser(by, bob.id)
  for (const [username, password] of [['admin', 'wrong wrong wrong'], ['nobody', ADMIN_PASSWORD], ['bob', 'bobs long password'], ['', ''], ['a'.repeat(5000), 'x'], ["' or 1=1", 'x']] as Array<[string, string]>) {
    t.equal(await codeOf(identity.login({ username, password, address: ADDRESS })), 'NEKO_ERR_UNAUTHENTICATED', username.slice(0, 20))
  }
  t.equal(await codeOf(identity.login({ username: 'admin', password: 'x'.repeat(257), address: ADDRESS })), 'NEKO_ERR_INPUT_INVALID')
  t.notMatch(JSON.stringify(audit.events), /wrong wrong|bobs long|a long enough|or 1=1/, 'nothing typed is in the trail')
  t.ok(audit.events.some((event) => event.type === 'login' && event.outcome === 'refused'))
})

t.test('a refresh token is good once; the second use ends the family, access tokens included', async (t) => {
  const { identity, login } = await openRoom(t)
  const first = await login()
  const second = await identity.refresh({ refreshToken: first.refreshToken, address: ADDRESS })
  held(await identity.authenticateToken(second.accessToken))
  t.equal(await codeOf(identity.refresh({ refreshToken: first.refreshToken, address: ADDRESS })), 'NEKO_ERR_UNAUTHENTICATED')
  t.match(await identity.authenticateToken(second.accessToken), { state: 'refused' })
  t.match(await identity.authenticateToken(first.accessToken), { state: 'refused' })
  t.equal(await codeOf(identity.refresh({ refreshToken: second.refreshToken, address: ADDRESS })), 'NEKO_ERR_UNAUTHENTICATED')
})

t.test('of two refreshes at once at most one gets an answer, and the family ends', async (t) => {
  const { identity, login } = await openRoom(t)
  const { refreshToken } = await login()
  const results = await Promise.allSettled([1, 2].map(() => identity.refresh({ refreshToken, address: ADDRESS })))
  const won = results.filter((result) => result.status === 'fulfilled').map((result) => result.value)
  t.ok(won.length <= 1)
  for (const { accessToken } of won) t.match(await identity.authenticateToken(accessToken), { state: 'refused' })
  for (const token of [refreshToken, ...won.map((tokens) => tokens.refreshToken)]) t.equal(await codeOf(identity.refresh({ refreshToken: token, address: ADDRESS })), 'NEKO_ERR_UNAUTHENTICATED')
})

t.test('who only knows a session id cannot end the session with an invented token', async (t) => {
  const { identity, login } = await openRoom(t)
  const { refreshToken, accessToken } = await login()
  const parts = refreshToken.split('_')
  parts[3] = '0'.repeat(24)
  t.equal(await codeOf(identity.refresh({ refreshToken: parts.join('_'), address: ADDRESS })), 'NEKO_ERR_UNAUTHENTICATED')
  for (const nonsense of ['', 'nekr_', accessToken, 'x'.repeat(100_000), '__proto__']) {
    t.equal(await codeOf(identity.refresh({ refreshToken: nonsense, address: ADDRESS })), 'NEKO_ERR_UNAUTHENTICATED')
  }
  held(await identity.authenticateToken(accessToken))
  await identity.refresh({ refreshToken, address: ADDRESS })
})

t.test('access tokens end with their time, refresh families after seven days', async (t) => {
  const clock = createTestClock()
  const { identity, login } = await openRoom(t, { clock })
  const first = await login()
  clock.advance(899_000)
  held(await identity.authenticateToken(first.accessToken))
  clock.advance(1_000)
  t.match(await identity.authenticateToken(first.accessToken), { state: 'refused', reason: 'expired' })
  const second = await identity.refresh({ refreshToken: first.refreshToken, address: ADDRESS })
  clock.advance(7 * 86_400_000)
  t.equal(await codeOf(identity.refresh({ refreshToken: second.refreshToken, address: ADDRESS })), 'NEKO_ERR_UNAUTHENTICATED')
})

t.test('logout ends the access token and the refresh family, and nobody else', async (t) => {
  const { identity, login } = await openRoom(t)
  const [mine, other] = [await login(), await login()]
  const principal = held(await identity.authenticateToken(mine.accessToken))
  t.equal(await identity.logout(principal), true)
  t.match(await identity.authenticateToken(mine.accessToken), { state: 'refused', reason: 'revoked' })
  t.equal(identity.holds(principal), false)
  t.equal(await codeOf(identity.refresh({ refreshToken: mine.refreshToken, address: ADDRESS })), 'NEKO_ERR_UNAUTHENTICATED')
  held(await identity.authenticateToken(other.accessToken))
})

t.test('a new password ends all sessions, and asks for the old one', async (t) => {
  const { identity, login } = await openRoom(t)
  const mine = await login()
  const principal = held(await identity.authenticateToken(mine.accessToken))
  t.equal(await codeOf(identity.changePassword(principal, { currentPassword: 'not the one it is', newPassword: 'another long password' })), 'NEKO_ERR_UNAUTHENTICATED')
  t.equal(await codeOf(identity.changePassword(principal, { currentPassword: ADMIN_PASSWORD, newPassword: 'short' })), 'NEKO_ERR_INPUT_INVALID')
  await identity.changePassword(principal, { currentPassword: ADMIN_PASSWORD, newPassword: 'another long password' })
  t.match(await identity.authenticateToken(mine.accessToken), { state: 'refused', reason: 'revoked' })
  t.equal(await codeOf(identity.refresh({ refreshToken: mine.refreshToken, address: ADDRESS })), 'NEKO_ERR_UNAUTHENTICATED')
  t.equal(await codeOf(login()), 'NEKO_ERR_UNAUTHENTICATED')
  // In the same second as the change: generations count, not times.
  const next = await identity.login({ username: 'ADMIN', password: 'another long password', address: ADDRESS })
  held(await identity.authenticateToken(next.accessToken))
})

t.test('a password stored with older parameters is hashed anew at the next login', async (t) => {
  const { storage, login, identity } = await openRoom(t)
  const users = storage.collection<User>(userCollection)
  const user = await users.findOne({ usernameKey: 'admin' }) as User
  await users.put({ ...user, passwordHash: olderHash(ADMIN_PASSWORD) })
  const { accessToken } = await login()
  t.match((await users.get(user.id))?.passwordHash, /^\$argon2id\$v=19\$m=19456,t=2,p=1\$/)
  held(await identity.authenticateToken(accessToken))
})

t.test('two credentials, empty and foreign ones are refused; none at all is absent', async (t) => {
  const { identity, login } = await openRoom(t)
  const { accessToken } = await login()
  t.match(identity.authenticate({}), { state: 'absent' })
  for (const authorization of ['', 'Bearer', 'Bearer ', 'Basic YWRtaW46YWRtaW4=', accessToken, `Bearer  ${accessToken}`, `Bearer ${accessToken} `, `Bearer ${accessToken}, Bearer ${accessToken}`]) {
    t.match(await identity.authenticate({ authorization }), { state: 'refused' }, authorization.slice(0, 20))
  }
  t.match(await identity.authenticate({ authorization: `Bearer ${accessToken}`, 'x-api-key': 'neko_a_b' }), { state: 'refused', reason: 'two credentials' })
  held(await identity.authenticate({ authorization: `bearer ${accessToken}` }))
})
