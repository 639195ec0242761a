import { setImmediate } from 'node:timers/promises'
import t from 'tap'
import { keyCollection } from '../../src/identity/collections.ts'
import type { ApiKey, Principal } from '../../src/identity/shapes.ts'
import { createTestClock } from '../../src/std/clock.ts'
import { codeOf, held, openRoom, SECRET } from './room.ts'

t.test('an API key holds its scopes, its time and nothing more; the store has no secret', async (t) => {
  const clock = createTestClock()
  const { identity, admin, storage, audit } = await openRoom(t, { clock })
  const by = await admin()
  const { key, apiKey } = await identity.createApiKey(by, { name: ' scanner ', scopes: ['assess', 'read', 'read'], expiresAt: clock.now() + 60_000 })
  t.match(key, /^neko_[0-9a-z]{16}_[0-9a-z]{40}$/)
  t.match(apiKey, { name: 'scanner', scopes: ['read', 'assess'], createdBy: `user:${by.id}`, revokedAt: null })
  const principal = held(await identity.authenticate({ 'x-api-key': key }))
  t.match(principal, { kind: 'key', id: apiKey.id, role: null, tier: 'service', sessionId: null, clientKey: `key:${apiKey.id}` })
  t.equal(await identity.logout(principal), false)
  const secret = key.split('_')[2] as string
  t.notMatch(JSON.stringify([await storage.collection<ApiKey>(keyCollection).get(apiKey.id), audit.events]), new RegExp(secret))
  clock.advance(60_000)
  t.match(await identity.authenticate({ 'x-api-key': key }), { state: 'refused', reason: 'api key expired' })
  t.equal(identity.holds(principal), false)
})

t.test('keys that are none are refused', async (t) => {
  const { identity, admin } = await openRoom(t)
  const { key } = await identity.createApiKey(await admin(), { name: 'x', scopes: ['read'], expiresAt: null })
  const wrong = key.slice(0, -1) + (key.endsWith('0') ? '1' : '0')
  for (const text of ['', 'neko', 'neko__', key.toUpperCase(), ` ${key}`, `${key}, ${key}`, wrong, `neko_${'z'.repeat(16)}_${'0'.repeat(40)}`, 'neko___proto_____' + '0'.repeat(40), 'x'.repeat(100_000)]) {
    t.match(await identity.authenticate({ 'x-api-key': text }), { state: 'refused' }, text.slice(0, 30))
  }
  t.match(await identity.authenticate({ 'x-api-key': [key, key] }), { state: 'refused' })
  t.match(await identity.authenticate({ authorization: `Bearer ${key}` }), { state: 'refused' })
  held(await identity.authenticate({ 'x-api-key': key }))
})

t.test('what a key may be is checked', async (t) => {
  const { identity, admin } = await openRoom(t)
  const by = await admin()
  for (const given of [{ scopes: [] }, { scopes: ['root'] }, { scopes: ['__proto__'] }, { name: ' ' }, { name: 'x'.repeat(101) }, { expiresAt: 1 }]) {
    t.equal(await codeOf(identity.createApiKey(by, { name: 'x', scopes: ['read'], expiresAt: null, ...given })), 'NEKO_ERR_INPUT_INVALID', JSON.stringify(given).slice(0, 40))
  }
  t.equal(await codeOf(identity.createApiKey({ ...by, scopes: ['read', 'manage'] }, { name: 'x', scopes: ['decide'], expiresAt: null })), 'NEKO_ERR_INPUT_INVALID', 'nobody hands on more than he holds')
  for (const id of ['', 'x', '0'.repeat(16), '{"$ne":null}', '__proto__']) {
    t.match(await codeOf(identity.revokeApiKey(by, id)), /^NEKO_ERR_(INPUT_INVALID|NOT_FOUND)$/, id)
    t.match(await codeOf(identity.rotateApiKey(by, id)), /^NEKO_ERR_(INPUT_INVALID|NOT_FOUND)$/, id)
  }
})

t.test('a rotated key has two live secrets until the overlap ends, then one', async (t) => {
  const clock = createTestClock()
  const { identity, admin, sibling, bus } = await openRoom(t, { clock })
  const by = await admin()
  const { key: first, apiKey } = await identity.createApiKey(by, { name: 'x', scopes: ['read'], expiresAt: null })
  const other = await sibling()
  held(await other.authenticate({ 'x-api-key': first }))
  // The message is lost: a secret that does not fit makes the sibling look again.
  bus.cut(true)
  clock.advance(2_000)
  const { key: second } = await identity.rotateApiKey(by, apiKey.id, 60)
  for (const process of [identity, other]) for (const key of [first, second]) t.equal(held(await process.authenticate({ 'x-api-key': key })).id, apiKey.id)
  clock.advance(60_000)
  for (const process of [identity, other]) {
    t.match(await process.authenticate({ 'x-api-key': first }), { state: 'refused' })
    held(await process.authenticate({ 'x-api-key': second }))
  }
  const { key: third } = await identity.rotateApiKey(by, apiKey.id, 0)
  t.match(await identity.authenticate({ 'x-api-key': second }), { state: 'refused' }, 'no overlap when none is asked for')
  held(await identity.authenticate({ 'x-api-key': third }))
  await identity.revokeApiKey(by, apiKey.id)
  t.equal(await codeOf(identity.rotateApiKey(by, apiKey.id)), 'NEKO_ERR_INPUT_INVALID', 'a revoked key stays revoked')
  t.equal(await codeOf(identity.rotateApiKey(by, apiKey.id, 31 * 86_400)), 'NEKO_ERR_INPUT_INVALID')
  t.match(await identity.listApiKeys(10, null), { items: [{ id: apiKey.id, revokedAt: Number }] })
})

t.test('what came in with a replaced secret holds until the overlap ends, in every process; with the new one it goes on', async (t) => {
  const clock = createTestClock()
  const { identity, admin, sibling } = await openRoom(t, { clock })
  const other = await sibling()
  const by = await admin()
  const { key: first, apiKey } = await identity.createApiKey(by, { name: 'x', scopes: ['read'], expiresAt: null })
  const enter = (key: string): Promise<Principal[]> => Promise.all([identity, other].map(async (process) => held(await process.authenticate({ 'x-api-key': key }))))
  const hold = (principals: Principal[]): boolean[] => [identity, other].map((process, i) => process.holds(principals[i]!))
  const asFirst = await enter(first)
  const { key: second } = await identity.rotateApiKey(by, apiKey.id, 60)
  const [later, asSecond] = [await enter(first), await enter(second)]
  clock.advance(59_999)
  for (const principals of [asFirst, later, asSecond]) t.same(hold(principals), [true, true])
  clock.advance(1)
  for (const principals of [asFirst, later]) t.same(hold(principals), [false, false])
  t.same(hold(asSecond), [true, true])
  for (const overlap of [60, 0]) {
    // A sibling that has heard of the rotation, or else hears of it now.
    await enter((await identity.rotateApiKey(by, apiKey.id, overlap)).key)
    t.same(hold(asSecond), Array(2).fill(overlap > 0), `overlap ${overlap}`)
  }
})

t.test('signing keys and an API key rotate under load, and none of 20,000 requests fails', async (t) => {
  const { identity, sibling, admin, login } = await openRoom(t)
  const other = await sibling()
  const by = await admin()
  const next = 'R2-nV8eL5oX3qB7yT1wJ9kM4hF6dS0gZa'
  const { key, apiKey } = await identity.createApiKey(by, { name: 'x', scopes: ['read'], expiresAt: null })
  const credentials: Array<Record<string, string>> = [{ authorization: `Bearer ${(await login()).accessToken}` }, { 'x-api-key': key }]
  const old = credentials[0] as Record<string, string>
  let asked = 0
  let failed = 0
  const work = { done: false }
  async function load (): Promise<void> {
    for (let round = 1; !work.done || asked < 20_000; round++) {
      for (const process of [identity, other]) {
        for (const headers of credentials) {
          asked++
          if ((await process.authenticate(headers)).state !== 'held') failed++
        }
      }
      // What is remembered is answered without I/O: without this the rotations below would never have their turn.
      if (round % 10 === 0) await setImmediate()
    }
  }
  const running = load()
  // The order that loses nobody: every process knows the new secret before any signs with it.
  for (const secrets of [[SECRET, next], [next, SECRET]]) {
    for (const process of [identity, other]) {
      process.setSecrets(secrets)
      await setImmediate()
      credentials.push({ authorization: `Bearer ${(await login()).accessToken}` })
    }
  }
  // Three rotations; a client changes to the new secret within the overlap, so the one before the last is given up.
  for (let i = 0; i < 3; i++) {
    credentials.push({ 'x-api-key': (await identity.rotateApiKey(by, apiKey.id)).key })
    await setImmediate()
    credentials.splice(credentials.findIndex((headers) => 'x-api-key' in headers), 1)
  }
  work.done = true
  await running
  t.equal(failed, 0)
  t.ok(asked >= 20_000)
  t.comment(`${asked} asked, ${failed} failed`)
  for (const process of [identity, other]) process.setSecrets([next])
  t.match(await other.authenticate(old), { state: 'refused', reason: 'kid' }, 'the old kid is over with its overlap')
  held(await other.authenticate({ authorization: `Bearer ${(await login()).accessToken}` }))
})

t.test('when a key was last used is noted, and written once per minute at most', async (t) => {
  const { identity, admin } = await openRoom(t)
  const { key, apiKey } = await identity.createApiKey(await admin(), { name: 'x', scopes: ['read'], expiresAt: null })
  t.match(await identity.listApiKeys(10, null), { items: [{ id: apiKey.id, lastUsedAt: null }] })
  held(await identity.authenticate({ 'x-api-key': key }))
  const { items } = await identity.listApiKeys(10, null)
  t.type(items[0]?.lastUsedAt, 'number')
  t.equal(await identity.countApiKeys(), 1)
})
