import t from 'tap'
import { ADDRESS, codeOf, held, openRoom } from './room.ts'

const OPERATOR = { actor: 'system', origin: 'cli' }
const NEXT = 'a phrase nobody printed'

t.test('a password given by the operator opens changePassword and nothing else', async (t) => {
  const { identity, sibling, admin, login, audit } = await openRoom(t)
  const other = await sibling()
  const by = await admin()
  const before = await login()
  const { key } = await identity.createApiKey(by, { name: 'x', scopes: ['read', 'manage'], expiresAt: null })
  const { person, password } = await other.resetPassword('Admin', OPERATOR)
  t.match(person, { username: 'admin', role: 'ADMIN' })
  t.match(password, /^[0-9a-z]{24}$/)
  for (const process of [identity, other]) t.match(await process.authenticateToken(before.accessToken), { state: 'refused' }, 'all sessions are over')
  t.equal(await codeOf(identity.refresh({ refreshToken: before.refreshToken, address: ADDRESS })), 'NEKO_ERR_UNAUTHENTICATED')
  t.equal(await codeOf(login()), 'NEKO_ERR_UNAUTHENTICATED', 'and so is the password')
  t.same(held(await other.authenticate({ 'x-api-key': key })).scopes, ['read', 'manage'], 'keys stay')

  const first = await identity.login({ username: 'admin', password, address: ADDRESS })
  for (const process of [identity, other, await sibling()]) t.match(held(await process.authenticateToken(first.accessToken)), { scopes: [], mustChangePassword: true, role: 'ADMIN' })
  const refreshed = await other.refresh({ refreshToken: first.refreshToken, address: ADDRESS })
  const asAdmin = held(await identity.authenticateToken(refreshed.accessToken))
  t.same(asAdmin.scopes, [], 'also when it is refreshed')
  t.equal(await codeOf(identity.changePassword(asAdmin, { currentPassword: password, newPassword: password })), 'NEKO_ERR_INPUT_INVALID', 'it must be another one')
  await identity.changePassword(asAdmin, { currentPassword: password, newPassword: NEXT })
  t.match(await other.authenticateToken(refreshed.accessToken), { state: 'refused' })
  t.equal(await codeOf(identity.login({ username: 'admin', password, address: ADDRESS })), 'NEKO_ERR_UNAUTHENTICATED', 'once')
  const own = held(await other.authenticateToken((await identity.login({ username: 'admin', password: NEXT, address: ADDRESS })).accessToken))
  t.same(own.scopes, ['read', 'assess', 'decide', 'manage'])
  t.equal(own.mustChangePassword, undefined)

  t.match(audit.events.filter(({ type }) => type === 'user.password.reset'), [{ actor: 'system', target: `user:${person.id}`, outcome: 'ok', details: { origin: 'cli' } }])
  t.notMatch(JSON.stringify(audit.events), new RegExp(password))
})

t.test('nobody is given a password who is not there, or while it cannot be recorded', async (t) => {
  const { identity, audit, login } = await openRoom(t)
  for (const name of ['', 'nobody', 'x'.repeat(10_000), '__proto__', '{"$ne":null}', 'admin\0']) {
    t.equal(await codeOf(identity.resetPassword(name, OPERATOR)), 'NEKO_ERR_NOT_FOUND', name.slice(0, 20))
    t.equal(await codeOf(identity.personOf(name)), 'NEKO_ERR_NOT_FOUND')
  }
  audit.fail(true)
  t.equal(await codeOf(identity.resetPassword('admin', OPERATOR)), 'NEKO_ERR_AUDIT_UNAVAILABLE')
  t.ok((await login()).accessToken, 'nothing was changed')
})
