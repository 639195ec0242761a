import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { prepareIdentity, signingSecrets } from '../../src/identity/prepare.ts'
import { identityCollections, type User } from '../../src/identity/shapes.ts'
import { userCollection } from '../../src/identity/collections.ts'
import { systemClock } from '../../src/std/clock.ts'
import { openTestStorage } from '../storage.ts'
import { ADDRESS, openRoom, testConfig } from './room.ts'

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

t.test('in production without ADMIN_PASSWORD nobody is made, and that is said', async (t) => {
  const storage = await openTestStorage(t, identityCollections)
  const config = { ...testConfig(t, { ADMIN_PASSWORD: '' }), production: true }
  t.match(await prepareIdentity({ storage, config, clock: systemClock }), { adminMissing: true, oneTimePassword: null })
  t.equal(await storage.collection<User>(userCollection).count(), 0)
})

t.test('outside production a secret is made once under DATA_DIR, for its owner only', (t) => {
  const config = testConfig(t, { JWT_SECRET: '' })
  const [secret] = signingSecrets(config) as [string]
  t.ok(Buffer.byteLength(secret) >= 64)
  t.same(signingSecrets(config), [secret])
  const file = join(config.dataDir, 'jwt.secret')
  t.equal(statSync(file).mode & 0o777, 0o600)
  t.equal(readFileSync(file, 'utf8').trim(), secret)
  writeFileSync(file, 'cut')
  t.throws(() => signingSecrets(config), /DATA_DIR/)
  t.throws(() => signingSecrets({ ...config, production: true }), /JWT_SECRET/)
  t.throws(() => signingSecrets({ ...config, dataDir: join(file, 'below a file') }), /DATA_DIR/)
  t.end()
})
