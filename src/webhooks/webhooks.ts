import { createHmac } from 'node:crypto'
import { lookup } from 'node:dns/promises'
import type { LookupFunction } from 'node:net'
import type { Agent, request } from 'undici'
import { NEKO_ERR_NOT_FOUND } from '../errors.ts'
import { pause } from '../std/deadline.ts'
import type { Clock } from '../std/clock.ts'
import { newId } from '../std/id.ts'
import { canonicalAddress, createAddressSet } from '../std/ip.ts'
import type { Page, Storage } from '../storage/port.ts'
import { deadLetterCollection, type Notice } from '../playbooks/shapes.ts'

/**
 * Notifications: signed webhooks to the URLs of the configuration, and to nobody else.
 *
 * Owns: grouping, delivery, retries, the list of what could not be delivered. Never does: decide that
 * something is worth telling. What is told within one window goes out as one message per URL, so that a storm
 * of incidents sends a bounded number. Signature: `x-neko-signature: t=<unix seconds>,v1=<hex HMAC-SHA256 of
 * "t.body">`; redirects are not followed; a name that resolves to a private address is refused unless the URL
 * itself names that address (API7), at the moment of connecting and for the very address that is connected
 * to, so that a name cannot turn into another in between.
 */
export interface DeadLetter { id: string, at: number, url: string, body: string, problem: string }

export interface Webhooks {
  /** False when there is nobody to tell. */
  mayNotify (): boolean
  notify (notice: Notice): void
  /** What could not be delivered, newest first. */
  deadLetters (page: { first: number, after: string | null }): Promise<Page<DeadLetter>>
  countDeadLetters (): Promise<number>
  /**
   * Sends one once more, to an URL that is still configured; false when it failed again and stays. @throws
   * NEKO_ERR_NOT_FOUND
   */
  replay (id: string): Promise<boolean>
  /** Resolves when nothing waits. */
  settled (): Promise<void>
  close (): Promise<void>
}

/** What follows a message within this time is one message. */
const WINDOW_MS = 10_000
/** The first notice after a silence waits this long for what the same attack sets off elsewhere. */
const GATHER_MS = 500
const ATTACKERS_PER_MESSAGE = 50
const QUEUE_MAX = 100
const RETRIES_MAX = 3
/** Dead letters that wait for the store. */
const UNSAVED_MAX = 100
const CLOSE_MS = 3_000
const RETRY_BASE_MS = 500
const TIMEOUT_MS = 5_000
const DEAD_LETTER_KEPT_MS = 30 * 86_400_000

const PRIVATE = createAddressSet([
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '224.0.0.0/4',
  '240.0.0.0/4',
  '::/128',
  '::1/128',
  '64:ff9b::/96',
  '64:ff9b:1::/48',
  '100::/64',
  '2001::/32',
  '2002::/16',
  'fc00::/7',
  'fec0::/10',
  'fe80::/10',
  'ff00::/8'
])

interface Group { count: number, critical: boolean, notices: Map<string, Notice & { count: number }> }
interface Message { id: string, url: string, body: string }

export interface WebhookParts {
  urls: readonly string[]
  secret: string | null
  storage: Storage
  clock: Clock
  log: { warn (details: object, message: string): void }
  windowMs?: number
  retryBaseMs?: number
  gatherMs?: number
  /** Every address of a name; tests have their own. */
  resolve?: (host: string) => Promise<string[]>
}

export function createWebhooks (
  {
    urls,
    secret,
    storage,
    clock,
    log,
    windowMs = WINDOW_MS,
    retryBaseMs = RETRY_BASE_MS,
    gatherMs = GATHER_MS,
    resolve = resolveName
  }: WebhookParts
): Webhooks {
  const deadLetters = storage.collection<DeadLetter & { expiresAt: number }>(deadLetterCollection)
  let client: { agent: Agent, request: typeof request } | null = null
  const unsavedDeadLetters: Array<DeadLetter & { expiresAt: number }> = []
  const ending = new AbortController()
  let group: Group | null = null
  let timer: NodeJS.Timeout | null = null
  let lastSentMs = -Infinity
  const sending = new Set<Promise<void>>()
  let closed = false

  /** Late: 110 files that only those who send webhooks need. */
  async function opened (): Promise<{ agent: Agent, request: typeof request }> {
    const { Agent, request } = await import('undici')
    client ??= {
      agent: new Agent({ connect: { timeout: TIMEOUT_MS, lookup: publicLookup(resolve) }, connections: 4 }),
      request
    }
    return client
  }

  function notify (notice: Notice): void {
    if (urls.length === 0 || closed) return
    group ??= { count: 0, critical: false, notices: new Map() }
    group.count++
    group.critical ||= notice.kind === 'escalate'
    const known = group.notices.get(notice.attacker)
    // Of one attacker's the loudest is told.
    if (known !== undefined) {
      Object.assign(known, known.kind === 'alert' && notice.kind === 'escalate' ? notice : {}, {
        count: known.count + 1
      })
    } else if (group.notices.size < ATTACKERS_PER_MESSAGE) {
      group.notices.set(notice.attacker, { ...notice, count: 1 })
    }
    if (timer === null) {
      timer = setTimeout(flush, Math.max(gatherMs, lastSentMs + windowMs - clock.monotonic()))
      timer.unref()
    }
  }

  function flush (): void {
    if (timer !== null) clearTimeout(timer)
    timer = null
    if (group === null) return
    const { count, critical, notices } = group
    group = null
    lastSentMs = clock.monotonic()
    const body = JSON.stringify({
      id: newId('wh', clock.now()),
      at: new Date(clock.now()).toISOString(),
      critical,
      count,
      attackers: [...notices.values()]
    })
    for (const url of urls) {
      const message = { id: newId('wm', clock.now()), url, body }
      if (sending.size >= QUEUE_MAX) { track(keepDeadLetter(message, 'too many messages wait')); continue }
      track(deliver(message))
    }
  }

  function track (work: Promise<void>): void {
    const tracked = work.catch((error: unknown) => log.warn({ err: error }, 'a webhook was lost')).finally(
      () => sending.delete(tracked)
    )
    sending.add(tracked)
  }

  async function deliver (message: Message): Promise<void> {
    let problem = ''
    for (let retry = 0; retry <= RETRIES_MAX && !ending.signal.aborted; retry++) {
      // Full jitter: siblings that failed together must not come back together.
      if (retry > 0) await pause(Math.random() * retryBaseMs * 2 ** retry, ending.signal)
      try {
        await post(message)
        return
      } catch (error) {
        problem = (error as Error).message.slice(0, 200)
        if ((error as { final?: boolean }).final === true) break
      }
    }
    log.warn({ url: new URL(message.url).origin, problem }, 'a webhook could not be delivered')
    await keepDeadLetter(message, problem === '' ? 'the server was stopped' : problem)
  }

  /** A store that is down gets its dead letters with the next one, or at the end. */
  async function keepDeadLetter (message: Message, problem: string): Promise<void> {
    const at = clock.now()
    if (unsavedDeadLetters.length >= UNSAVED_MAX) unsavedDeadLetters.shift()
    unsavedDeadLetters.push({ ...message, at, problem, expiresAt: at + DEAD_LETTER_KEPT_MS })
    const batch = [...unsavedDeadLetters]
    await deadLetters.insertMany(batch)
    unsavedDeadLetters.splice(0, batch.length)
  }

  async function post ({ url, body }: Message): Promise<void> {
    const seconds = Math.floor(clock.now() / 1000)
    const signature = createHmac('sha256', secret ?? '').update(`${seconds}.${body}`).digest('hex')
    const { agent, request } = await opened()
    const response = await request(url, {
      method: 'POST',
      body,
      headers: {
        'content-type': 'application/json',
        'user-agent': 'neko-defense-api',
        'x-neko-signature': `t=${seconds},v1=${signature}`
      },
      dispatcher: agent,
      headersTimeout: TIMEOUT_MS,
      bodyTimeout: TIMEOUT_MS,
      signal: ending.signal
    })
    await response.body.dump({ limit: 65_536 })
    if (response.statusCode < 200 || response.statusCode > 299) throw new Undelivered(response.statusCode)
  }

  return {
    notify,
    mayNotify: () => urls.length > 0,
    deadLetters: async ({ first, after }) => await deadLetters.find({ sort: [['at', -1]], first, after }),
    countDeadLetters: async () => await deadLetters.count(),
    async replay (id) {
      const found = await deadLetters.get(id)
      if (found === null || !urls.includes(found.url)) {
        throw new NEKO_ERR_NOT_FOUND('There is no such dead letter, or its URL is not configured any more')
      }
      try {
        await post(found)
      } catch (error) {
        log.warn(
          { url: new URL(found.url).origin, problem: (error as Error).message.slice(0, 200) },
          'a webhook could not be replayed'
        )
        return false
      }
      await deadLetters.delete(id)
      return true
    },
    async settled () {
      flush()
      await Promise.all(sending)
    },
    async close () {
      flush()
      closed = true
      const last = setTimeout(() => ending.abort(), CLOSE_MS)
      await Promise.all(sending)
      clearTimeout(last)
      await client?.agent.destroy()
    }
  }
}

class Undelivered extends Error {
  /** True when asking again would change nothing: redirects are not followed, and a refusal is one. */
  readonly final: boolean
  constructor (status: number) {
    super(`answered ${status}`)
    this.final = status < 500 && status !== 408 && status !== 429
  }
}

async function resolveName (host: string): Promise<string[]> {
  return (await lookup(host, { all: true })).map(({ address }) => address)
}

/**
 * An operator who writes a private address means it (it is never looked up); a name that turns into one may
 * be somebody's trick.
 */
function publicLookup (resolve: (host: string) => Promise<string[]>): LookupFunction {
  return (host, options, callback) => {
    resolve(host).then((addresses) => {
      const found = addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }))
      if (found.length === 0) throw new Error('the name resolves to nothing')
      if (
        host !== 'localhost' &&
        found.some(({ address }) => PRIVATE.has(canonicalAddress(address) ?? '0.0.0.0'))
      ) throw new Error('the name resolves to a private address')
      if (options.all === true) callback(null, found)
      else callback(null, found[0]!.address, found[0]!.family)
    }).catch((error: Error) => callback(error, '', 0))
  }
}
