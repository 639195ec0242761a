import t from 'tap'
import { userCollection } from '../../src/identity/collections.ts'
import type { User } from '../../src/identity/shapes.ts'
import type { Storage } from '../../src/storage/port.ts'
import { ADDRESS, ADMIN_PASSWORD, codeOf, held, olderHash, openRoom } from './room.ts'

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

t.test('a password that was given while its owner, or a thief, sets another one is the one that holds', async (t) => {
  const { identity, sibling, admin, audit } = await openRoom(t)
  const other = await sibling()
  const by = await admin()
  const durable = audit.durable
  let given = ''
  // Between the old password, which was right, and the new one's writing.
  audit.durable = async (event) => {
    if (event.type === 'user.password') given = (await other.resetPassword('admin', OPERATOR)).password
    return await durable(event)
  }
  t.equal(await codeOf(identity.changePassword(by, { currentPassword: ADMIN_PASSWORD, newPassword: NEXT })), 'NEKO_ERR_UNAUTHENTICATED')
  audit.durable = durable
  for (const password of [ADMIN_PASSWORD, NEXT]) t.equal(await codeOf(other.login({ username: 'admin', password, address: ADDRESS })), 'NEKO_ERR_UNAUTHENTICATED')
  const first = await identity.login({ username: 'admin', password: given, address: ADDRESS })
  t.match(held(await other.authenticateToken(first.accessToken)), { scopes: [], mustChangePassword: true })
})

t.test('of two who change one password at once, one is told that the old one does not hold', async (t) => {
  const { identity, sibling, admin, audit } = await openRoom(t)
  const by = await admin()
  const processes = [identity, await sibling()]
  const { durable } = audit
  const both = Promise.withResolvers<void>()
  let arrived = 0
  audit.durable = async (event) => {
    if (++arrived === processes.length) both.resolve()
    await both.promise
    return await durable(event)
  }
  const codes = await Promise.all(processes.map((process, i) => codeOf(process.changePassword(by, { currentPassword: ADMIN_PASSWORD, newPassword: `${NEXT} ${i}` }))))
  t.same(codes.toSorted(), ['NEKO_ERR_UNAUTHENTICATED', 'none'])
  for (const [i, code] of codes.entries()) t.equal(await codeOf(identity.login({ username: 'admin', password: `${NEXT} ${i}`, address: ADDRESS })), code)
})

t.test('a login that hashes an old password anew brings it not back when another one was given meanwhile', async (t) => {
  const { identity, sibling, storage } = await openRoom(t)
  const users = storage.collection<User>(userCollection)
  const user = await users.findOne({ usernameKey: 'admin' }) as User
  await users.put({ ...user, passwordHash: olderHash(ADMIN_PASSWORD) })
  let given = ''
  const slow = await sibling({ storage: withFirstGet(storage, async () => { given = (await identity.resetPassword('admin', OPERATOR)).password }) })
  const { accessToken } = await slow.login({ username: 'admin', password: ADMIN_PASSWORD, address: ADDRESS })
  t.match(given, /^[0-9a-z]{24}$/, 'it was given before the new hash was written')
  t.match(await identity.authenticateToken(accessToken), { state: 'refused' })
  t.equal(await codeOf(identity.login({ username: 'admin', password: ADMIN_PASSWORD, address: ADDRESS })), 'NEKO_ERR_UNAUTHENTICATED')
  t.equal(await codeOf(identity.login({ username: 'admin', password: given, address: ADDRESS })), 'none')
})

/** A store where something happens before a user is first read by its id. */
function withFirstGet (storage: Storage, before: () => Promise<unknown>): Storage {
  let isFirst = true
  return {
    ...storage,
    collection (definition) {
      const collection = storage.collection(definition)
      if (definition !== userCollection) return collection
      return {
        ...collection,
        async get (id) {
          if (isFirst) {
            isFirst = false
            await before()
          }
          return await collection.get(id)
        }
      }
    }
  } as Storage
}
