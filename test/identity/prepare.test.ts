import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { prepareIdentity, prepareSigningSecret, signingSecrets } from '../../src/identity/prepare.ts'
import { warnOfKeys } from '../../src/identity/prepare-keys.ts'
import { identityCollections, type ApiKey, type Scope, type User } from '../../src/identity/shapes.ts'
import { keyCollection, userCollection } from '../../src/identity/collections.ts'
import { createTestClock, systemClock } from '../../src/std/clock.ts'
import { openTestStorage } from '../storage.ts'
import { ADDRESS, ADMIN_PASSWORD, held, openRoom, testConfig } from './room.ts'

t.test('the first administrator is made once, also by hosts that start together', async (t) => {
  const storage = await openTestStorage(t, identityCollections)
  const config = testConfig(t, { ADMIN_PASSWORD: '' })
  const results = await Promise.all(Array.from({ length: 4 }, () => prepareIdentity({ storage, config, clock: systemClock })))
  t.equal(results.filter((result) => result.adminCreated).length, 1)
  const passwords = results.flatMap((result) => result.oneTimePassword ?? [])
  t.equal(passwords.length, 1)
  t.match(passwords[0], /^[0-9a-z]{24}$/)
  t.equal(await storage.collection<User>(userCollection).count(), 1)
  const { identity } = await openRoom(t, { storage })
  t.ok(await identity.login({ username: 'admin', password: passwords[0] as string, address: ADDRESS }))
  t.match(await prepareIdentity({ storage, config, clock: systemClock }), { oneTimePassword: null, adminCreated: false })
})

t.test('an ADMIN_PASSWORD that is too easy makes nobody, and is not named; one that makes nobody any more stops no start', async (t) => {
  const storage = await openTestStorage(t, identityCollections)
  for (const [ADMIN_PASSWORD, username] of [['password1234', 'admin'], ['aaaaaaaaaaaa', 'admin'], ['chief-2024-chief', 'chief']] as const) {
    const config = testConfig(t, { ADMIN_PASSWORD, ADMIN_USERNAME: username })
    await t.rejects(prepareIdentity({ storage, config, clock: systemClock }), { name: 'ConfigError', message: /^ADMIN_PASSWORD: (?!.*(password1234|aaaa|2024))/ }, ADMIN_PASSWORD)
  }
  t.equal(await storage.collection<User>(userCollection).count(), 0)
  await prepareIdentity({ storage, config: testConfig(t), clock: systemClock })
  t.match(await prepareIdentity({ storage, config: testConfig(t, { ADMIN_PASSWORD: 'password1234' }), clock: systemClock }), { adminCreated: false })
})

t.test('in production without ADMIN_PASSWORD nobody is made, and that is said', async (t) => {
  const storage = await openTestStorage(t, identityCollections)
  const config = { ...testConfig(t, { ADMIN_PASSWORD: '' }), production: true }
  t.match(await prepareIdentity({ storage, config, clock: systemClock }), { adminMissing: true, oneTimePassword: null })
  t.equal(await storage.collection<User>(userCollection).count(), 0)
})

t.test('outside production a secret is made once under DATA_DIR, for its owner only', (t) => {
  const config = testConfig(t, { JWT_SECRET: '' })
  t.throws(() => signingSecrets(config), /JWT_SECRET: .*jwt\.secret is gone/)
  prepareSigningSecret(config)
  const [secret] = signingSecrets(config) as [string]
  t.ok(Buffer.byteLength(secret) >= 64)
  t.same(signingSecrets(config), [secret])
  const file = join(config.dataDir, 'jwt.secret')
  t.equal(statSync(file).mode & 0o777, 0o600)
  t.equal(readFileSync(file, 'utf8').trim(), secret)
  writeFileSync(file, 'cut')
  t.throws(() => prepareSigningSecret(config), /JWT_SECRET: .*jwt\.secret was cut short/)
  t.throws(() => prepareSigningSecret({ ...config, production: true }), /JWT_SECRET: is required/)
  t.throws(() => prepareSigningSecret({ ...config, dataDir: join(file, 'below a file') }), /DATA_DIR/)
  t.end()
})

t.test('keys from before learn whom they come from, get an end, and fall with a maker who is disabled', async (t) => {
  const clock = createTestClock()
  const { identity, admin, storage, config, sibling } = await openRoom(t, { clock })
  const by = await admin()
  const zoe = await identity.createUser(by, { username: 'zoe', password: ADMIN_PASSWORD, role: 'ADMIN' })
  const asZoe = held(await identity.authenticateToken((await identity.login({ username: 'zoe', password: ADMIN_PASSWORD, address: ADDRESS })).accessToken))
  const keys = storage.collection<ApiKey>(keyCollection)
  const texts = new Map<string, string>()
  /** As they were stored before: no authority, no maker, and whatever end was asked for. */
  async function older (name: string, createdBy: string, scopes: Scope[], expiresAt: number | null = null): Promise<string> {
    const { key, apiKey: { id } } = await identity.createApiKey(by, { name, scopes, expiresAt: null })
    const { revision: _revision, authority: _authority, makerId: _makerId, ...key1 } = (await keys.get(id))!
    await keys.put({ ...key1 as ApiKey, createdBy, expiresAt, secrets: key1.secrets.map(({ hash, createdAt }) => ({ hash, createdAt, expiresAt: null })) })
    texts.set(id, key)
    return id
  }
  const of = `user:${by.id}`
  const endless = await older('endless', of, ['manage'])
  const long = await older('long', of, ['read', 'manage'], clock.now() + 365 * 86_400_000)
  const reader = await older('reader', of, ['read'])
  const child = await older('child', `key:${endless}`, ['read'])
  const orphan = await older('orphan', 'user:us_00000000000000000000', ['read', 'manage'])
  const unmade = await older('unmade', 'system', ['decide'])
  const hers = await older('hers', asZoe.clientKey, ['read', 'manage'])
  const herChild = await older('her child', `key:${hers}`, ['read'])
  const users = storage.collection<User>(userCollection)
  const { revision, ...stored } = (await users.get(zoe.id))!
  await users.replace({ ...stored as User, disabled: true, generation: 2 }, revision)

  const { keys: found } = await prepareIdentity({ storage, config, clock })
  t.same(found.ended.sort(), [endless, long, orphan].sort())
  t.same(found.fell.sort(), [hers, herChild].sort())
  t.same(found.makerless.sort(), [orphan, unmade].sort())
  const lines: unknown[] = []
  warnOfKeys(found, { warn: (fields, message) => lines.push([fields, message]) })
  t.equal(lines.length, 3, 'one line for each kind')
  t.notMatch(JSON.stringify(lines), /endless|orphan|neko_/)

  const end = async (id: string): Promise<number | null | undefined> => (await keys.get(id))?.expiresAt
  t.same(await Promise.all([endless, long, orphan, reader, child].map(end)), [...Array(3).fill(clock.now() + 90 * 86_400_000), null, null])
  const { keys: again } = await prepareIdentity({ storage, config, clock })
  t.same(again, { ended: [], fell: [], makerless: found.makerless }, 'the next start changes nothing and warns again')

  const later = await sibling()
  const scopes = async (id: string): Promise<unknown> => {
    const credential = await later.authenticate({ 'x-api-key': texts.get(id)! })
    return credential.state === 'held' ? credential.principal.scopes : credential.state
  }
  await later.enableUser(by, zoe.id)
  t.same(await Promise.all([hers, herChild].map(scopes)), ['refused', 'refused'])
  t.same(await Promise.all([reader, child, orphan, unmade].map(scopes)), [['read'], ['read'], ['read', 'manage'], ['decide']])
  t.same((await later.apiKeysOf(zoe.id)).map(({ id, revokedAt }) => [id, revokedAt]).sort(), [[hers, clock.now()], [herChild, clock.now()]].sort())
  await later.revokeApiKey(by, endless)
  t.equal(await scopes(child), 'refused', 'what was made with a key falls with it, also when it is older')
})
