import t from 'tap'
import { revocationCollection } from '../../src/identity/collections.ts'
import { identityCollections, type StandingChange } from '../../src/identity/shapes.ts'
import { createTestClock } from '../../src/std/clock.ts'
import type { Json } from '../../src/std/json.ts'
import { openTestStorage } from '../storage.ts'
import { createFaultyStorage } from './faulty-storage.ts'
import { ADDRESS, ADMIN_PASSWORD, codeOf, createMemoryAudit, createMemoryBus, held, openRoom } from './room.ts'
import { until } from '../time.ts'

t.test('logout, revocation, role and disabling hold in every process when the call returns', async (t) => {
  const { identity, sibling, login, admin } = await openRoom(t)
  const other = await sibling()
  const by = await admin()
  const { accessToken } = await login()
  const mine = held(await other.authenticateToken(accessToken))
  const changes: StandingChange[] = []
  other.onRevoked((change) => changes.push(change))

  await identity.logout(mine)
  t.match(await other.authenticateToken(accessToken), { state: 'refused', reason: 'revoked' })
  t.equal(other.holds(mine), false)
  t.match(changes, [{ kind: 'session', id: mine.sessionId as string }])

  const bob = await identity.createUser(by, { username: 'bob', password: 'bobs long password', role: 'ANALYST' })
  const bobs = await identity.login({ username: 'bob', password: 'bobs long password', address: ADDRESS })
  const asBob = held(await other.authenticateToken(bobs.accessToken))
  t.same(asBob.scopes, ['read', 'assess', 'decide'])
  await identity.setUserRole(by, bob.id, 'VIEWER')
  t.same(held(await other.authenticateToken(bobs.accessToken)).scopes, ['read'])
  t.equal(other.holds(asBob), false, 'a connection opened as an analyst is over')
  await identity.disableUser(by, bob.id)
  t.match(await other.authenticateToken(bobs.accessToken), { state: 'refused', reason: 'disabled' })
  t.equal(await codeOf(other.refresh({ refreshToken: bobs.refreshToken, address: ADDRESS })), 'NEKO_ERR_UNAUTHENTICATED')
  await identity.enableUser(by, bob.id)
  t.match(await other.authenticateToken(bobs.accessToken), { state: 'refused', reason: 'revoked' }, 'enabling brings no old token back')

  const { key, apiKey } = await identity.createApiKey(by, { name: 'scanner', scopes: ['assess'], expiresAt: null })
  const asKey = held(await other.authenticate({ 'x-api-key': key }))
  await identity.revokeApiKey(by, apiKey.id)
  t.match(await other.authenticate({ 'x-api-key': key }), { state: 'refused' })
  t.equal(other.holds(asKey), false)
})

t.test('what was revoked stays revoked after a restart', async (t) => {
  const { identity, sibling, login, admin } = await openRoom(t)
  const by = await admin()
  const { accessToken, refreshToken } = await login()
  const { key, apiKey } = await identity.createApiKey(by, { name: 'scanner', scopes: ['assess'], expiresAt: null })
  await identity.logout(held(await identity.authenticateToken(accessToken)))
  await identity.revokeApiKey(by, apiKey.id)
  await identity.close()
  const restarted = await sibling()
  t.match(await restarted.authenticateToken(accessToken), { state: 'refused', reason: 'revoked' })
  t.equal(await codeOf(restarted.refresh({ refreshToken, address: ADDRESS })), 'NEKO_ERR_UNAUTHENTICATED')
  t.match(await restarted.authenticate({ 'x-api-key': key }), { state: 'refused' })
})

t.test('messages that are lost are made up for by the store within 5 s', async (t) => {
  const clock = createTestClock()
  const { identity, sibling, login, admin, bus } = await openRoom(t, { clock })
  const other = await sibling()
  const by = await admin()
  const { accessToken } = await login()
  const { key, apiKey } = await identity.createApiKey(by, { name: 'scanner', scopes: ['assess'], expiresAt: null })
  const mine = held(await other.authenticateToken(accessToken))
  held(await other.authenticate({ 'x-api-key': key }))
  bus.cut(true)
  await identity.logout(mine)
  await identity.revokeApiKey(by, apiKey.id)
  held(await other.authenticateToken(accessToken))
  clock.advance(2_000)
  await until('the token is refused', async () => (await other.authenticateToken(accessToken)).state === 'refused')
  await until('the key is refused', async () => (await other.authenticate({ 'x-api-key': key })).state === 'refused')
})

t.test('with the store down, callers in memory pass, and only logout and revocations are accepted', async (t) => {
  const clock = createTestClock()
  const storage = createFaultyStorage(await openTestStorage(t, identityCollections, clock))
  const { identity, sibling, login, admin, audit } = await openRoom(t, { storage, clock })
  const other = await sibling()
  const by = await admin()
  const [mine, yours] = [await login(), await login()]
  const { key, apiKey } = await identity.createApiKey(by, { name: 'scanner', scopes: ['assess'], expiresAt: null })
  held(await other.authenticate({ 'x-api-key': key }))
  storage.setUp(false)
  const principal = held(await other.authenticateToken(mine.accessToken))
  held(await other.authenticate({ 'x-api-key': key }))
  t.equal(await codeOf(Promise.resolve(other.authenticate({ 'x-api-key': `neko_${'0'.repeat(16)}_${'0'.repeat(40)}` }))), 'NEKO_ERR_STORE_UNAVAILABLE')
  for (const attempt of [
    login(),
    identity.refresh({ refreshToken: mine.refreshToken, address: ADDRESS }),
    identity.createUser(by, { username: 'eve', password: 'a long long password', role: 'VIEWER' }),
    identity.setUserRole(by, by.id, 'VIEWER'),
    identity.createApiKey(by, { name: 'x', scopes: ['read'], expiresAt: null }),
    identity.rotateApiKey(by, apiKey.id)
  ]) t.equal(await codeOf(attempt), 'NEKO_ERR_STORE_UNAVAILABLE')

  t.equal(await identity.logout(principal), true)
  await identity.revokeApiKey(by, apiKey.id)
  t.match(await other.authenticateToken(mine.accessToken), { state: 'refused' })
  t.match(await other.authenticate({ 'x-api-key': key }), { state: 'refused' })
  const effects = audit.events.flatMap((event) => event.effects ?? [])
  t.match(effects.map((effect) => effect.id), [`session:${principal.sessionId}`, `key:${apiKey.id}`], 'the log can replay them')

  // A process that starts now knows nothing of revocations: it lets nobody in until it can ask.
  const late = await sibling()
  t.equal(await codeOf(Promise.resolve(late.authenticateToken(yours.accessToken))), 'NEKO_ERR_STORE_UNAVAILABLE')

  // The store is back, without what was accepted meanwhile until memory has handed it over.
  storage.setUp(true)
  const store = storage.collection(revocationCollection)
  clock.advance(1_000)
  await until('memory has handed it over', async () => await store.count() === 2)
  await late.reload()
  held(await late.authenticateToken(yours.accessToken))
  t.match(await late.authenticateToken(mine.accessToken), { state: 'refused' })
  t.equal(await codeOf(late.refresh({ refreshToken: mine.refreshToken, address: ADDRESS })), 'NEKO_ERR_UNAUTHENTICATED')
})

t.test('what was revoked while the store was locked holds in a process that starts then, though its maker died', async (t) => {
  const clock = createTestClock(Date.now())
  const storage = createFaultyStorage(await openTestStorage(t, identityCollections, clock))
  const { identity, sibling, login, audit, bus } = await openRoom(t, { storage, clock })
  const witness = await sibling()
  const { accessToken } = await login()
  const principal = held(await witness.authenticateToken(accessToken))
  storage.setLocked(true)
  await identity.logout(principal)
  await identity.close()
  const late = await sibling()
  t.match(await late.authenticateToken(accessToken), { state: 'refused', reason: 'revoked' }, 'a sibling knew')
  // Nobody is left to ask.
  await Promise.all([witness.close(), late.close()])
  bus.cut(true)
  held(await (await sibling()).authenticateToken(accessToken))
  const loggedRevocations = async (): Promise<never[]> => audit.events.flatMap(({ effects = [] }) => effects) as never[]
  const restarted = await sibling({ loggedRevocations })
  t.match(await restarted.authenticateToken(accessToken), { state: 'refused', reason: 'revoked' }, 'the log knows')

  storage.setLocked(false)
  clock.advance(60_000)
  await restarted.reload()
  const store = storage.collection(revocationCollection)
  await until('whoever holds it writes it in the place of its maker', async () => await store.count() === 1)
})

t.test('with neither store nor log a revocation is in force but not acknowledged; with the log down privileged changes are refused', async (t) => {
  const storage = createFaultyStorage(await openTestStorage(t, identityCollections))
  const { identity, login, admin, audit } = await openRoom(t, { storage })
  const by = await admin()
  const first = await login()
  audit.fail(true)
  t.equal(await codeOf(identity.createUser(by, { username: 'eve', password: 'a long long password', role: 'VIEWER' })), 'NEKO_ERR_AUDIT_UNAVAILABLE')
  t.equal(await identity.logout(held(await identity.authenticateToken(first.accessToken))), true, 'the store has it')
  const second = await login()
  const principal = held(await identity.authenticateToken(second.accessToken))
  storage.setUp(false)
  t.equal(await codeOf(identity.logout(principal)), 'NEKO_ERR_AUDIT_UNAVAILABLE')
  t.match(await identity.authenticateToken(second.accessToken), { state: 'refused' })
})

t.test('a late message never brings an old role back, and foreign messages change nothing', async (t) => {
  const { identity, admin, bus } = await openRoom(t)
  const by = await admin()
  const rogue = bus.join()
  rogue.publish('identity.user', { id: by.id, username: 'admin', role: 'VIEWER', disabled: false, generation: 1, revision: 0 })
  for (const message of [null, 'x', {}, { id: 5 }, { kind: 'user', value: by.id }] as Json[]) {
    for (const topic of ['identity.user', 'identity.key', 'identity.revoked']) t.doesNotThrow(() => rogue.publish(topic, message))
  }
  const { accessToken } = await identity.login({ username: 'admin', password: ADMIN_PASSWORD, address: ADDRESS })
  t.equal(held(await identity.authenticateToken(accessToken)).role, 'ADMIN')
})

t.test('the memory fleet and trail of these tests do what the real ones promise', async (t) => {
  const bus = createMemoryBus()
  const [a, b] = [bus.join(), bus.join()]
  const seen: unknown[] = []
  a.subscribe('x', (message) => seen.push(message))
  a.publish('x', 1)
  b.publish('x', 2)
  t.same(seen, [2])
  const audit = createMemoryAudit()
  audit.fail(true)
  t.equal(await codeOf(audit.durable({ category: 'auth', type: 'x', actor: 'system', outcome: 'ok' })), 'NEKO_ERR_AUDIT_UNAVAILABLE')
})
