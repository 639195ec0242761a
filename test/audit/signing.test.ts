import { generateKeyPairSync } from 'node:crypto'
import t from 'tap'
import { createSigner } from '../../src/audit/signing.ts'

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
