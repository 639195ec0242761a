import type { Fleet } from '../fleet/port.ts'
import { BoundedMap } from '../std/bounded-map.ts'
import type { Clock, Timer } from '../std/clock.ts'
import type { Json } from '../std/json.ts'
import { ANSWERS_TOPIC, writeOrder, writeTold } from './codec.ts'
import type { Told } from './codec.ts'
import { driftOf } from './rates.ts'
import type { Order } from './shapes.ts'

/**
 * The primary's messages to its workers: per worker the answers, recalls and counts that leave with the next message,
 * and the counts that it already knows.
 *
 * A worker is told of a bucket when others did more in it than a sixteenth of its limit since it last heard: for the
 * moment when the primary is silent and each process falls back to its share of the rest. That leaves in the same turn
 * as the answers, so that no client that was answered is ahead of the others' knowledge. Clients that do less cost no
 * message.
 */
interface Outbox {
  answers: Json[]
  /** Orders whose bucket's lease it shall give back. */
  recalls: Json[]
  told: Map<string, Told>
  isUrgent: boolean
  /** The counts that it was last told of. */
  known: BoundedMap<string, number>
}

/** How long news wait that are not urgent and find no answer to travel with. */
const TOLD_MS = 250
/** Buckets that wait to be told to one worker; more are left out. */
const TOLD_MAX = 1000
/** Per message: 64 KiB must hold them beside the answers. */
const TOLD_PER_MESSAGE = 400
/** Per worker; of the others it is taken to know nothing. */
const KNOWN_MAX = 20_000
/** A worker that is no more is forgotten when this many others came after it. */
const OUTBOXES_MAX = 64

export class WorkerOutboxes {
  readonly #fleet: Fleet
  readonly #outboxes = new BoundedMap<string, Outbox>(OUTBOXES_MAX)
  readonly #timer: Timer
  #isFlushing = false

  constructor ({ fleet, clock }: { fleet: Fleet, clock: Pick<Clock, 'every'> }) {
    this.#fleet = fleet
    this.#timer = clock.every(TOLD_MS, () => this.#sendTold())
  }

  /** From now on it is told, as a worker that was heard of. */
  welcome (processId: string): void {
    this.#of(processId)
  }

  addAnswers (processId: string, seq: number, answers: Json[]): void {
    this.#of(processId).answers.push([seq, answers])
    this.flushSoon()
  }

  /** Asks for the lease of the order's bucket. */
  addRecall (processId: string, order: Order): void {
    const outbox = this.#of(processId)
    outbox.recalls.push(writeOrder(order))
    outbox.isUrgent = true
    this.flushSoon()
  }

  /** A count that one worker brought about and knows: the others are told when it is news to them. */
  tellOthers (told: Told, fromProcessId: string, isUrgent: boolean): void {
    if (this.#outboxes.size < 2) return
    const drift = driftOf(told.rate)
    for (const [processId, outbox] of this.#outboxes) {
      if (processId === fromProcessId) {
        outbox.known.set(told.key, told.count)
        continue
      }
      if (told.count - (outbox.known.get(told.key) ?? 0) <= drift) continue
      if (outbox.told.size >= TOLD_MAX && !outbox.told.has(told.key)) continue
      outbox.told.set(told.key, told)
      outbox.isUrgent ||= isUrgent
    }
  }

  flushSoon (): void {
    if (this.#isFlushing) return
    this.#isFlushing = true
    setImmediate(() => this.flush())
  }

  /** Answers and urgent news leave now. */
  flush (): void {
    this.#isFlushing = false
    for (const [processId, outbox] of this.#outboxes) {
      if (outbox.answers.length > 0 || outbox.isUrgent) this.#send(processId, outbox)
    }
  }

  close (): void {
    this.#timer.cancel()
  }

  #of (processId: string): Outbox {
    const before = this.#outboxes.get(processId)
    if (before !== undefined) return before
    const known = new BoundedMap<string, number>(KNOWN_MAX)
    const outbox: Outbox = { answers: [], recalls: [], told: new Map(), isUrgent: false, known }
    this.#outboxes.set(processId, outbox)
    return outbox
  }

  #sendTold (): void {
    for (const [processId, outbox] of this.#outboxes) if (outbox.told.size > 0) this.#send(processId, outbox)
  }

  #send (processId: string, outbox: Outbox): void {
    const told: Told[] = []
    for (const [key, one] of outbox.told) {
      if (told.length >= TOLD_PER_MESSAGE) break
      told.push(one)
      outbox.told.delete(key)
      outbox.known.set(key, one.count)
    }
    this.#fleet.publish(ANSWERS_TOPIC, [outbox.answers, writeTold(told), outbox.recalls], { processId })
    outbox.answers = []
    outbox.recalls = []
    outbox.isUrgent = false
  }
}
