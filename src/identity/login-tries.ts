import { NEKO_ERR_LIMIT_EXCEEDED } from '../errors.ts'
import { KNOWN, STRANGERS, STRANGERS_RATE } from '../limits/shapes.ts'
import type { Clock } from '../std/clock.ts'
import { addressKey } from '../std/ip.ts'
import { retryable } from '../std/retryable.ts'
import type { Storage } from '../storage/port.ts'
import type { Device } from './devices.ts'
import { createKnownAddresses } from './known-addresses.ts'
import { createLoginLine, type LoginLine } from './login-line.ts'

/**
 * Whether a try at a password may be made, before the password is looked at. Every try is counted by its address (IPv6
 * by /64); those of strangers to an account wait for it (login-line.ts), so that many addresses on one account slow
 * each other down and shut nobody out. Addresses and devices that signed in to it before never wait, and what the
 * networks around them did is not theirs; a device's tries are its own, whatever its neighbours did, and few all the
 * same.
 */

/**
 * The limiter's count of tries. A key is `<verb>|<client, account, device or user>`, so that forgetting one of those
 * also forgets its tries.
 */
export interface Attempts {
  take (key: string): Promise<Attempt>
  /** As this process knows, without counting. */
  peek (key: string): Attempt
  /** One that was taken and not made. */
  giveBack (key: string): void
}
interface Attempt {
  allowed: boolean
  retryAfterSeconds: number
  /** Where not its client's own limit refused it, but that of the network around it. */
  net?: number
  limit?: number
  windowSeconds?: number
}

interface AddressTry {
  /** As the account's tries are counted. */
  account: string
  /** Null for a user who does not exist, whose tries wait like others. */
  userId: string | null
  address: string
  /** Its client hung up. */
  isGone (): boolean
}

/** All answer the seconds to wait, 0 when the try may be made. */
export interface LoginTries {
  /**
   * By the address alone, whatever its networks did, before anybody is looked up: asks no store, counts nothing while
   * there are tries left.
   */
  waitOf (address: string): number | Promise<number>
  /** @throws NEKO_ERR_LIMIT_EXCEEDED for a stranger's that waited in vain, NEKO_ERR_STORE_UNAVAILABLE */
  ofAddress (one: AddressTry): Promise<number>
  ofDevice (device: Device, address: string): Promise<number>
  /** Of a refresh: of its session where its token's family lives, whatever others of the address show; else of that. */
  ofRefresh (sessionId: string | null, address: string): Promise<number>
  /** A user signed in from there. Never rejects. */
  note (userId: string, address: string): Promise<void>
  line: LoginLine
}

export function createLoginTries (
  { attempts, storage, clock }: { attempts: Attempts, storage: Storage, clock: Clock }
): LoginTries {
  const knownAddresses = createKnownAddresses({ storage, clock })
  const line = createLoginLine({
    clock,
    strangers: {
      take: async (account) => (await attempts.take(strangersOf(account))).allowed,
      mayTake: (account) => attempts.peek(strangersOf(account)).allowed,
      giveBack: (account) => attempts.giveBack(strangersOf(account))
    }
  })

  /** @throws NEKO_ERR_LIMIT_EXCEEDED for one that its neighbours used up */
  async function tryOn (key: string): Promise<number> {
    const answer = await attempts.take(key)
    const { net, limit, windowSeconds, retryAfterSeconds } = answer
    if (net === undefined) return secondsOf(answer)
    throw blameless(retryAfterSeconds, { tier: 'strict', limit: limit!, windowSeconds: windowSeconds! })
  }

  /** One more over the limit is counted: that is what begins a block. */
  async function exceed (key: string): Promise<number> {
    const seconds = await tryOn(key)
    if (seconds === 0) attempts.giveBack(key)
    return seconds
  }

  function waitOf (address: string): number | Promise<number> {
    const key = keyOf(address)
    const { allowed, net } = attempts.peek(key)
    return allowed || net !== undefined ? 0 : exceed(key)
  }

  function waitOfStranger (address: string): number | Promise<number> {
    const key = keyOf(address)
    return attempts.peek(key).allowed ? 0 : exceed(key)
  }

  async function tryOfKnown (address: string): Promise<number> {
    const answer = await attempts.take(keyOf(address))
    return secondsOf(answer.net === undefined ? answer : await attempts.take(`${KNOWN}|ip:${addressKey(address)}`))
  }

  return {
    line,
    waitOf,
    async ofAddress ({ account, userId, address, isGone }) {
      const key = keyOf(address)
      if (await knownAddresses.knows(userId, address)) return await tryOfKnown(address)
      const refused = await waitOfStranger(address)
      if (refused > 0) return refused
      const wait = await line.enter({ account, address: addressKey(address), isGone })
      if (wait > 0) {
        const { max, windowSeconds } = STRANGERS_RATE
        throw blameless(wait, { tier: 'strangers', limit: max, windowSeconds })
      }
      const giveBack = (): void => attempts.giveBack(strangersOf(account))
      const seconds = await tryOn(key).catch((error: unknown) => {
        giveBack()
        throw error
      })
      if (seconds > 0) giveBack()
      return seconds
    },
    ofRefresh: (sessionId, address) =>
      tryOn(sessionId === null ? `refresh|ip:${addressKey(address)}` : `refresh|session:${sessionId}`),
    async ofDevice (device, address) {
      // On its address they count too, so that showing it or not makes no more of them.
      const [seconds] = await Promise.all([tryOn(`login|device:${device.id}`), attempts.take(keyOf(address))])
      return seconds
    },
    note: (userId, address) => knownAddresses.note(userId, address)
  }
}

function secondsOf ({ allowed, retryAfterSeconds }: Attempt): number {
  return allowed ? 0 : Math.max(1, retryAfterSeconds)
}

/** Its client did nothing wrong: nobody counts it as a refused try or as a violation. */
function blameless (seconds: number, limited: { tier: string, limit: number, windowSeconds: number }): Error {
  const error = retryable(new NEKO_ERR_LIMIT_EXCEEDED(String(seconds)), seconds)
  return Object.assign(error, { limited, isViolation: false })
}

function keyOf (address: string): string {
  return `login|ip:${addressKey(address)}`
}

function strangersOf (account: string): string {
  return `${STRANGERS}|${account}`
}
