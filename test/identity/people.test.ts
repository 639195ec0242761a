import t from 'tap'
import { may } from '../../src/identity/access.ts'
import { lockCollection, userCollection } from '../../src/identity/collections.ts'
import { SCOPES_BY_ROLE, type Scope, type User } from '../../src/identity/shapes.ts'
import { ADDRESS, codeOf, held, openRoom } from './room.ts'

t.test('may: a scope is held or it is not, and nobody holds none', (t) => {
  const scopes: Scope[] = ['read', 'assess', 'decide', 'manage']
  t.same(scopes.map((scope) => may({ scopes: SCOPES_BY_ROLE.VIEWER }, scope)), [true, false, false, false])
  t.same(scopes.map((scope) => may({ scopes: SCOPES_BY_ROLE.ANALYST }, scope)), [true, true, true, false])
  t.same(scopes.map((scope) => may({ scopes: SCOPES_BY_ROLE.ADMIN }, scope)), [true, true, true, true])
  t.same(scopes.map((scope) => may(null, scope)), [false, false, false, false])
  t.end()
})

t.test('users are made once, whatever the case of their name, and never shown with their hash', async (t) => {
  const { identity, admin, audit } = await openRoom(t)
  const by = await admin()
  const bob = await identity.createUser(by, { username: 'Bob', password: 'bobs long password', role: 'VIEWER' })
  t.same(Object.keys(bob).sort(), ['createdAt', 'disabled', 'id', 'role', 'updatedAt', 'username'])
  t.equal(await codeOf(identity.createUser(by, { username: 'bOB', password: 'bobs long password', role: 'VIEWER' })), 'NEKO_ERR_STORE_DUPLICATE')
  for (const username of ['', ' ', 'a b', 'x'.repeat(65), 'a\0b', '$ne', '../etc']) {
    t.equal(await codeOf(identity.createUser(by, { username, password: 'bobs long password', role: 'VIEWER' })), 'NEKO_ERR_INPUT_INVALID', JSON.stringify(username))
  }
  t.equal(await codeOf(identity.createUser(by, { username: 'eve', password: 'short', role: 'VIEWER' })), 'NEKO_ERR_INPUT_INVALID')
  const page = await identity.listUsers(10, null)
  t.equal(page.items.length, 2)
  t.equal(await identity.countUsers(), 2)
  t.notMatch(JSON.stringify([page, audit.events]), /argon2|bobs long/)
  t.ok(audit.events.some((event) => event.type === 'user.create' && event.actor === by.clientKey && event.target === `user:${bob.id}`))
})

t.test('of two made at once with one name, one is', async (t) => {
  const { identity, admin, sibling, audit } = await openRoom(t)
  const by = await admin()
  const other = await sibling()
  const codes = await Promise.all([identity, other].map((process) => codeOf(process.createUser(by, { username: 'bob', password: 'bobs long password', role: 'VIEWER' }))))
  t.same(codes.sort(), ['NEKO_ERR_STORE_DUPLICATE', 'none'])
  t.ok(audit.events.filter((event) => event.type === 'user.create' && event.outcome === 'failed').length <= 1)
})

t.test('the last active administrator can be neither demoted nor disabled', async (t) => {
  const { identity, admin } = await openRoom(t)
  const by = await admin()
  t.equal(await codeOf(identity.setUserRole(by, by.id, 'VIEWER')), 'NEKO_ERR_INPUT_INVALID')
  t.equal(await codeOf(identity.disableUser(by, by.id)), 'NEKO_ERR_INPUT_INVALID')
  const second = await identity.createUser(by, { username: 'second', password: 'seconds password', role: 'ADMIN' })
  await identity.disableUser(by, second.id)
  t.equal(await codeOf(identity.setUserRole(by, by.id, 'ANALYST')), 'NEKO_ERR_INPUT_INVALID', 'a disabled one does not count')
  await identity.enableUser(by, second.id)
  t.match(await identity.setUserRole(by, by.id, 'ANALYST'), { role: 'ANALYST' })
  t.equal(await codeOf(identity.disableUser(by, second.id)), 'NEKO_ERR_INPUT_INVALID')
})

t.test('two administrators who remove each other at once leave one, whatever process they ask', async (t) => {
  const { identity, sibling, admin, storage } = await openRoom(t)
  const by = await admin()
  const other = await sibling()
  for (let round = 0; round < 5; round++) {
    const second = await identity.createUser(by, { username: `second${round}`, password: 'seconds password', role: 'ADMIN' })
    await Promise.allSettled([identity.setUserRole(by, second.id, 'VIEWER'), other.disableUser(by, by.id)])
    t.equal(await storage.collection<User>(userCollection).count({ role: 'ADMIN', disabled: false }), 1)
    await identity.enableUser(by, by.id)
    await identity.setUserRole(by, by.id, 'ADMIN')
    await identity.setUserRole(by, second.id, 'VIEWER')
  }
})

t.test('a lock whose holder died is taken over when its time is up', async (t) => {
  const { identity, admin, storage, clock } = await openRoom(t)
  const by = await admin()
  const second = await identity.createUser(by, { username: 'second', password: 'seconds password', role: 'ADMIN' })
  const locks = storage.collection<{ id: string, holder: string, until: number }>(lockCollection)
  await locks.put({ id: 'administrators', holder: 'somebody who died', until: clock.now() + 300 })
  await identity.setUserRole(by, second.id, 'VIEWER')
  await locks.put({ id: 'administrators', holder: 'somebody who lives', until: clock.now() + 60_000 })
  t.equal(await codeOf(identity.setUserRole(by, second.id, 'ADMIN')), 'NEKO_ERR_OVERLOADED')
})

t.test('ids of others, operators and prototype keys reach nobody', async (t) => {
  const { identity, admin } = await openRoom(t)
  const by = await admin()
  const anna = await identity.createUser(by, { username: 'anna', password: 'annas long password', role: 'VIEWER' })
  await identity.createUser(by, { username: 'bert', password: 'berts long password', role: 'VIEWER' })
  const annas = await identity.login({ username: 'anna', password: 'annas long password', address: ADDRESS })
  const berts = await identity.login({ username: 'bert', password: 'berts long password', address: ADDRESS })
  const asBert = held(await identity.authenticateToken(berts.accessToken))
  await identity.changePassword(asBert, { currentPassword: 'berts long password', newPassword: 'berts next password' })
  await identity.logout(asBert)
  t.equal(held(await identity.authenticateToken(annas.accessToken)).id, anna.id, 'what Bert does touches Bert only')
  for (const id of ['', '__proto__', 'constructor', '{"$ne":null}', '$where', 'us_00000000000000000000', anna.id.toUpperCase()]) {
    t.match(await codeOf(identity.setUserRole(by, id, 'ADMIN')), /^NEKO_ERR_(NOT_FOUND|INPUT_INVALID)$/, id)
    t.match(await codeOf(identity.disableUser(by, id)), /^NEKO_ERR_(NOT_FOUND|INPUT_INVALID)$/, id)
  }
  t.equal(({} as { polluted?: unknown }).polluted, undefined)
  // An API key cannot change anybody's password, whatever it holds.
  const { key } = await identity.createApiKey(by, { name: 'x', scopes: ['manage'], expiresAt: null })
  t.equal(await codeOf(identity.changePassword(held(await identity.authenticate({ 'x-api-key': key })), { currentPassword: 'x', newPassword: 'y'.repeat(12) })), 'NEKO_ERR_FORBIDDEN')
})

t.test('nobody makes anybody who may do more than he may himself', async (t) => {
  const { identity, admin } = await openRoom(t)
  const by = await admin()
  const clerk = held(await identity.authenticate({ 'x-api-key': (await identity.createApiKey(by, { name: 'clerk', scopes: ['manage'], expiresAt: null })).key }))
  const reader = held(await identity.authenticate({ 'x-api-key': (await identity.createApiKey(by, { name: 'reader', scopes: ['manage', 'read'], expiresAt: null })).key }))
  const person = (role: 'VIEWER' | 'ADMIN'): { username: string, password: string, role: 'VIEWER' | 'ADMIN' } => ({ username: `one.${role}`, password: 'a long enough password', role })
  t.equal(await codeOf(identity.createUser(clerk, person('ADMIN'))), 'NEKO_ERR_FORBIDDEN')
  const viewer = await identity.createUser(clerk, person('VIEWER'))
  t.equal(await codeOf(identity.setUserRole(reader, viewer.id, 'ADMIN')), 'NEKO_ERR_FORBIDDEN')
  const chief = await identity.createUser(by, person('ADMIN'))
  await identity.disableUser(reader, chief.id)
  t.equal(await codeOf(identity.enableUser(reader, chief.id)), 'NEKO_ERR_FORBIDDEN')
  const { apiKey } = await identity.createApiKey(by, { name: 'strong', scopes: ['decide'], expiresAt: null })
  t.equal(await codeOf(identity.rotateApiKey(reader, apiKey.id)), 'NEKO_ERR_FORBIDDEN', 'a rotation would show its secret')
  t.match(await identity.rotateApiKey(by, apiKey.id), { key: /^neko_/ })
  t.match(await identity.enableUser(by, chief.id), { disabled: false })
})
