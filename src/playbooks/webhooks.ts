import { createHmac } from 'node:crypto'
import { lookup } from 'node:dns/promises'
import { isIP } from 'node:net'
import { Agent, request } from 'undici'
import type { Clock } from '../std/clock.ts'
import { newId } from '../std/id.ts'
import { canonicalAddress, createAddressSet } from '../std/ip.ts'
import type { Storage } from '../storage/port.ts'
import { deadLetterCollection } from './shapes.ts'

/**
 * Notifications: signed webhooks to the URLs of the configuration, and to nobody else.
 *
 * Owns: grouping, delivery, retries, the list of what could not be delivered. Never does: decide that something is worth
 * telling. What is told within one window goes out as one message per URL, so that a storm of incidents sends a bounded
 * number. Signature: `x-neko-signature: t=<unix seconds>,v1=<hex HMAC-SHA256 of "t.body">`; redirects are not followed;
 * a name that resolves to a private address is refused unless the URL itself names that address (API7).
 */
export interface Notice { kind: 'alert' | 'escalate', playbook: string, attacker: string, assessmentId: string, score: number, reason: string }

export interface Webhooks {
  /** False when there is nobody to tell. */
  notify (notice: Notice): boolean
  /** Sends a message that could not be delivered once more; false when there is none of that id. */
  replay (id: string): Promise<boolean>
  /** Resolves when nothing waits. */
  settled (): Promise<void>
  close (): Promise<void>
}

/** The first notice after a silence goes out at once; what follows within this time is one message. */
const WINDOW_MS = 10_000
const ATTACKERS_PER_MESSAGE = 50
const QUEUE_MAX = 100
const ATTEMPTS_MAX = 4
const RETRY_BASE_MS = 500
const TIMEOUT_MS = 5_000
const DEAD_LETTER_KEPT_MS = 30 * 86_400_000

const PRIVATE = createAddressSet([
  '0.0.0.0/8', '10.0.0.0/8', '100.64.0.0/10', '127.0.0.0/8', '169.254.0.0/16', '172.16.0.0/12', '192.0.0.0/24', '192.168.0.0/16',
  '198.18.0.0/15', '224.0.0.0/4', '240.0.0.0/4', '::/128', '::1/128', '64:ff9b::/96', 'fc00::/7', 'fe80::/10', 'ff00::/8'
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
}

export function createWebhooks ({ urls, secret, storage, clock, log, windowMs = WINDOW_MS, retryBaseMs = RETRY_BASE_MS }: WebhookParts): Webhooks {
  const deadLetters = storage.collection<{ id: string, at: number, url: string, body: string, problem: string, expiresAt: number }>(deadLetterCollection)
  const agent = new Agent({ connect: { timeout: TIMEOUT_MS }, connections: 4 })
  let group: Group | null = null
  let timer: NodeJS.Timeout | null = null
  let lastSentMs = -Infinity
  const sending = new Set<Promise<void>>()
  let closed = false

  function notify (notice: Notice): boolean {
    if (urls.length === 0 || closed) return false
    group ??= { count: 0, critical: false, notices: new Map() }
    group.count++
    group.critical ||= notice.kind === 'escalate'
    const known = group.notices.get(notice.attacker)
    if (known !== undefined) known.count++
    else if (group.notices.size < ATTACKERS_PER_MESSAGE) group.notices.set(notice.attacker, { ...notice, count: 1 })
    if (timer === null) {
      timer = setTimeout(flush, Math.max(0, lastSentMs + windowMs - clock.monotonic()))
      timer.unref()
    }
    return true
  }

  function flush (): void {
    if (timer !== null) clearTimeout(timer)
    timer = null
    if (group === null) return
    const { count, critical, notices } = group
    group = null
    lastSentMs = clock.monotonic()
    const body = JSON.stringify({ id: newId('wh', clock.now()), at: new Date(clock.now()).toISOString(), critical, count, attackers: [...notices.values()] })
    for (const url of urls) {
      const message = { id: newId('wm', clock.now()), url, body }
      if (sending.size >= QUEUE_MAX) { track(bury(message, 'too many messages wait')); continue }
      track(deliver(message))
    }
  }

  function track (work: Promise<void>): void {
    const tracked = work.catch((error: unknown) => log.warn({ err: error }, 'a webhook was lost')).finally(() => sending.delete(tracked))
    sending.add(tracked)
  }

  async function deliver (message: Message): Promise<void> {
    let problem = ''
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      // Full jitter: siblings that failed together must not come back together.
      if (attempt > 0) await new Promise((resolve) => { setTimeout(resolve, Math.random() * retryBaseMs * 2 ** attempt).unref() })
      try {
        await post(message)
        return
      } catch (error) {
        problem = (error as Error).message.slice(0, 200)
      }
    }
    log.warn({ url: new URL(message.url).origin, problem }, 'a webhook could not be delivered')
    await bury(message, problem)
  }

  async function bury (message: Message, problem: string): Promise<void> {
    const at = clock.now()
    await deadLetters.insert({ ...message, at, problem, expiresAt: at + DEAD_LETTER_KEPT_MS })
  }

  async function post ({ url, body }: Message): Promise<void> {
    await refusePrivate(new URL(url))
    const seconds = Math.floor(clock.now() / 1000)
    const signature = createHmac('sha256', secret ?? '').update(`${seconds}.${body}`).digest('hex')
    const response = await request(url, {
      method: 'POST',
      body,
      headers: { 'content-type': 'application/json', 'user-agent': 'neko-defense-api', 'x-neko-signature': `t=${seconds},v1=${signature}` },
      dispatcher: agent,
      headersTimeout: TIMEOUT_MS,
      bodyTimeout: TIMEOUT_MS
    })
    await response.body.dump({ limit: 65_536 })
    if (response.statusCode < 200 || response.statusCode > 299) throw new Error(`answered ${response.statusCode}`)
  }

  return {
    notify,
    async replay (id) {
      const found = await deadLetters.get(id)
      if (found === null) return false
      await post(found)
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
      await Promise.all(sending)
      await agent.destroy()
    }
  }
}

/** An operator who writes a private address means it; a name that turns into one may be somebody's trick. */
async function refusePrivate (url: URL): Promise<void> {
  const host = url.hostname.replace(/^\[|\]$/g, '')
  if (isIP(host) !== 0 || host === 'localhost') return
  for (const { address } of await lookup(host, { all: true })) {
    if (PRIVATE.has(canonicalAddress(address) ?? '0.0.0.0')) throw new Error('the name resolves to a private address')
  }
}
