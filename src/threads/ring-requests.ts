/**
 * Main's side of one ring: the observations that were given to its thread and wait for their scores.
 *
 * Owns: the observation of each slot, those that travel by message, how far the results were read, and when the thread
 * is woken. Never does: start or stop a thread, or decide what becomes of the observations of a thread that ended (it
 * only hands them over). In: Waiting; out: `answer`, once for each.
 */
import { receiveMessageOnPort } from 'node:worker_threads'
import { createScoreReader, writeRequest } from './ring-codec.ts'
import {
  BIG_DONE,
  BIG_TAIL,
  BIG_TAKEN,
  DONE,
  TAIL,
  TAKEN,
  publishBigRequest,
  publishRequest,
  raiseWork,
  slotAt,
  spentAt
} from './ring.ts'
import type { MessagePort } from 'node:worker_threads'
import type { Ring } from './ring.ts'
import type { ChannelEvents, Waiting } from './shapes.ts'
import type { Observation, Score } from '../detect/shapes.ts'

interface RingRequestsOptions {
  ring: Ring
  /** Big observations go out, their scores come in. */
  port: MessagePort
  answer: ChannelEvents['answer']
  /** Version of a policy by its number, modulo the length. */
  policyVersions: readonly string[]
}

/** Observations without an answer when their thread ended. */
export interface Unanswered {
  /** The observation that the thread was at: it may be the reason of the end. */
  inHand: Waiting | null
  /** The others, in the order in which they were sent. */
  others: Waiting[]
}

/** Requests of one turn of the loop after which a sleeping thread is woken at once. */
const REQUESTS_PER_WAKE = 64

/** Running numbers are 32-bit words that start again below zero: they are only compared and subtracted. */
export class RingRequests {
  readonly #ring: Ring
  readonly #port: MessagePort
  readonly #answer: ChannelEvents['answer']
  readonly #policyVersions: readonly string[]
  readonly #reader = createScoreReader()
  readonly #freeSlots: number[]
  /** The observation of each slot. */
  readonly #holders: Array<Waiting | null>
  /** Observations that travel by message, the oldest first. */
  readonly #big: Waiting[] = []
  /** Running number of the next request, and of the next result. */
  #next: number
  #read: number
  #bigNext: number
  #bigRead: number
  /** Requests that the thread was not woken for. */
  #unannounced = 0
  #isOver = false

  constructor ({ ring, port, answer, policyVersions }: RingRequestsOptions) {
    this.#ring = ring
    this.#port = port
    this.#answer = answer
    this.#policyVersions = policyVersions
    // Taken from the end: at low load the same few slots are used, and stay in the cache.
    this.#freeSlots = Array.from({ length: ring.slots }, (_, i) => ring.slots - 1 - i)
    this.#holders = new Array<Waiting | null>(ring.slots).fill(null)
    this.#next = this.#read = Atomics.load(ring.words, TAIL)
    this.#bigNext = this.#bigRead = Atomics.load(ring.words, BIG_TAIL)
  }

  /** Observations that wait or are in hand. */
  get size (): number {
    return ((this.#next - this.#read) | 0) + this.#big.length
  }

  /** How many of them are of this client. Walks over all: for the moment when there are too many. */
  sizeOf (client: string): number {
    let count = 0
    for (const waiting of this.#holders) if (waiting?.ask.client === client) count++
    for (const waiting of this.#big) if (waiting.ask.client === client) count++
    return count
  }

  /** Gives an observation to the thread: in a slot, or by message when no slot is free or it does not fit into one. */
  send (waiting: Waiting): void {
    const slot = this.#freeSlots.pop()
    if (slot === undefined) return this.#sendBig(waiting)
    if (!writeRequest(this.#ring, slot, waiting.observation)) {
      this.#freeSlots.push(slot)
      return this.#sendBig(waiting)
    }
    this.#holders[slot] = waiting
    publishRequest(this.#ring, this.#next, slot)
    this.#next = (this.#next + 1) | 0
    this.#announceSoon()
  }

  /** Answers everybody whose result is there. */
  collect (): void {
    const { words } = this.#ring
    const done = Atomics.load(words, DONE)
    while (this.#read !== done) {
      const slot = slotAt(this.#ring, this.#read)
      const cpuUs = spentAt(this.#ring, this.#read)
      this.#read = (this.#read + 1) | 0
      const waiting = this.#holders[slot] as Waiting
      const score = this.#reader.read(this.#ring, slot, this.#policyVersions)
      this.#holders[slot] = null
      this.#freeSlots.push(slot)
      if (score === 'too wide') this.#sendBig(waiting)
      else this.#answer(waiting, score, cpuUs)
    }
    const bigDone = Atomics.load(words, BIG_DONE)
    while (this.#bigRead !== bigDone) {
      this.#bigRead = (this.#bigRead + 1) | 0
      const score = receiveMessageOnPort(this.#port)?.message as Score | null | undefined
      this.#answer(this.#big.shift() as Waiting, score ?? null, 0)
    }
  }

  /** Ends the reading: nothing is answered from here on. The observations that are left are the caller's. */
  end (): Unanswered {
    this.#isOver = true
    const small: Waiting[] = []
    for (let at = this.#read; at !== this.#next; at = (at + 1) | 0) {
      small.push(this.#holders[slotAt(this.#ring, at)] as Waiting)
    }
    const inHand = this.inHand()
    return { inHand, others: [...small, ...this.#big].filter((waiting) => waiting !== inHand) }
  }

  /** The observation that the thread is at. All results must have been collected. */
  inHand (): Waiting | null {
    const { words } = this.#ring
    if (Atomics.load(words, BIG_TAKEN) !== Atomics.load(words, BIG_DONE)) return this.#big[0] ?? null
    if (Atomics.load(words, TAKEN) === Atomics.load(words, DONE) || this.#read === this.#next) return null
    return this.#holders[slotAt(this.#ring, this.#read)] ?? null
  }

  #sendBig (waiting: Waiting): void {
    this.#big.push(waiting)
    const sent = withBodyOfItsOwn(waiting.observation)
    // A copy of ours is handed over, or it would be copied again; the original must stay for Fastify's parser.
    const isOurCopy = sent !== waiting.observation && sent.body !== null
    this.#port.postMessage(sent, isOurCopy ? [sent.body!.buffer as ArrayBuffer] : [])
    publishBigRequest(this.#ring, this.#bigNext)
    this.#bigNext = (this.#bigNext + 1) | 0
    this.#announceSoon()
  }

  /**
   * To wake a thread costs main 5 to 20 us, more than all else here. So it is woken once for all that came in
   * one turn of the event loop, or for every so many, that it may work beside a main thread that is busy.
   */
  #announceSoon (): void {
    if (++this.#unannounced % REQUESTS_PER_WAKE === 0) raiseWork(this.#ring)
    if (this.#unannounced === 1) setImmediate(this.#announce)
  }

  readonly #announce = (): void => {
    const isDue = this.#unannounced % REQUESTS_PER_WAKE !== 0
    this.#unannounced = 0
    if (this.#isOver) return
    if (isDue) raiseWork(this.#ring)
    // Results that the thread has by now are answered without a wake-up of ours.
    this.collect()
  }
}

/** Cloning a view copies the whole buffer under it, and Node's small buffers share one of 64 KiB. */
function withBodyOfItsOwn (observation: Observation): Observation {
  const { body } = observation
  if (body === null || (body.byteLength === body.buffer.byteLength && !Buffer.isBuffer(body))) return observation
  return { ...observation, body: new Uint8Array(body) }
}
