import t from 'tap'
import type { Identity } from '../../src/identity/identity.ts'
import type { Principal, Role, Scope } from '../../src/identity/shapes.ts'
import { createTestClock } from '../../src/std/clock.ts'
import { ADDRESS, codeOf, held, openRoom } from './room.ts'

const DAY_MS = 86_400_000
const PASSWORD = 'a phrase that is long'

const person = (username: string, role: Role = 'ADMIN'): { username: string, password: string, role: Role } => ({ username, password: PASSWORD, role })

async function asUser (identity: Identity, username: string): Promise<Principal> {
  return held(await identity.authenticateToken((await identity.login({ username, password: PASSWORD, address: ADDRESS })).accessToken))
}

async function scopesOf (identity: Identity, key: string): Promise<readonly Scope[] | string> {
  const credential = await identity.authenticate({ 'x-api-key': key })
  return credential.state === 'held' ? credential.principal.scopes : credential.state
}

async function made (identity: Identity, by: Principal, scopes: Scope[], expiresAt: number | null = null): Promise<{ key: string, id: string }> {
  const { key, apiKey } = await identity.createApiKey(by, { name: 'x', scopes, expiresAt })
  return { key, id: apiKey.id }
}

t.test('the key of a disabled administrator can do nothing, in no process, and enabling brings it not back', async (t) => {
  const { identity, admin, sibling, audit } = await openRoom(t)
  const other = await sibling()
  const by = await admin()
  const zoe = await identity.createUser(by, person('zoe'))
  const { key, id } = await made(identity, await asUser(identity, 'zoe'), ['read', 'manage'])
  const asKey = held(await other.authenticate({ 'x-api-key': key }))
  await identity.disableUser(by, zoe.id)
  for (const process of [identity, other]) t.equal(await scopesOf(process, key), 'refused')
  t.equal(other.holds(asKey), false, 'an open connection is over')
  t.match(audit.events.filter(({ type }) => type === 'key.revoke'), [{ target: `key:${id}`, actor: by.clientKey, details: { because: 'maker disabled' } }])
  await identity.enableUser(by, zoe.id)
  for (const process of [identity, other, await sibling()]) t.equal(await scopesOf(process, key), 'refused')
  t.match(await identity.apiKeysOf(zoe.id), [{ id, name: 'x', revokedAt: Number }])
  t.ok(await made(identity, await asUser(identity, 'zoe'), ['manage']).then(({ key }) => scopesOf(other, key)), 'who is back makes new ones')
})

t.test('a key has what its maker has now, and again what it had when the role is back', async (t) => {
  const { identity, admin, sibling } = await openRoom(t)
  const other = await sibling()
  const by = await admin()
  const zoe = await identity.createUser(by, person('zoe'))
  const { key } = await made(identity, await asUser(identity, 'zoe'), ['read', 'decide', 'manage'])
  const before = held(await other.authenticate({ 'x-api-key': key }))
  for (const [role, scopes] of [['ANALYST', ['read', 'decide']], ['VIEWER', ['read']], ['ADMIN', ['read', 'decide', 'manage']]] as const) {
    await identity.setUserRole(by, zoe.id, role)
    for (const process of [identity, other]) t.same(await scopesOf(process, key), scopes, role)
    t.equal(other.holds(before), role === 'ADMIN', 'a connection holds as long as nothing is lost')
  }
})

t.test('a key that a key made has no more than either, and falls with both', async (t) => {
  const clock = createTestClock()
  const { identity, admin, sibling } = await openRoom(t, { clock })
  const other = await sibling()
  const by = await admin()
  const zoe = await identity.createUser(by, person('zoe'))
  const first = await made(identity, await asUser(identity, 'zoe'), ['read', 'manage'], clock.now() + 10 * DAY_MS)
  const asFirst = held(await other.authenticate({ 'x-api-key': first.key }))
  const child = await other.createApiKey(asFirst, { name: 'child', scopes: ['read'], expiresAt: null })
  t.equal(child.apiKey.expiresAt, clock.now() + 10 * DAY_MS, 'it ends with its maker')
  t.equal(await codeOf(other.createApiKey(asFirst, { name: 'x', scopes: ['read'], expiresAt: clock.now() + 11 * DAY_MS })), 'NEKO_ERR_INPUT_INVALID')
  t.equal(await codeOf(other.createApiKey(asFirst, { name: 'x', scopes: ['decide'], expiresAt: null })), 'NEKO_ERR_INPUT_INVALID')
  const grandchild = await made(other, held(await other.authenticate({ 'x-api-key': (await made(other, asFirst, ['read', 'manage'])).key })), ['read'])
  t.match((await identity.apiKeysOf(zoe.id)).length, 4)
  await identity.revokeApiKey(by, first.id)
  for (const process of [identity, other, await sibling()]) for (const { key } of [first, child, grandchild]) t.equal(await scopesOf(process, key), 'refused')
  t.notOk((await identity.apiKeysOf(zoe.id)).some(({ revokedAt }) => revokedAt === null), 'all of them are shown as revoked')
})

t.test('who was shown the new secret of another one\'s key loses it with his standing', async (t) => {
  const { identity, admin, sibling } = await openRoom(t)
  const other = await sibling()
  const by = await admin()
  const zoe = await identity.createUser(by, person('zoe'))
  const asZoe = await asUser(identity, 'zoe')
  const mine = await made(identity, by, ['read', 'manage'])
  const { key: known, apiKey } = await identity.rotateApiKey(asZoe, mine.id)
  t.same(await scopesOf(other, known), ['read', 'manage'])
  // Through a key of hers, and a key that such a secret made.
  const hers = await made(identity, asZoe, ['read', 'manage'])
  const second = await made(identity, by, ['read'])
  const { key: knownToKey } = await identity.rotateApiKey(held(await identity.authenticate({ 'x-api-key': hers.key })), second.id)
  const offspring = await made(identity, held(await identity.authenticate({ 'x-api-key': known })), ['read'])
  t.same(await scopesOf(other, offspring.key), ['read'])
  const third = await made(identity, by, ['read'])
  const { key: knownToThird } = await identity.rotateApiKey(held(await identity.authenticate({ 'x-api-key': mine.key })), third.id)
  t.same(await scopesOf(other, knownToThird), ['read'])
  await identity.setUserRole(by, zoe.id, 'VIEWER')
  t.same(await scopesOf(other, known), ['read'], 'she has it no longer')
  t.same(await scopesOf(other, mine.key), ['read', 'manage'], 'the secret that she never saw holds')
  await identity.disableUser(by, zoe.id)
  await identity.enableUser(by, zoe.id)
  for (const process of [identity, other]) for (const key of [known, knownToKey, offspring.key]) t.equal(await scopesOf(process, key), 'refused')
  const { key: anew } = await identity.rotateApiKey(by, apiKey.id)
  t.same(await scopesOf(other, anew), ['read', 'manage'], 'the key itself lives')
  t.same(await scopesOf(other, second.key), ['read'])
  await identity.revokeApiKey(by, mine.id)
  t.equal(await scopesOf(other, knownToThird), 'refused', 'the key that was shown it is revoked')
  t.same(await scopesOf(other, third.key), ['read'])
})

t.test('a key with manage ends within 90 days; another one may have no end', async (t) => {
  const clock = createTestClock()
  const { identity, admin } = await openRoom(t, { clock })
  const by = await admin()
  const end = async (scopes: Scope[], expiresAt: number | null): Promise<number | null> => (await identity.createApiKey(by, { name: 'x', scopes, expiresAt })).apiKey.expiresAt
  t.equal(await end(['read', 'assess', 'decide'], null), null)
  t.equal(await end(['read'], clock.now() + 400 * DAY_MS), clock.now() + 400 * DAY_MS)
  t.equal(await end(['manage'], null), clock.now() + 90 * DAY_MS, 'the longest when none is asked for')
  t.equal(await end(['manage'], clock.now() + 90 * DAY_MS), clock.now() + 90 * DAY_MS)
  await t.rejects(end(['manage', 'read'], clock.now() + 90 * DAY_MS + 1), { code: 'NEKO_ERR_INPUT_INVALID', message: /90 days/ })
  const { key, id } = await made(identity, by, ['manage'])
  clock.advance(80 * DAY_MS)
  const { key: rotated, apiKey } = await identity.rotateApiKey(await admin(), id, 30 * 86_400)
  t.equal(apiKey.expiresAt, clock.now() + 10 * DAY_MS, 'a rotation gives no time')
  clock.advance(10 * DAY_MS)
  for (const text of [key, rotated]) t.equal(await scopesOf(identity, text), 'refused')
})

t.test('a key that was being made while its maker was disabled is dead when it is there', async (t) => {
  const { identity, admin, sibling } = await openRoom(t)
  const other = await sibling()
  const by = await admin()
  const zoe = await identity.createUser(by, person('zoe'))
  const asZoe = await asUser(other, 'zoe')
  await identity.disableUser(by, zoe.id)
  // The request was let in before.
  const outcome = await other.createApiKey(asZoe, { name: 'late', scopes: ['read'], expiresAt: null }).catch(() => null)
  await identity.enableUser(by, zoe.id)
  if (outcome !== null) for (const process of [identity, other]) t.equal(await scopesOf(process, outcome.key), 'refused')
})
