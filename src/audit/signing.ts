import { createHash, createPrivateKey, createPublicKey, hkdfSync, randomBytes, sign, verify } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import type { SecretFile } from '../journal/secret-file.ts'

/** DER prefix of a PKCS8 Ed25519 private key (RFC 8410): the 32 bytes of the seed follow. */
const PKCS8_ED25519 = Buffer.from('302e020100300506032b657004220420', 'hex')

/** Signs and verifies what seals the trail; Ed25519, hexadecimal in small letters (one spelling only). */
export interface Signer {
  /** First 16 hexadecimal digits of the SHA-256 of the public key: which key signs. */
  readonly keyId: string
  /** Public keys as PEM, by key id: the one that signs first, then those that only verify. */
  readonly publicKeys: ReadonlyMap<string, string>
  sign (text: string): string
  /** By the key of that id; without one, by any of them. */
  verify (text: string | Buffer, signature: string, keyId?: string): boolean
}

/**
 * From AUDIT_SIGNING_KEY: one key or several separated by commas, the first signs, all verify. A key is a
 * PKCS8 PEM of an Ed25519 key, or any secret, stretched to a seed by HKDF (RFC 5869). Behind the first one a
 * PEM may also be a public key: after a rotation what the old key sealed is verified for as long as it is
 * kept, and the old secret need not be.
 * @throws Error (without the key's text) when a PEM is no Ed25519 key, or the first is no private one.
 */
export function createSigner (secrets: string): Signer {
  const keys = secrets.split(',').map((key) => key.trim()).filter((key) => key !== '').map(readKey)
  const privateKey = keys[0]?.type === 'private' ? keys[0] : null
  if (privateKey === null) throw new Error('AUDIT_SIGNING_KEY must begin with a key that can sign')
  const publicKeys = new Map<string, KeyObject>(keys.map((key) => {
    const publicKey = key.type === 'private' ? createPublicKey(key) : key
    return [
      createHash('sha256').update(publicKey.export({ type: 'spki', format: 'der' })).digest('hex').slice(
        0,
        16
      ),
      publicKey
    ]
  }))
  return {
    keyId: publicKeys.keys().next().value as string,
    publicKeys: new Map(
      [...publicKeys].map(([keyId, key]) => [keyId, key.export({ type: 'spki', format: 'pem' }) as string])
    ),
    sign: (text) => sign(null, Buffer.from(text), privateKey).toString('hex'),
    verify (text, signature, keyId) {
      if (!/^[0-9a-f]{128}$/.test(signature)) return false
      const bytes = typeof text === 'string' ? Buffer.from(text) : text
      const given = Buffer.from(signature, 'hex')
      return [...publicKeys].some(([id, key]) =>
        (keyId === undefined || keyId === id) && verify(null, bytes, key, given)
      )
    }
  }
}

/**
 * Where the key of a machine without AUDIT_SIGNING_KEY is (config.ts refuses this in production: a key beside the log
 * protects against accidents, not against who can write there).
 */
export function localSigningKey (directory: string): SecretFile {
  return {
    directory,
    name: 'signing.key',
    variable: 'AUDIT_SIGNING_KEY',
    charactersMin: 64,
    loss: 'what it sealed can no longer be verified',
    make: () => randomBytes(32).toString('hex')
  }
}

function readKey (text: string): KeyObject {
  return text.startsWith('-----BEGIN ') ? fromPem(text) : fromSecret(text)
}

function fromPem (pem: string): KeyObject {
  let key: KeyObject
  try {
    key = pem.startsWith('-----BEGIN PUBLIC KEY') ? createPublicKey(pem) : createPrivateKey(pem)
  } catch {
    throw new Error('AUDIT_SIGNING_KEY is no readable PKCS8 PEM')
  }
  if (key.asymmetricKeyType !== 'ed25519') throw new Error('AUDIT_SIGNING_KEY must hold an Ed25519 key')
  return key
}

function fromSecret (secret: string): KeyObject {
  const seed = Buffer.from(hkdfSync('sha256', secret, 'neko-defense-api', 'audit signing key', 32))
  return createPrivateKey({ key: Buffer.concat([PKCS8_ED25519, seed]), format: 'der', type: 'pkcs8' })
}
