import { generateKeyPairSync } from 'node:crypto'
import t from 'tap'
import { createAudit } from '../../src/audit/audit.ts'
import { auditCollections } from '../../src/audit/collections.ts'
import { auditEvents } from '../../src/journal/collections.ts'
import type { StoredAuditEvent } from '../../src/journal/collections.ts'
import { prepareAudit } from '../../src/audit/prepare.ts'
import { createSigner } from '../../src/audit/signing.ts'
import { verifyDataDir } from '../../src/audit/verify.ts'
import { createTestClock, systemClock } from '../../src/std/clock.ts'
import { openTestStorage } from '../storage.ts'
import { seen, silentLog, temporaryFolder } from '../journal/disk.ts'
import { until } from '../time.ts'

/** AUDIT_SIGNING_KEY is rotated: what the old key sealed still verifies, and what it must not do it cannot. */
const first = 'the first secret of the tests that is long enough'
const second = 'the second secret of the tests that is long enough'
const publicKeyOf = (secret: string): string => [...createSigner(secret).publicKeys.values()][0]!

t.test('after a rotation old and new seals verify, also those of a log that the old key left unclosed', async (t) => {
  const storage = await openTestStorage(t, auditCollections)
  const dataDir = temporaryFolder(t)
  const write = async (auditSigningKey: string, processId: string, isKilled = false): Promise<void> => {
    const audit = createAudit({ config: { dataDir, auditSigningKey }, storage, clock: systemClock, log: silentLog, processId })
    for (let i = 0; i < 20; i++) await audit.durable(seen)
    if (!isKilled) await audit.close()
  }
  await write(first, 'closedone')
  // Its process never says goodbye: recovery closes the log, with the key of that day.
  await write(first, 'leftopen', true)
  await write(`${second},${first}`, 'successor')

  const rotated = { dataDir, auditSigningKey: `${second},${first}` }
  t.match(await verifyDataDir(rotated, storage), { ok: true, findings: [], processes: 3 })
  const byPublicKey = { dataDir, auditSigningKey: `${second}, ${publicKeyOf(first)}` }
  t.match(await verifyDataDir(byPublicKey, storage), { ok: true, findings: [] }, 'the old secret is not needed any more')
  const forgotten = await verifyDataDir({ dataDir, auditSigningKey: second }, storage)
  t.equal(forgotten.ok, false, 'a key that is not listed holds nothing')
  t.ok(forgotten.findings.every(({ file, message }) => file === 'store' || !file.startsWith('successor') || !/signature/.test(message)))
  t.match(forgotten.findings.map(({ message }) => message).join(), /AUDIT_SIGNING_KEY does not list/)
})

t.test('only the first key signs, and a public one never', async (t) => {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }) as string
  const publicPem = publicKey.export({ type: 'spki', format: 'pem' }) as string
  const signer = createSigner(`${first},${pem},${second}`)
  t.equal(signer.publicKeys.size, 3)
  t.equal(signer.keyId, createSigner(first).keyId)
  t.equal(signer.sign('text'), createSigner(first).sign('text'))
  const old = createSigner(pem)
  t.ok(signer.verify('text', old.sign('text')))
  t.ok(signer.verify('text', old.sign('text'), old.keyId))
  t.notOk(signer.verify('text', old.sign('text'), signer.keyId), 'a key does not answer for another one')
  t.ok(createSigner(`${first},${publicPem}`).verify('text', old.sign('text')))
  t.throws(() => createSigner(publicPem), /can sign/)
  t.throws(() => createSigner(''), /can sign/)
})

t.test('what is older than AUDIT_RETENTION_DAYS leaves the store too', async (t) => {
  const clock = createTestClock()
  const storage = await openTestStorage(t, auditCollections, clock)
  const events = storage.collection<StoredAuditEvent>(auditEvents)
  const dataDir = temporaryFolder(t)
  const config = { dataDir, auditSigningKey: first, auditRetentionDays: 30 }
  const at = (days: number, id: string): StoredAuditEvent => ({ id, at: clock.now() - days * 86_400_000, processId: 'gone', seq: 0, category: 'auth', type: 'login', actor: 'system', outcome: 'ok' })
  await events.insertMany([at(31, 'ev_old'), at(29, 'ev_young')])
  await prepareAudit({ config, storage, clock, log: silentLog, collections: [] })
  t.equal(await events.get('ev_old'), null)
  t.ok(await events.get('ev_young'))
  const audit = createAudit({ config, storage, clock, log: silentLog, processId: 'hourly' })
  t.teardown(() => audit.close())
  clock.advance(2 * 86_400_000)
  await audit.retain()
  await until('the index is retained', async () => await events.get('ev_young') === null)
})

t.test('AUDIT_PSEUDONYM_KEY hides addresses, alike for alike', async (t) => {
  const storage = await openTestStorage(t, auditCollections)
  const audit = createAudit({ config: { dataDir: temporaryFolder(t), auditSigningKey: first, auditPseudonymKey: second }, storage, clock: systemClock, log: silentLog, processId: 'hidden' })
  for (const address of ['192.0.2.1', '192.0.2.1', '192.0.2.2']) await audit.durable({ category: 'auth', type: 'login', actor: `ip:${address}`, outcome: 'refused', details: { address } })
  await audit.close()
  const { items } = await storage.collection<StoredAuditEvent>(auditEvents).find({ where: { type: 'login' }, sort: [['at', 1]], first: 10 })
  const actors = items.map(({ actor }) => actor)
  t.notMatch(JSON.stringify(items), /192\.0\.2/)
  t.equal(actors[0], actors[1])
  t.not(actors[0], actors[2])
})
