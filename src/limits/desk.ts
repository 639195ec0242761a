import type { Fleet } from '../cluster/fleet.ts'
import type { Json } from '../std/json.ts'
import type { Ledger } from './ledger.ts'
import { bucketOf, driftOf } from './terms.ts'
import type { Terms } from './terms.ts'
import type { Order } from './shapes.ts'
import { ANSWERS_TOPIC, ORDERS_TOPIC, readBatch, writeCounted, writeTold } from './wire.ts'
import type { Batch, Note, Told } from './wire.ts'

/**
 * The primary's side: counts what its workers order, and answers each batch once.
 *
 * A worker is also told what it cannot know, when a client did more through others than a sixteenth of its limit: for the
 * moment when the primary is silent and each process falls back to its share of what is left. That leaves in the same
 * turn as the answers, so that nobody who was answered is ahead of what the others know. Clients that do less cost no message.
 */
export interface Desk {
  /** What was answered leaves now. */
  flush (): void
  close (): void
}

interface Outbox {
  answers: Json[]
  told: Map<string, Told>
  isUrgent: boolean
  /** The counts that it was last told of. */
  known: Map<string, number>
}

/** What is not urgent and found no answer to travel with. */
const TOLD_MS = 250
/** Buckets that wait to be told to one worker; more are left out. */
const TOLD_MAX = 1000
/** Per message: 64 KiB must hold them beside the answers. */
const TOLD_PER_MESSAGE = 400
/** Per worker; of the others it is taken to know nothing. */
const KNOWN_MAX = 20_000
/** A worker that is no more is forgotten when this many others came after it. */
const OUTBOXES_MAX = 64

export function createDesk ({ fleet, ledger }: { fleet: Fleet, ledger: Ledger }): Desk {
  const { windows } = ledger
  const outboxes = new Map<string, Outbox>()
  let isFlushing = false

  function outboxOf (processId: string): Outbox {
    const before = outboxes.get(processId)
    if (before !== undefined) return before
    if (outboxes.size >= OUTBOXES_MAX) outboxes.delete(outboxes.keys().next().value as string)
    const outbox: Outbox = { answers: [], told: new Map(), isUrgent: false, known: new Map() }
    outboxes.set(processId, outbox)
    return outbox
  }

  function take ({ orders, terms }: Batch, outbox: Outbox): Json[] {
    return orders.map((order) => {
      const held = isHeld(order)
      const answer = ledger.count(order, terms)
      const { key, rate } = bucketOf(order, terms, held)
      const isCost = order.kind === 'cost'
      // A cheaper operation may still fit where a costly one did not.
      tellOthers({ key, rate, count: answer.count, refusedMs: isCost ? 0 : answer.retryAfterMs }, outbox, !isCost)
      return writeCounted({ answer, held })
    })
  }

  function apply ({ about, order, ms }: Note, terms: Terms, outbox: Outbox): void {
    if (about === 'violation') {
      ledger.noteViolation(order.client, ms)
      return
    }
    const { key, tier, rate } = bucketOf(order, terms, isHeld(order))
    if (about === 'refund') windows.refund(key, order.points)
    else windows.absorb(key, rate, order.points)
    tellOthers({ key, rate, count: windows.peek(tier, key, rate).count, refusedMs: 0 }, outbox, order.kind !== 'cost')
  }

  function isHeld ({ kind, client }: Order): boolean {
    return kind === 'request' && ledger.isHeld(client)
  }

  function tellOthers (told: Told, from: Outbox, isUrgent: boolean): void {
    if (outboxes.size < 2) return
    const drift = driftOf(told.rate)
    know(from, told)
    for (const outbox of outboxes.values()) {
      if (outbox === from || told.count - (outbox.known.get(told.key) ?? 0) <= drift) continue
      if (outbox.told.size >= TOLD_MAX && !outbox.told.has(told.key)) continue
      outbox.told.set(told.key, told)
      outbox.isUrgent ||= isUrgent
    }
  }

  function know ({ known }: Outbox, { key, count }: Told): void {
    if (known.size >= KNOWN_MAX && !known.has(key)) known.delete(known.keys().next().value as string)
    known.set(key, count)
  }

  function flush (): void {
    isFlushing = false
    for (const [processId, outbox] of outboxes) if (outbox.answers.length > 0 || outbox.isUrgent) send(processId, outbox)
  }

  function send (processId: string, outbox: Outbox): void {
    const told: Told[] = []
    for (const [key, one] of outbox.told) {
      if (told.length >= TOLD_PER_MESSAGE) break
      told.push(one)
      outbox.told.delete(key)
      know(outbox, one)
    }
    fleet.publish(ANSWERS_TOPIC, [outbox.answers, writeTold(told)], { processId })
    outbox.answers = []
    outbox.isUrgent = false
  }

  fleet.subscribe(ORDERS_TOPIC, (message, from) => {
    const batch = readBatch(message)
    const outbox = outboxOf(from)
    for (const note of batch.notes) apply(note, batch.terms, outbox)
    if (batch.seq > 0) outbox.answers.push([batch.seq, take(batch, outbox)])
    if (isFlushing) return
    isFlushing = true
    setImmediate(flush)
  })
  const timer = setInterval(() => {
    for (const [processId, outbox] of outboxes) if (outbox.told.size > 0) send(processId, outbox)
  }, TOLD_MS)
  timer.unref()

  return { flush, close: () => clearInterval(timer) }
}
