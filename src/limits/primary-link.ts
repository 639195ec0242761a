import type { Fleet } from '../fleet/port.ts'
import type { Clock, Timer } from '../std/clock.ts'
import type { Json } from '../std/json.ts'
import { ORDERS_TOPIC, writeBatch, writeRates } from './codec.ts'
import type { Update } from './codec.ts'
import { createPendingUpdates } from './pending-updates.ts'
import type { Order, RatesInForce } from './shapes.ts'

/**
 * A worker's messages to the primary. Orders leave at once and take along the updates that gathered meanwhile; updates
 * that find no order to travel with leave by themselves soon. While the primary is silent updates are kept: it gets
 * them when it is back.
 */
/** How long an update waits for an order to travel with. */
const UPDATES_MS = 100
/** Updates per message: with keys of a hundred characters well under 64 KiB. */
const UPDATES_PER_MESSAGE = 250

interface PrimaryLinkOptions {
  fleet: Fleet
  clock: Pick<Clock, 'after'>
  inForce: RatesInForce
  /** Whether the primary is silent. */
  isSilent (): boolean
}

export class PrimaryLink {
  readonly #fleet: Fleet
  readonly #clock: Pick<Clock, 'after'>
  readonly #isSilent: () => boolean
  readonly #updates = createPendingUpdates()
  #rates: Json
  #timer: Timer | null = null

  constructor ({ fleet, clock, inForce, isSilent }: PrimaryLinkOptions) {
    this.#fleet = fleet
    this.#clock = clock
    this.#isSilent = isSilent
    this.#rates = writeRates(inForce)
  }

  useRates (inForce: RatesInForce): void {
    this.#rates = writeRates(inForce)
  }

  /** A batch that waits for its answer. */
  sendOrders (seq: number, orders: Order[]): void {
    this.#publish(seq, this.#isSilent() ? [] : this.#updates.draw(UPDATES_PER_MESSAGE), orders)
  }

  /** @param ms of a violation */
  addUpdate (about: Update['about'], order: Order, ms = 0): void {
    this.#updates.add({ about, order, ms })
    this.#timer ??= this.#clock.after(UPDATES_MS, () => this.sendUpdates())
  }

  /** All that gathered leaves now, in front of any order that comes later: the channel keeps the order. */
  sendUpdates (): void {
    this.#timer?.cancel()
    this.#timer = null
    while (!this.#isSilent() && this.#updates.size() > 0) this.#publish(0, this.#updates.draw(UPDATES_PER_MESSAGE), [])
  }

  /** The primary waits for this one, so it travels at once, and also when nothing is left of the lease. */
  returnLease (order: Order): void {
    // A lease that ended by itself is among the updates.
    this.sendUpdates()
    this.#publish(0, [{ about: 'returned', order, ms: 0 }], [])
  }

  /** Points of a bucket (by its key) that were admitted here and not told yet. */
  unsent (key: string): number {
    return this.#updates.unsent(key)
  }

  updateCount (): number {
    return this.#updates.size()
  }

  close (): void {
    this.#timer?.cancel()
  }

  #publish (seq: number, updates: Update[], orders: Order[]): void {
    this.#fleet.publish(
      ORDERS_TOPIC,
      writeBatch(seq, this.#rates, updates, orders),
      { processId: this.#fleet.primaryId! }
    )
  }
}
