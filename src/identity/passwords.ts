import { argon2, randomBytes, timingSafeEqual } from 'node:crypto'
import { NEKO_ERR_INPUT_INVALID, NEKO_ERR_OVERLOADED } from '../errors.ts'
import { retryable } from '../std/retryable.ts'

/**
 * Passwords as argon2id hashes, in the PHC text form (`$argon2id$v=19$m=19456,t=2,p=1$salt$hash`).
 *
 * Owns: how many hashes run at once. One takes 19 MiB and some 40 ms of a libuv thread, of which there are four: two at
 * once leave two for files and DNS, 32 may wait (under a second and a half), and a later caller is told so at once.
 * Parameters: OWASP Password Storage Cheat Sheet, argon2id with 19 MiB, t=2, p=1.
 */
export const HASHES_AT_ONCE = 2
export const HASHES_WAITING_MAX = 32
const PASSWORD_BYTES_MAX = 256
const PARAMETERS = { memory: 19_456, passes: 2, parallelism: 1 }
const HASH_BYTES = 32
const SALT_BYTES = 16
/** The most that a stored hash may ask for: a tampered document must not take the machine's memory. */
const STORED_MAX = { memory: 262_144, passes: 8, parallelism: 4 }
/** Seconds until a caller who was turned away may try again: the queue is empty by then. */
const OVERLOADED_SECONDS = 2

interface Argon2Parameters { memory: number, passes: number, parallelism: number }
interface StoredHash extends Argon2Parameters { salt: Buffer, hash: Buffer }

export interface Passwords {
  /** @throws NEKO_ERR_OVERLOADED */
  hash (password: string): Promise<string>
  /**
   * Takes the same time whether `stored` is a hash or null (nobody of that name): then a hash nobody knows is compared.
   * `outdated` says that the parameters have changed since, so that the caller may store a new hash.
   * @throws NEKO_ERR_OVERLOADED
   */
  verify (password: string, stored: string | null): Promise<{ held: boolean, outdated: boolean }>
  /** Hashes that run and wait. */
  load (): { running: number, waiting: number }
}

export function createPasswords (): Passwords {
  const nobody: StoredHash = { ...PARAMETERS, salt: randomBytes(SALT_BYTES), hash: randomBytes(HASH_BYTES) }
  const waiting: Array<() => void> = []
  let running = 0

  /** The caller whose turn comes takes over the slot of the one that ended, so that nobody slips in between. */
  async function inTurn<T> (work: () => Promise<T>): Promise<T> {
    if (running < HASHES_AT_ONCE) {
      running++
    } else {
      if (waiting.length >= HASHES_WAITING_MAX) throw overloaded()
      await new Promise<void>((resolve) => { waiting.push(resolve) })
    }
    try {
      return await work()
    } finally {
      const next = waiting.shift()
      if (next === undefined) running--
      else next()
    }
  }

  return {
    async hash (password) {
      const salt = randomBytes(SALT_BYTES)
      const hash = await inTurn(() => derive(password, salt, PARAMETERS))
      const { memory, passes, parallelism } = PARAMETERS
      return `$argon2id$v=19$m=${memory},t=${passes},p=${parallelism}$${unpadded(salt)}$${unpadded(hash)}`
    },
    async verify (password, stored) {
      const parsed = stored === null ? null : parseHash(stored)
      const expected = parsed ?? nobody
      const hash = await inTurn(() => derive(password, expected.salt, expected))
      const equal = timingSafeEqual(hash, expected.hash)
      const outdated = expected.memory !== PARAMETERS.memory || expected.passes !== PARAMETERS.passes ||
        expected.parallelism !== PARAMETERS.parallelism
      return { held: equal && parsed !== null, outdated }
    },
    load: () => ({ running, waiting: waiting.length })
  }
}

/** For any password, before it is hashed. @throws NEKO_ERR_INPUT_INVALID over 256 bytes. */
export function requirePasswordBounds (password: string): void {
  if (Buffer.byteLength(password) > PASSWORD_BYTES_MAX) {
    throw new NEKO_ERR_INPUT_INVALID(`A password may have at most ${PASSWORD_BYTES_MAX} bytes`)
  }
}

function derive (password: string, salt: Buffer, { memory, passes, parallelism }: Argon2Parameters): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    // NFKC: the same password typed on another keyboard or system is the same bytes (RFC 8265).
    const message = Buffer.from(password.normalize('NFKC'))
    argon2('argon2id', { message, nonce: salt, memory, passes, parallelism, tagLength: HASH_BYTES }, (error, hash) => {
      if (error === null) resolve(hash)
      else reject(error)
    })
  })
}

/** Null for a text that is no hash of ours, or asks for more than we give. */
function parseHash (text: string): StoredHash | null {
  const match =
    /^\$argon2id\$v=19\$m=(\d{1,7}),t=(\d{1,2}),p=(\d{1,2})\$([A-Za-z0-9+/]{11,86})\$([A-Za-z0-9+/]{43})$/
      .exec(text)
  if (match === null) return null
  const [memory, passes, parallelism] = [Number(match[1]), Number(match[2]), Number(match[3])]
  if (
    memory > STORED_MAX.memory || passes > STORED_MAX.passes || parallelism > STORED_MAX.parallelism ||
    passes < 1 || parallelism < 1 || memory < 8 * parallelism
  ) {
    return null
  }
  return {
    memory,
    passes,
    parallelism,
    salt: Buffer.from(match[4] as string, 'base64'),
    hash: Buffer.from(match[5] as string, 'base64')
  }
}

function unpadded (bytes: Buffer): string {
  return bytes.toString('base64').replace(/=+$/, '')
}

function overloaded (): Error {
  return retryable(new NEKO_ERR_OVERLOADED(String(OVERLOADED_SECONDS)), OVERLOADED_SECONDS)
}
