import type { Fleet } from '../fleet/port.ts'
import type { Clock } from '../std/clock.ts'
import type { Json } from '../std/json.ts'
import { createLeases } from './leases.ts'
import type { Counters } from './counters.ts'
import { bucketOf, driftOf } from './rates.ts'
import type { Bucket, Order, RatesInForce } from './shapes.ts'
import { ANSWERS_TOPIC, ORDERS_TOPIC, readBatch, writeCounted, writeOrder, writeTold } from './codec.ts'
import type { Batch, Update, Told } from './codec.ts'

/**
 * The primary's side: counts what its workers order, and answers each batch once.
 *
 * A worker is also told what it cannot know, when a client did more through others than a sixteenth of its
 * limit: for the moment when the primary is silent and each process falls back to its share of what is left.
 * That leaves in the same turn as the answers, so that nobody who was answered is ahead of what the others
 * know. Clients that do less cost no message.
 *
 * A batch that holds a bucket twice is a busy client's: it is lent some (leases.ts). Before anybody is
 * refused for what is lent to others that is called back, and the batch waits for it.
 */
export interface PrimaryCounter {
  /** What was answered leaves now. */
  flush (): void
  /** What was lent of a client's counts for nothing any more. */
  forget (clientKey: string): void
  close (): void
}

interface Outbox {
  answers: Json[]
  /** Orders whose bucket's lease it shall give back. */
  recalls: Json[]
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
/**
 * A holder that does not give back in time is taken to have used what it was lent. Well below what a worker
 * waits for an answer.
 */
const RECALL_MS = 50

interface Recall { waitsFor: Set<string>, then: Array<() => void>, timer: NodeJS.Timeout }
/** A batch on its way through. */
interface Work { batch: Batch, processId: string, outbox: Outbox, answers: Json[] }

export function createPrimaryCounter (
  { fleet, clock, counters }: { fleet: Fleet, clock: Clock, counters: Counters }
): PrimaryCounter {
  const { windows } = counters
  const leases = createLeases({ clock, windows })
  const outboxes = new Map<string, Outbox>()
  const recalls = new Map<string, Recall>()
  let isFlushing = false

  function outboxOf (processId: string): Outbox {
    const before = outboxes.get(processId)
    if (before !== undefined) return before
    if (outboxes.size >= OUTBOXES_MAX) outboxes.delete(outboxes.keys().next().value as string)
    const outbox: Outbox = { answers: [], recalls: [], told: new Map(), isUrgent: false, known: new Map() }
    outboxes.set(processId, outbox)
    return outbox
  }

  function work (job: Work): void {
    const { batch: { seq, orders, inForce }, outbox, answers } = job
    while (answers.length < orders.length) {
      const order = orders[answers.length]!
      const bucket = bucketOf(order, inForce, isHeld(order))
      if (mustRecall(bucket, order, job)) return
      answers.push(count(order, bucket, job))
    }
    outbox.answers.push([seq, answers])
    flushSoon()
  }

  function count (
    order: Order,
    { key, rate }: Bucket,
    { batch: { orders, inForce }, processId, outbox, answers }: Work
  ): Json {
    const answer = counters.count(order, inForce)
    const isCost = order.kind === 'cost'
    const isBusy = answer.allowed && !isHeld(order) && isLastOfSeveral(order, orders, answers.length)
    if (order.kind === 'request') leases.end(key, processId)
    const lease = isBusy ? leases.grant(key, rate, processId) : null
    if (lease !== null) counters.onAdmitted?.(key, order.tier, lease.points)
    // A cheaper operation may still fit where a costly one did not.
    tellOthers(
      { key, rate, count: answer.count + (lease?.points ?? 0), refusedMs: isCost ? 0 : answer.retryAfterMs },
      outbox,
      !isCost
    )
    return writeCounted({ answer, held: isHeld(order), lease })
  }

  /** True when the order would be refused for what others hold: then the batch goes on once they gave it back. */
  function mustRecall ({ key, tier, rate }: Bucket, order: Order, job: Work): boolean {
    const { count, allowed, limit } = windows.peek(tier, key, rate)
    if (count + order.points <= limit || (!allowed && count < limit)) return false
    const holders = leases.holders(key, job.processId)
    if (holders.length === 0) return false
    const recall = recalls.get(key) ?? callBack(key, order, holders)
    recall.then.push(() => work(job))
    return true
  }

  function callBack (key: string, order: Order, holders: string[]): Recall {
    const recall: Recall = {
      waitsFor: new Set(holders),
      then: [],
      timer: setTimeout(() => giveUp(key), RECALL_MS).unref()
    }
    recalls.set(key, recall)
    for (const holder of holders) {
      const outbox = outboxOf(holder)
      outbox.recalls.push(writeOrder(order))
      outbox.isUrgent = true
    }
    flushSoon()
    return recall
  }

  function giveUp (key: string): void {
    for (const holder of recalls.get(key)?.waitsFor ?? []) leases.end(key, holder)
    goOn(key)
  }

  function goOn (key: string): void {
    const recall = recalls.get(key)
    if (recall === undefined) return
    clearTimeout(recall.timer)
    recalls.delete(key)
    for (const next of recall.then) next()
  }

  function takeBack (key: string, order: Order, processId: string): void {
    // What was forgotten meanwhile is not lent any more.
    if (leases.end(key, processId)) {
      windows.refund(key, order.points)
      counters.onAdmitted?.(key, order.tier, -order.points)
    }
    const recall = recalls.get(key)
    if (recall?.waitsFor.delete(processId) === true && recall.waitsFor.size === 0) goOn(key)
  }

  function apply (
    { about, order, ms }: Update,
    inForce: RatesInForce,
    { processId, outbox }: Pick<Work, 'processId' | 'outbox'>
  ): void {
    if (about === 'violation') {
      counters.noteViolation(order.client, ms)
      return
    }
    if (about === 'returned') return takeBack(bucketOf(order, inForce, false).key, order, processId)
    const { key, tier, rate } = bucketOf(order, inForce, isHeld(order))
    if (about === 'refund') windows.refund(key, order.points)
    else windows.absorb(key, rate, order.points)
    tellOthers({ key, rate, count: windows.peek(tier, key, rate).count, refusedMs: 0 }, outbox, order.kind !== 'cost')
  }

  function isHeld ({ kind, client }: Order): boolean {
    return kind === 'request' && counters.isHeld(client)
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
    for (const [processId, outbox] of outboxes) {
      if (outbox.answers.length > 0 || outbox.isUrgent) send(processId, outbox)
    }
  }

  function send (processId: string, outbox: Outbox): void {
    const told: Told[] = []
    for (const [key, one] of outbox.told) {
      if (told.length >= TOLD_PER_MESSAGE) break
      told.push(one)
      outbox.told.delete(key)
      know(outbox, one)
    }
    fleet.publish(ANSWERS_TOPIC, [outbox.answers, writeTold(told), outbox.recalls], { processId })
    outbox.answers = []
    outbox.recalls = []
    outbox.isUrgent = false
  }

  function flushSoon (): void {
    if (isFlushing) return
    isFlushing = true
    setImmediate(flush)
  }

  const unsubscribe = fleet.subscribe(ORDERS_TOPIC, (message, processId) => {
    const batch = readBatch(message)
    const outbox = outboxOf(processId)
    for (const update of batch.updates) apply(update, batch.inForce, { processId, outbox })
    if (batch.seq > 0) work({ batch, processId, outbox, answers: [] })
    flushSoon()
  })
  const timer = setInterval(() => {
    for (const [processId, outbox] of outboxes) if (outbox.told.size > 0) send(processId, outbox)
    leases.sweep()
  }, TOLD_MS)
  timer.unref()

  return {
    flush,
    forget: (clientKey) => leases.forget(clientKey),
    close () {
      unsubscribe()
      clearInterval(timer)
      for (const { timer } of recalls.values()) clearTimeout(timer)
    }
  }
}

/** In a batch that holds its bucket more than once, the last of them. */
function isLastOfSeveral ({ kind, tier, client }: Order, orders: readonly Order[], at: number): boolean {
  if (kind !== 'request' || orders.length < 2) return false
  const isSame = (other: Order): boolean => other.client === client && other.kind === kind && other.tier === tier
  return orders.findLastIndex(isSame) === at && orders.findIndex(isSame) < at
}
