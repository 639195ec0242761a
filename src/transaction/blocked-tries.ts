import { Kind, parse } from 'graphql'
import type { Decisions } from '../decisions/decisions.ts'
import { holdsForSignedIn, type Decision } from '../decisions/shapes.ts'
import type { Identity } from '../identity/identity.ts'
import type { Limits } from '../limits/limiter.ts'
import { BoundedMap } from '../std/bounded-map.ts'
import type { Clock } from '../std/clock.ts'
import { isBlock } from './standing-block.ts'
import type { Body, Transaction } from './transaction.ts'

/**
 * What a blocked address may still try, so that the block of a rule shuts out nobody who can sign in: a
 * credential, until ten have failed within ten minutes, and a login or refresh, ten times a minute. The rest of what it
 * sends is answered unread, at the cost of hop 1.
 */
interface BlockedTries {
  /** A credential of a blocked address is no longer checked; one that is known to hold always is. */
  refusesCredential (transaction: Transaction): boolean
  /** One more that did not hold. */
  countRefused (transaction: Transaction): Promise<void>
  /**
   * Whether the body of a request of a blocked address is read, since it may be a login: takes one of the ten. Then
   * `isSignIn` says what it was.
   */
  reads (transaction: Transaction, block: Decision): boolean | Promise<boolean>
}

interface TriesParts {
  decisions: Pick<Decisions, 'byPeopleAbout'>
  identity: Pick<Identity, 'recall'>
  limits: Pick<Limits, 'peekNamed' | 'takeNamed'>
  clock: Pick<Clock, 'monotonic'>
}

/** Addresses whose ten are used up, until when: a flood asks a Map, since the limits cost more than all of hop 1. */
const USED_UP_MAX = 20_000
const BODY_BYTES_MAX = 4096
/** Names, arguments and punctuation of any login that people write; it bounds the depth too. */
const PARSING = { maxTokens: 200, noLocation: true }
const SIGN_IN_FIELDS: ReadonlySet<string> = new Set(['login', 'refreshToken'])
/** Of the routes of sign-in this is the only one yet; the session routes of the console will join it here. */
const SIGN_IN_TARGET = '/graphql'

export function createBlockedTries ({ decisions, identity, limits, clock }: TriesParts): BlockedTries {
  const usedUpUntilMs = new BoundedMap<string, number>(USED_UP_MAX)

  function mayRead (address: string, client: string): boolean {
    const { allowed, retryAfterMs } = limits.peekNamed('strict', 'sign-in', client)
    if (!allowed) usedUpUntilMs.set(address, clock.monotonic() + retryAfterMs)
    return allowed
  }

  return {
    refusesCredential: ({ client, shown }) =>
      !limits.peekNamed('strict', 'blocked-credential', client).allowed && identity.recall(shown!) === null,
    async countRefused ({ client }) {
      await limits.takeNamed('strict', 'blocked-credential', client)
    },
    reads (transaction, block) {
      const { method, target, door, shown, client, address, neverBlockApplies } = transaction
      // In the order of their cost: a blocked flood is most of what a defence sees.
      if (method !== 'POST' || holdsForSignedIn(block)) return false
      if ((usedUpUntilMs.get(address!) ?? -Infinity) > clock.monotonic()) return false
      if (target !== SIGN_IN_TARGET || door !== 'http' || shown !== null || !mayRead(address!, client)) return false
      if (!isShort(transaction.headers) || isBlock(decisions.byPeopleAbout(address!, neverBlockApplies))) return false
      const taken = limits.takeNamed('strict', 'sign-in', client)
      return taken instanceof Promise ? taken.then(({ allowed }) => allowed) : taken.allowed
    }
  }
}

/** True for a body that asks for login or refreshToken and nothing else. */
export function isSignIn (body: Body | null): boolean {
  if (body === null || body.bytes === null || body.end !== 'whole' || body.bytes.length > BODY_BYTES_MAX) return false
  try {
    const { bytes } = body
    const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8')
    const { query } = JSON.parse(text) as { query?: unknown }
    return typeof query === 'string' && parse(query, PARSING).definitions.every((definition) =>
      definition.kind === Kind.OPERATION_DEFINITION && definition.operation === 'mutation' &&
      definition.selectionSet.selections.every((one) => one.kind === Kind.FIELD && SIGN_IN_FIELDS.has(one.name.value)))
  } catch {
    return false
  }
}

/** A body of a length that was said once, and that is short. */
function isShort (headers: readonly string[]): boolean {
  let length: string | null = null
  for (let i = 0; i + 1 < headers.length; i += 2) {
    const name = (headers[i] as string).toLowerCase()
    if (name === 'transfer-encoding' || name === 'upgrade') return false
    if (name !== 'content-length') continue
    if (length !== null) return false
    length = headers[i + 1] as string
  }
  return length !== null && /^\d{1,4}$/.test(length) && Number(length) > 0 && Number(length) <= BODY_BYTES_MAX
}
