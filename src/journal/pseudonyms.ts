import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes } from 'node:crypto'
import { cidrText, parseCidr } from '../std/ip.ts'
import type { StoreEffect } from './shapes.ts'

/** Stand-ins for addresses in written events (AUDIT_PSEUDONYM_KEY), undone for recovery. */
export interface Pseudonyms {
  /** Turns an address into a stand-in: the same one gives the same, and only who holds the key can tell which. */
  hide (address: string): string
  /** An effect whose document nobody reads without the key; what it is about stays in the open. */
  seal (effect: StoreEffect): StoreEffect
  /** The effect as it was given. @throws Error when another key sealed it. */
  open (effect: StoreEffect): StoreEffect
}

const IV_BYTES = 12
const TAG_BYTES = 16

/**
 * Stand-ins are 80 bits of HMAC-SHA256 behind a tilde. Effects hold whole documents with the addresses in them, and
 * replay needs those back: they are encrypted (AES-256-GCM, a key of its own by HKDF).
 */
export function createPseudonyms (key: string): Pseudonyms {
  const cipherKey = Buffer.from(hkdfSync('sha256', key, 'neko-defense-api', 'audit effects', 32))
  const about = ({ collection, op, id }: StoreEffect): Buffer => Buffer.from(JSON.stringify([collection, op, id]))
  return {
    hide: (address) => `~${createHmac('sha256', key).update(address).digest('hex').slice(0, 20)}`,
    seal (effect) {
      if (effect.doc === undefined) return effect
      const { doc, ...rest } = effect
      const iv = randomBytes(IV_BYTES)
      const cipher = createCipheriv('aes-256-gcm', cipherKey, iv).setAAD(about(effect))
      const text = Buffer.concat([cipher.update(JSON.stringify(doc)), cipher.final()])
      return { ...rest, sealed: Buffer.concat([iv, cipher.getAuthTag(), text]).toString('base64') }
    },
    open (effect) {
      if (effect.sealed === undefined) return effect
      const { sealed, ...rest } = effect
      const bytes = Buffer.from(sealed, 'base64')
      const decipher = createDecipheriv('aes-256-gcm', cipherKey, bytes.subarray(0, IV_BYTES), {
        authTagLength: TAG_BYTES
      }).setAAD(about(effect)).setAuthTag(bytes.subarray(IV_BYTES, IV_BYTES + TAG_BYTES))
      const text = Buffer.concat([decipher.update(bytes.subarray(IV_BYTES + TAG_BYTES)), decipher.final()])
      return { ...rest, doc: JSON.parse(text.toString()) as NonNullable<StoreEffect['doc']> }
    }
  }
}

/** An effect of a log in clear text. @throws Error where another key sealed it, or there is none here. */
export function openSealed (effect: StoreEffect, pseudonyms: Pseudonyms | null): StoreEffect {
  if (effect.sealed === undefined) return effect
  if (pseudonyms === null) throw new Error('there is no key')
  return pseudonyms.open(effect)
}

/** `ip:<address>` and `range:<cidr>` as ClientKeys and attackers are written, `IP|` and `RANGE|` as decisions are. */
const NAMED_ADDRESS = /^(ip|range)[:|](?=[^~])/i

/** A name whose address is hidden; one network has one stand-in, however it is spelled. */
export function hideName (text: string, pseudonyms: Pseudonyms | null): string {
  const prefix = pseudonyms === null ? undefined : NAMED_ADDRESS.exec(text)?.[0]
  return prefix === undefined
    ? text
    : prefix + pseudonyms!.hide(spelling(text.slice(prefix.length)) ?? text.slice(prefix.length))
}

/** A text that is an address or a range as a whole is hidden too; sentences stay as people and evidence wrote them. */
export function hideAny (text: string, pseudonyms: Pseudonyms): string {
  const address = text.length > ADDRESS_LENGTH_MAX ? null : spelling(text)
  return address === null ? hideName(text, pseudonyms) : pseudonyms.hide(address)
}

/** The longest address with its prefix length. */
const ADDRESS_LENGTH_MAX = 49

/** An address bare, a range with its bits; null when it is neither. */
function spelling (text: string): string | null {
  const cidr = parseCidr(text)
  if (cidr === null) return null
  return cidr.bits === (cidr.family === 4 ? 32 : 128)
    ? cidrText(cidr).slice(0, cidrText(cidr).indexOf('/'))
    : cidrText(cidr)
}
