import { createHash, createPrivateKey, createPublicKey, hkdfSync, randomBytes, sign, verify } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import type { KeyObject } from 'node:crypto'
import { isErrno } from './files.ts'
import type { FileLayer } from './files.ts'

/** DER prefix of a PKCS8 Ed25519 private key (RFC 8410): the 32 bytes of the seed follow. */
const PKCS8_ED25519 = Buffer.from('302e020100300506032b657004220420', 'hex')
const KEY_FILE = 'signing.key'

/** Signs and verifies what seals the trail; Ed25519, hexadecimal in small letters (one spelling only). */
export interface Signer {
  /** First 16 hexadecimal digits of the SHA-256 of the public key: which key signed. */
  readonly keyId: string
  sign (text: string): string
  verify (text: string | Buffer, signature: string): boolean
}

/**
 * From AUDIT_SIGNING_KEY: a PKCS8 PEM of an Ed25519 key, or any secret, stretched to a seed by HKDF (RFC 5869).
 * @throws Error (without the key's text) when a PEM is no Ed25519 private key.
 */
export function createSigner (secret: string): Signer {
  const privateKey = secret.startsWith('-----BEGIN ') ? fromPem(secret) : fromSecret(secret)
  const publicKey = createPublicKey(privateKey)
  const keyId = createHash('sha256').update(publicKey.export({ type: 'spki', format: 'der' })).digest('hex').slice(0, 16)
  return {
    keyId,
    sign: (text) => sign(null, Buffer.from(text), privateKey).toString('hex'),
    verify: (text, signature) => /^[0-9a-f]{128}$/.test(signature) &&
      verify(null, typeof text === 'string' ? Buffer.from(text) : text, publicKey, Buffer.from(signature, 'hex'))
  }
}

/**
 * The key of a machine without AUDIT_SIGNING_KEY, generated once under DATA_DIR with mode 0600 (config.ts refuses this in
 * production: a key beside the log protects against accidents, not against who can write there). Processes that start
 * together agree: one creates the file, the others read it.
 */
export function localSigningSecret (files: FileLayer, directory: string): string {
  const path = `${directory}/${KEY_FILE}`
  files.makeDirectory(directory)
  for (let attempt = 0; ; attempt++) {
    try {
      writeFileSync(path, randomBytes(32).toString('hex'), { flag: 'wx', mode: 0o600, flush: true })
    } catch (error) {
      if (!isErrno(error, 'EEXIST')) throw error
    }
    const secret = readFileSync(path, 'utf8')
    if (secret.length >= 64) return secret
    // The sibling that creates it is between its open and its write: microseconds.
    if (attempt >= 100) throw new Error(`${KEY_FILE} is damaged: remove it, or set AUDIT_SIGNING_KEY`)
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5)
  }
}

function fromPem (pem: string): KeyObject {
  let key: KeyObject
  try {
    key = createPrivateKey(pem)
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
