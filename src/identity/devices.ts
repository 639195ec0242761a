import { createHmac } from 'node:crypto'
import type { Clock } from '../std/clock.ts'
import { randomText } from '../std/id.ts'
import { equal } from './sessions.ts'

/**
 * Devices that a user signed in from: a text for a cookie, signed by a key of ours (OWASP's device cookies). Whoever
 * shows one at a login of that user does not wait behind strangers, and has tries of its own; it opens nothing.
 *
 * Nothing is stored: the user's generation is in it, so that a new password and a disabling end all of them, and the
 * secrets of access tokens sign it under a name of their own, so that rotating those out ends them too.
 */
export const DEVICE_SECONDS = 30 * 86_400
const ID_CHARACTERS = 20
const TEXT = /^([0-9a-z]{20})\.([a-z]{1,8}_[0-9a-z]{12,40})\.([0-9]{1,9})\.([0-9]{10})\.([\w-]{43})$/

export interface Device { id: string, userId: string, generation: number }

export interface Devices {
  /** For a user who signed in; a device that was shown keeps its id. */
  issue (user: { id: string, generation: number }, shown: Device | null): string
  /** Null for a text that is none of ours, or over. Of which user and generation it must be is the caller's to say. */
  read (text: string | null): Device | null
  /** As Tokens.setSecrets. */
  setSecrets (secrets: readonly string[]): void
}

export function createDevices (
  { secrets, clock }: { secrets: readonly string[], clock: Pick<Clock, 'now'> }
): Devices {
  let keys = secrets.map(keyOf)

  return {
    issue ({ id: userId, generation }, shown) {
      const id = shown?.userId === userId ? shown.id : randomText(ID_CHARACTERS)
      const body = `${id}.${userId}.${generation}.${Math.floor(clock.now() / 1000) + DEVICE_SECONDS}`
      return `${body}.${sign(body, keys[0]!)}`
    },
    read (text) {
      const match = text === null ? null : TEXT.exec(text)
      if (match === null) return null
      const [whole, id, userId, generation, endsAt, mac] = match as unknown as [string, ...string[]]
      const body = whole.slice(0, -44)
      if (!keys.some((key) => equal(sign(body, key), mac!)) || Number(endsAt) * 1000 <= clock.now()) return null
      return { id: id!, userId: userId!, generation: Number(generation) }
    },
    setSecrets (next) { keys = next.map(keyOf) }
  }
}

/** A key that signs nothing else. */
function keyOf (secret: string): Buffer {
  return createHmac('sha256', secret).update('neko-device').digest()
}

function sign (body: string, key: Buffer): string {
  return createHmac('sha256', key).update(body).digest('base64url')
}
