import { generateKeyPairSync } from 'node:crypto'
import { rmSync } from 'node:fs'
import t from 'tap'
import { auditSigner, createAudit, prepareSigningKey } from '../../src/audit/audit.ts'
import { prepareAudit } from '../../src/audit/prepare.ts'
import { createSigner } from '../../src/audit/signing.ts'
import { verifyDataDir } from '../../src/audit/verify.ts'
import { systemClock } from '../../src/std/clock.ts'
import { seen, silentLog, temporaryFolder } from '../journal/disk.ts'
import { memoryStore } from '../journal/memory-store.ts'

const secret = 'a secret of the tests that is long enough'

t.test('the signing key is a secret of any form, or an Ed25519 PEM', async (t) => {
  const pem = generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }) as string
  for (const key of [secret, pem]) {
    const signer = createSigner(key)
    const signature = signer.sign('text')
    t.ok(signer.verify('text', signature) && createSigner(key).verify('text', signature))
    t.notOk(signer.verify('texT', signature))
    t.notOk(signer.verify('text', signature.toUpperCase()), 'one spelling only')
  }
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ type: 'pkcs8', format: 'pem' }) as string
  t.throws(() => createSigner(rsa), /Ed25519/)
  t.throws(() => createSigner('-----BEGIN PRIVATE KEY-----\nnothing'), /PKCS8/)
})

t.test('a generated key that is gone is made again by a start alone', async (t) => {
  const config = { dataDir: temporaryFolder(t), auditSigningKey: null }
  const parts = { config, clock: systemClock, log: silentLog, ...memoryStore() }
  t.equal((await verifyDataDir(config, null)).processes, 0, 'without a log none is asked for')
  prepareSigningKey(config)
  const { keyId } = auditSigner(config)
  const writer = createAudit({ ...parts, processId: 'writer' })
  await writer.durable(seen)
  await writer.close()
  rmSync(`${config.dataDir}/audit/signing.key`)
  const gone = { name: 'ConfigError', message: /AUDIT_SIGNING_KEY: .*signing\.key is gone: restore it/ }
  t.throws(() => createAudit({ ...parts, processId: 'next' }), gone, 'a new worker')
  await t.rejects(prepareAudit({ ...parts, collections: [] }), gone, 'the recovery of an ended one')
  await t.rejects(verifyDataDir(config, null), gone, 'verification, which only reads')
  prepareSigningKey(config)
  t.not(auditSigner(config).keyId, keyId)
})
