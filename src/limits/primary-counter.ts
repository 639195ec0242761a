import type { Fleet } from '../fleet/port.ts'
import type { Clock, Timer } from '../std/clock.ts'
import type { Json } from '../std/json.ts'
import { ORDERS_TOPIC, readBatch, writeCounted } from './codec.ts'
import type { Batch, Update } from './codec.ts'
import type { Counters } from './counters.ts'
import { LeaseRecalls } from './lease-recalls.ts'
import { createLeases } from './leases.ts'
import type { Leases } from './leases.ts'
import { hasNets, netBuckets, REFUSED } from './nets.ts'
import { bucketOf } from './rates.ts'
import type { Bucket, Order, RatesInForce } from './shapes.ts'
import { WorkerOutboxes } from './worker-outboxes.ts'

/**
 * The primary's side: counts the orders of its workers, and answers each batch once.
 *
 * Owns the batches that wait for leases to come back; messages to workers are worker-outboxes.ts. A batch that holds a
 * bucket twice is a busy client's: it is lent some points (leases.ts). Before anybody is refused for points that are
 * lent to others these are called back (lease-recalls.ts), and the batch waits for them.
 */
/** Leases whose holder is gone are looked for this often. */
const SWEEP_MS = 250

/** A batch on its way through. */
interface Work { batch: Batch, processId: string, answers: Json[] }

export class PrimaryCounter {
  readonly #counters: Counters
  readonly #leases: Leases
  readonly #outboxes: WorkerOutboxes
  readonly #recalls: LeaseRecalls
  readonly #unsubscribe: () => void
  readonly #sweeper: Timer

  constructor ({ fleet, clock, counters }: { fleet: Fleet, clock: Clock, counters: Counters }) {
    this.#counters = counters
    this.#leases = createLeases({ clock, windows: counters.windows })
    this.#outboxes = new WorkerOutboxes({ fleet, clock })
    this.#recalls = new LeaseRecalls(clock, (key, holder) => this.#leases.end(key, holder))
    this.#unsubscribe = fleet.subscribe(ORDERS_TOPIC, (message, from) => this.#receive(readBatch(message), from))
    this.#sweeper = clock.every(SWEEP_MS, () => this.#leases.sweep())
  }

  /** Answers that are ready leave now. */
  flush (): void {
    this.#outboxes.flush()
  }

  /** Points lent of a client's buckets count for nothing any more. */
  forget (clientKey: string): void {
    this.#leases.forget(clientKey)
  }

  close (): void {
    this.#unsubscribe()
    this.#sweeper.cancel()
    this.#outboxes.close()
    this.#recalls.close()
  }

  #receive (batch: Batch, processId: string): void {
    this.#outboxes.welcome(processId)
    for (const update of batch.updates) this.#apply(update, batch.inForce, processId)
    if (batch.seq > 0) this.#work({ batch, processId, answers: [] })
    this.#outboxes.flushSoon()
  }

  /** Counts one order after the other. Comes back to the one that must wait for a recall. */
  #work (work: Work): void {
    const { batch: { seq, orders, inForce }, processId, answers } = work
    while (answers.length < orders.length) {
      const order = orders[answers.length]!
      const bucket = bucketOf(order, inForce, this.#isHeld(order))
      if (this.#mustRecall(bucket, order, work)) return
      answers.push(this.#count(order, bucket, work))
    }
    this.#outboxes.addAnswers(processId, seq, answers)
  }

  #count (order: Order, { key, rate }: Bucket, { batch: { orders, inForce }, processId, answers }: Work): Json {
    const answer = this.#counters.count(order, inForce)
    const countsInNets = order.kind !== 'request' || answer.count === order.points || answer.net !== undefined
    if (hasNets(order) && countsInNets) this.#tellNets(order, inForce, processId)
    if (answer.net !== undefined) return writeCounted({ answer, held: false, lease: null })
    const isCost = order.kind === 'cost'
    const isBusy = answer.allowed && !this.#isHeld(order) && isLastOfSeveral(order, orders, answers.length)
    if (order.kind === 'request') this.#leases.end(key, processId)
    const lease = isBusy ? this.#leases.grant(key, rate, processId) : null
    if (lease !== null) this.#counters.onAdmitted?.(key, order.tier, lease.points)
    const count = answer.count + (lease?.points ?? 0)
    // A cheaper operation may still fit where a costly one did not.
    const refusedMs = isCost ? 0 : answer.retryAfterMs
    this.#outboxes.tellOthers({ key, rate, count, refusedMs }, processId, !isCost)
    return writeCounted({ answer, held: this.#isHeld(order), lease })
  }

  /** True when the order would be refused for points that others hold: the batch goes on once they gave them back. */
  #mustRecall ({ key, tier, rate }: Bucket, order: Order, work: Work): boolean {
    const { count, allowed, limit } = this.#counters.windows.peek(tier, key, rate)
    if (count + order.points <= limit || (!allowed && count < limit)) return false
    const holders = this.#leases.holders(key, work.processId)
    if (holders.length === 0) return false
    const isNew = this.#recalls.wait(key, holders, () => this.#work(work))
    if (isNew) for (const holder of holders) this.#outboxes.addRecall(holder, order)
    return true
  }

  /** For the looks of workers, and for when they decide alone. */
  #tellNets (order: Order, inForce: RatesInForce, processId: string): void {
    for (const { key, tier, rate } of netBuckets(order, inForce)) {
      const { count, retryAfterMs } = this.#counters.windows.peek(tier, key, rate)
      if (count > 0) this.#outboxes.tellOthers({ key, rate, count, refusedMs: retryAfterMs }, processId, false)
    }
  }

  #apply ({ about, order, ms }: Update, inForce: RatesInForce, processId: string): void {
    if (about === 'violation') {
      this.#counters.noteViolation(order.client, ms)
      return
    }
    if (about === 'returned') return this.#takeBack(bucketOf(order, inForce, false).key, order, processId)
    if (order.kind === REFUSED) return this.#counters.nets.note(order, inForce)
    const { windows } = this.#counters
    const { key, tier, rate } = bucketOf(order, inForce, this.#isHeld(order))
    if (about === 'refund') windows.refund(key, order.points)
    else windows.absorb(key, rate, order.points)
    const { count } = windows.peek(tier, key, rate)
    this.#outboxes.tellOthers({ key, rate, count, refusedMs: 0 }, processId, order.kind !== 'cost')
  }

  #takeBack (key: string, order: Order, processId: string): void {
    // A lease that was forgotten meanwhile is not lent any more.
    if (this.#leases.end(key, processId)) {
      this.#counters.windows.refund(key, order.points)
      this.#counters.onAdmitted?.(key, order.tier, -order.points)
    }
    this.#recalls.answer(key, processId)
  }

  #isHeld ({ kind, client }: Order): boolean {
    return kind === 'request' && this.#counters.isHeld(client)
  }
}

/** In a batch that holds its bucket more than once, the last of them. */
function isLastOfSeveral ({ kind, tier, client }: Order, orders: readonly Order[], at: number): boolean {
  if (kind !== 'request' || orders.length < 2) return false
  const isSame = (other: Order): boolean => other.client === client && other.kind === kind && other.tier === tier
  return orders.findLastIndex(isSame) === at && orders.findIndex(isSame) < at
}
