import type { Clock } from '../std/clock.ts'
import type { LimitAnswer, Order } from './shapes.ts'

/**
 * A worker's orders on their way to the primary: orders of one turn of the event loop travel in one batch, and while
 * that is under way the next ones gather. An order may be settled from several sides; only the first answer counts.
 */
interface WaitingOrder {
  order: Order
  settle (answer: LimitAnswer): void
  /** The answer that was given here, since the primary's was late. */
  decided: LimitAnswer | null
}

export interface OrderBatch { seq: number, atMs: number, waiting: readonly WaitingOrder[] }

/** Per message: with keys of a hundred characters well under 64 KiB. */
const BATCH_MAX = 250
/** Orders that wait for their batch. */
const QUEUE_MAX = 5_000

export class OrderQueue {
  readonly #clock: Pick<Clock, 'monotonic'>
  readonly #send: (seq: number, orders: Order[]) => void
  #waiting: WaitingOrder[] = []
  #underWay: OrderBatch | null = null
  #seq = 0
  #isFlushing = false

  /** @param options send: publishes a batch; its answer comes to `takeAnswered` */
  constructor (options: { clock: Pick<Clock, 'monotonic'>, send (seq: number, orders: Order[]): void }) {
    this.#clock = options.clock
    this.#send = options.send
  }

  get isFull (): boolean {
    return this.#waiting.length >= QUEUE_MAX
  }

  /** The batch that waits for its answer. */
  get underWay (): OrderBatch | null {
    return this.#underWay
  }

  add (order: Order): Promise<LimitAnswer> {
    return new Promise((resolve) => {
      this.#waiting.push({ order, settle: resolve, decided: null })
      this.flushSoon()
    })
  }

  flushSoon (): void {
    if (this.#isFlushing || this.#underWay !== null || this.#waiting.length === 0) return
    this.#isFlushing = true
    // After all sockets of this turn were read.
    setImmediate(() => this.#flush())
  }

  /** Sends an empty batch, to hear whether anybody answers; the one under way is given up. */
  probe (): void {
    this.#ask([])
  }

  /** The batch of this number, which is under way no longer; null when it was given up. */
  takeAnswered (seq: number): OrderBatch | null {
    const batch = this.#underWay
    if (batch === null || batch.seq !== seq) return null
    this.#underWay = null
    return batch
  }

  /** Settles the orders that nobody was asked for yet, as far as there are answers. */
  settleWaiting (answerOf: (order: Order) => LimitAnswer | null): void {
    this.#waiting = this.#waiting.filter(({ order, settle }) => {
      const answer = answerOf(order)
      if (answer !== null) settle(answer)
      return answer === null
    })
  }

  #flush (): void {
    this.#isFlushing = false
    if (this.#underWay === null && this.#waiting.length > 0) this.#ask(this.#waiting.splice(0, BATCH_MAX))
  }

  #ask (waiting: WaitingOrder[]): void {
    this.#underWay = { seq: ++this.#seq, atMs: this.#clock.monotonic(), waiting }
    this.#send(this.#seq, waiting.map(({ order }) => order))
  }
}
