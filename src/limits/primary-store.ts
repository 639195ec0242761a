import type { Fleet } from '../fleet/port.ts'
import type { Clock, Timer } from '../std/clock.ts'
import type { Json } from '../std/json.ts'
import type { Logger } from '../telemetry/logger.ts'
import { admitted } from './answers.ts'
import { ANSWERS_TOPIC, readCounted, readOrder, readTold } from './codec.ts'
import { peekWithNets, type Counters } from './counters.ts'
import { hasNets } from './nets.ts'
import { OrderQueue } from './order-queue.ts'
import type { OrderBatch } from './order-queue.ts'
import { PrimaryLink } from './primary-link.ts'
import { PrimaryWatch } from './primary-watch.ts'
import { bucketOf, driftOf } from './rates.ts'
import { createRefusals } from './refusals.ts'
import type { Refusals } from './refusals.ts'
import type { Bucket, LimitAnswer, LimitStore, Order, RatesInForce } from './shapes.ts'
import { createWorkerLeases } from './worker-leases.ts'
import type { WorkerLeases } from './worker-leases.ts'

/**
 * A worker's side: the primary counts for all processes of the host, so that N pass at once and never more, whichever
 * process a connection lands on.
 *
 * Cheap: orders of one turn travel in one message (order-queue.ts); a bucket that is known to be refused for a while is
 * refused here (refusals.ts); a busy client's requests are lent ahead (worker-leases.ts); GraphQL points are asked for
 * only once a client has used up this process's share of them, and told afterwards (so a client gets at most that share
 * more than its budget, for as long as a message takes).
 *
 * When the primary does not answer in time (primary-watch.ts) this process decides alone, by its share of the rest as
 * far as it knows, and goes on so, without waiting, until the primary is heard again: its own admissions are then told.
 */
interface PrimaryStoreOptions {
  fleet: Fleet
  clock: Clock
  log: Pick<Logger, 'info' | 'warn'>
  counters: Counters
  inForce: RatesInForce
}

/** Unused points of a lease are given back this soon after its time. */
const ENDED_MS = 500

export class PrimaryStore implements LimitStore {
  readonly #fleet: Fleet
  readonly #log: Pick<Logger, 'info' | 'warn'>
  readonly #counters: Counters
  readonly #refusals: Refusals
  readonly #leases: WorkerLeases
  readonly #queue: OrderQueue
  readonly #watch: PrimaryWatch
  readonly #link: PrimaryLink
  readonly #unsubscribe: () => void
  readonly #endedTimer: Timer
  #inForce: RatesInForce

  constructor ({ fleet, clock, log, counters, inForce }: PrimaryStoreOptions) {
    this.#fleet = fleet
    this.#log = log
    this.#counters = counters
    this.#inForce = inForce
    this.#refusals = createRefusals(clock)
    this.#leases = createWorkerLeases(clock)
    this.#link = new PrimaryLink({ fleet, clock, inForce, isSilent: () => this.#watch.isSilent })
    this.#queue = new OrderQueue({ clock, send: (seq, orders) => this.#send(seq, orders) })
    this.#watch = new PrimaryWatch({
      clock,
      sentAtMs: () => this.#queue.underWay?.atMs ?? null,
      heardAtMs: () => fleet.primaryHeardMs?.() ?? 0,
      onSilent: (waitedMs) => this.#fallBack(waitedMs),
      probe: () => this.#queue.probe()
    })
    this.#unsubscribe = fleet.subscribe(ANSWERS_TOPIC, (message, from) => {
      if (from === fleet.primaryId) this.#receive(message)
    })
    this.#endedTimer = clock.every(ENDED_MS, () => this.#giveBackEnded('ended'))
  }

  take (order: Order): LimitAnswer | Promise<LimitAnswer> {
    const bucket = this.#bucketOf(order)
    const known = this.#refusals.find(bucket) ??
      (order.kind === 'cost' ? this.#takeUnasked(order, bucket) : this.#takeLent(bucket))
    if (known !== null) return known
    if (this.#watch.isSilent || this.#queue.isFull) return this.#decideAlone(order)
    return this.#queue.add(order)
  }

  peek (order: Order): LimitAnswer {
    const bucket = bucketOf(order, this.#inForce, false)
    return this.#refusals.find(bucket) ??
      { ...peekWithNets(this.#counters, order, this.#inForce), store: 'primary' }
  }

  noteRefused (order: Order): void {
    this.#link.addUpdate('admitted', order)
  }

  refund (order: Order): void {
    const { key, rate } = bucketOf(order, this.#inForce, false)
    this.#counters.windows.refund(key, order.points)
    this.#link.addUpdate('refund', order)
    // The client's next operation may come to another process as soon as it has its answer.
    if (order.points > driftOf(rate)) this.#link.sendUpdates()
  }

  countViolation (clientKey: string, ms: number): number {
    const count = this.#counters.violations(clientKey)
    if (this.#counters.isViolating(clientKey)) return count
    this.#counters.applyRemoteViolation(clientKey, ms, count + 1)
    this.#link.addUpdate('violation', { kind: 'attempt', tier: 'strict', client: clientKey, points: 0 }, ms)
    return count + 1
  }

  applyBlock (order: Order, ms: number): void {
    const { key, rate } = bucketOf(order, this.#inForce, false)
    this.#counters.windows.block(key, rate, ms)
    this.#refusals.set(key, ms)
  }

  applyForget (clientKey: string): void {
    this.#counters.forget(clientKey)
    this.#leases.forget(clientKey)
    this.#refusals.forget(clientKey)
  }

  useRates (inForce: RatesInForce): void {
    this.#inForce = inForce
    this.#link.useRates(inForce)
  }

  /** Gives back all leases and answers every order that waits. */
  close (): void {
    this.#unsubscribe()
    this.#endedTimer.cancel()
    this.#giveBackEnded('all')
    this.#link.sendUpdates()
    this.#watch.close()
    this.#decideWaiting()
    this.#link.close()
  }

  #bucketOf (order: Order): Bucket {
    return bucketOf(order, this.#inForce, order.kind === 'request' && this.#counters.isHeld(order.client))
  }

  /** A point of a lease. All of the lease is in the count that this process was told. */
  #takeLent ({ key, tier, rate }: Bucket): LimitAnswer | null {
    if (this.#leases.size() === 0) return null
    const left = this.#leases.spend(key)
    if (left < 0) {
      // Before anything is asked for again.
      this.#giveBackLater(key)
      return null
    }
    const { count, resetSeconds } = this.#counters.windows.peek(tier, key, rate)
    return admitted({ tier, rate, count: Math.max(0, count - left), resetSeconds, store: 'primary' })
  }

  #takeUnasked (order: Order, { key, tier, rate }: Bucket): LimitAnswer | null {
    const { windows } = this.#counters
    const share = Math.floor(rate.max / this.#processCount())
    if (this.#watch.isSilent || windows.peek(tier, key, rate).count + order.points > share) return null
    this.#link.addUpdate('admitted', order)
    return { ...windows.take(tier, key, rate, order.points), store: 'primary' }
  }

  #send (seq: number, orders: Order[]): void {
    this.#watch.start()
    this.#link.sendOrders(seq, orders)
  }

  #receive (message: Json): void {
    const [batches, told, recalls] = message as [Array<[number, Json[]]>, Json, Json[]]
    for (const [seq, counted] of batches) {
      const batch = this.#queue.takeAnswered(seq)
      if (batch !== null) this.#settle(batch, counted)
    }
    for (const { key, rate, count, refusedMs } of readTold(told)) {
      this.#counters.windows.tell(key, rate, count + this.#link.unsent(key))
      this.#refusals.set(key, refusedMs)
    }
    for (const order of recalls) this.#giveBack(readOrder(order))
    if (this.#watch.hear()) this.#resume()
    // A lease that has just come serves the orders first that were waiting to ask.
    if (this.#leases.size() > 0) this.#queue.settleWaiting((order) => this.#takeLent(this.#bucketOf(order)))
    this.#queue.flushSoon()
  }

  #settle ({ waiting, atMs }: OrderBatch, counted: Json[]): void {
    for (const [i, { order, settle, decided }] of waiting.entries()) {
      const { answer, lease, bucket: { key, rate } } = readCounted(counted[i]!, order, this.#inForce)
      const count = answer.count + (lease?.points ?? 0) + this.#link.unsent(key)
      this.#counters.windows.tell(key, rate, count)
      // Its time runs from when it was asked for: then it cannot end here later than where it is counted.
      if (lease !== null) this.#leases.put(key, order, { points: lease.points, untilMs: atMs + lease.ms })
      // A cheaper operation may still fit where a costly one did not.
      if (!answer.allowed && order.kind !== 'cost') this.#refusals.set(key, answer.retryAfterMs)
      if (decided === null) settle(answer)
      else if (answer.allowed && !decided.allowed) this.#link.addUpdate('refund', order)
    }
  }

  /** A lease that the primary calls back. */
  #giveBack (order: Order): void {
    const { key } = bucketOf(order, this.#inForce, false)
    const left = this.#leases.empty(key) ?? { ...order, points: 0 }
    this.#counters.windows.refund(key, left.points)
    this.#link.returnLease(left)
  }

  #giveBackLater (key: string): void {
    const left = this.#leases.empty(key)
    if (left === null || left.points === 0) return
    this.#counters.windows.refund(key, left.points)
    this.#link.addUpdate('returned', left)
  }

  #giveBackEnded (which: 'ended' | 'all'): void {
    if (this.#leases.size() > 0) for (const key of this.#leases.keys(which)) this.#giveBackLater(key)
  }

  #fallBack (waitedMs: number): void {
    const message = 'primary not responding; falling back to per-process limits'
    this.#log.warn({ waitedMs: Math.round(waitedMs) }, message)
    this.#decideWaiting()
  }

  #resume (): void {
    this.#log.info({ told: this.#link.updateCount() }, 'primary responding again; limits are shared by all processes')
    this.#link.sendUpdates()
  }

  #decideWaiting (): void {
    for (const one of this.#queue.underWay?.waiting ?? []) {
      one.decided = this.#decide(one.order)
      one.settle(one.decided)
    }
    // The primary will count the batch under way; the orders behind it are told when it is back.
    this.#queue.settleWaiting((order) => this.#decideAlone(order))
  }

  #decideAlone (order: Order): LimitAnswer {
    const answer = this.#decide(order)
    if (answer.allowed) this.#link.addUpdate('admitted', order)
    return answer
  }

  /** Each sibling is taken to admit as many of the points left as this process does. */
  #decide (order: Order): LimitAnswer {
    const processes = this.#processCount()
    const { key, tier, rate } = this.#bucketOf(order)
    // A share that is used up is no crossing of the client's limit, and blocks nobody.
    const shared = { max: rate.max - driftOf(rate), windowSeconds: rate.windowSeconds, blockSeconds: 0 }
    const weight = order.points * processes
    const answer = this.#counters.windows.take(tier, key, shared, weight)
    const about = { isNew: answer.count === weight, weight }
    const refusal = answer.allowed && hasNets(order) ? this.#counters.nets.count(order, this.#inForce, about) : null
    if (refusal !== null) {
      this.#counters.windows.refund(key, weight)
      return refusal
    }
    return { ...answer, limit: rate.max, remaining: Math.floor(answer.remaining / processes), crossed: false }
  }

  #processCount (): number {
    return Math.max(1, this.#fleet.processCount())
  }
}
