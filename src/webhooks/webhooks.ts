import { NEKO_ERR_NOT_FOUND } from '../errors.ts'
import type { Clock, Timer } from '../std/clock.ts'
import { newId } from '../std/id.ts'
import type { Json } from '../std/json.ts'
import type { ResolveName } from '../std/outbound.ts'
import type { Page, Storage } from '../storage/port.ts'
import { DeadLetters } from './dead-letters.ts'
import { Delivery, type Message } from './delivery.ts'
import { Gathering } from './gathering.ts'
import { deadLetterCollection, type DeadLetter, type Notice, type StoredDeadLetter } from './shapes.ts'

/**
 * Notifications: signed webhooks to the URLs of the configuration, and to nobody else.
 *
 * Owns: when a message goes out, and how many are under way. Never does: decide that something is worth telling. In:
 * notices. Out: the notices of one window as one message per URL (gathering.ts), so that a storm of incidents sends
 * a bounded number; each is delivered apart (delivery.ts), and kept when it could not be (dead-letters.ts).
 */
export interface Webhooks {
  /** False when there is nobody to tell. */
  mayNotify (): boolean
  notify (notice: Notice): void
  /**
   * Sends what is of use only while it is new: what comes within one window is one message, and what could not be
   * delivered is not kept.
   * @param type `noun.verb`; @param fact small, nothing secret
   */
  announce (type: string, fact: Json): void
  /** Messages that could not be delivered, newest first. */
  deadLetters (page: { first: number, after: string | null }): Promise<Page<DeadLetter>>
  countDeadLetters (): Promise<number>
  /**
   * Sends one once more, to an URL that is still configured; false when it failed again and stays.
   * @throws NEKO_ERR_NOT_FOUND
   */
  replay (id: string): Promise<boolean>
  /** Resolves when nothing waits. */
  settled (): Promise<void>
  close (): Promise<void>
}

/** Notices that follow a message within this time are one message. */
const WINDOW_MS = 10_000
/** The first notice after a silence waits this long for what the same attack sets off elsewhere. */
const GATHER_MS = 500
const SENDING_MAX = 100
/** Announcements of one type within this time are one message, with at most so many facts: the newest. */
const ANNOUNCE_MS = 1_000
const FACTS_MAX = 100
const CLOSE_MS = 3_000

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
  resolve?: ResolveName
}

export function createWebhooks (
  { urls, storage, clock, log, windowMs = WINDOW_MS, gatherMs = GATHER_MS, ...parts }: WebhookParts
): Webhooks {
  const delivery = new Delivery({ clock, ...parts })
  const deadLetters = new DeadLetters(storage.collection<StoredDeadLetter>(deadLetterCollection), clock)
  const gathering = new Gathering()
  const sending = new Set<Promise<void>>()
  const announcements = new Map<string, Json[]>()
  let announcing: Timer | null = null
  let timer: Timer | null = null
  let lastSentMs = -Infinity
  let closed = false

  function notify (notice: Notice): void {
    if (urls.length === 0 || closed) return
    gathering.add(notice)
    timer ??= clock.after(Math.max(gatherMs, lastSentMs + windowMs - clock.monotonic()), sendGathered)
  }

  function sendGathered (): void {
    timer?.cancel()
    timer = null
    if (gathering.isEmpty) return
    lastSentMs = clock.monotonic()
    const at = clock.now()
    const body = JSON.stringify({ id: newId('wh', at), at: new Date(at).toISOString(), ...gathering.take() })
    for (const url of urls) {
      const message = { id: newId('wm', clock.now()), url, body }
      track(sending.size >= SENDING_MAX ? deadLetters.keep(message, 'too many messages wait') : deliver(message))
    }
  }

  function announce (type: string, fact: Json): void {
    if (urls.length === 0 || closed) return
    const facts = [...announcements.get(type) ?? [], fact].slice(-FACTS_MAX)
    announcements.set(type, facts)
    announcing ??= clock.after(ANNOUNCE_MS, sendAnnouncements)
  }

  function sendAnnouncements (): void {
    announcing?.cancel()
    announcing = null
    const at = clock.now()
    for (const [type, facts] of announcements) {
      const body = JSON.stringify({ id: newId('wh', at), at: new Date(at).toISOString(), type, facts })
      for (const url of urls) {
        if (sending.size < SENDING_MAX) track(sendAway({ id: newId('wm', at), url, body }))
      }
    }
    announcements.clear()
  }

  async function sendAway (message: Message): Promise<void> {
    const problem = await delivery.send(message)
    if (problem === null) return
    log.warn({ url: new URL(message.url).origin, problem }, 'an announcement could not be delivered')
  }

  async function deliver (message: Message): Promise<void> {
    const problem = await delivery.send(message)
    if (problem === null) return
    log.warn({ url: new URL(message.url).origin, problem }, 'a webhook could not be delivered')
    await deadLetters.keep(message, problem === '' ? 'the server was stopped' : problem)
  }

  function track (work: Promise<void>): void {
    const tracked = work.catch((error: unknown) => log.warn({ err: error }, 'a webhook was lost'))
      .finally(() => sending.delete(tracked))
    sending.add(tracked)
  }

  async function replay (id: string): Promise<boolean> {
    const found = await deadLetters.get(id)
    if (found === null || !urls.includes(found.url)) {
      throw new NEKO_ERR_NOT_FOUND('There is no such dead letter, or its URL is not configured any more')
    }
    const failure = await delivery.sendOnce(found)
    if (failure === null) {
      await deadLetters.delete(id)
      return true
    }
    log.warn({ url: new URL(found.url).origin, problem: failure.problem }, 'a webhook could not be replayed')
    return false
  }

  return {
    notify,
    announce,
    mayNotify: () => urls.length > 0,
    deadLetters: (page) => deadLetters.list(page),
    countDeadLetters: () => deadLetters.count(),
    replay,
    async settled () {
      sendGathered()
      sendAnnouncements()
      await Promise.all(sending)
    },
    async close () {
      sendGathered()
      sendAnnouncements()
      closed = true
      // On real time, and not unref'd: it bounds a network's silence, and whoever closes waits for it.
      const last = setTimeout(() => delivery.abort(), CLOSE_MS)
      await Promise.all(sending)
      clearTimeout(last)
      await delivery.close()
    }
  }
}
