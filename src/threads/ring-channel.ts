/**
 * A channel by shared memory: the thread runs one task for as long as it lives and is fed through a ring.
 *
 * When a thread is stopped its memory goes with it: it may still be writing while it dies. The observation it was at is
 * answered without it; the others wait for the next thread, which takes some 50 ms to load, and are tried again.
 */
import { MessageChannel, receiveMessageOnPort } from 'node:worker_threads'
import { HANG_MS, QUEUE_MAX, RESTART_DELAY_MS_MAX, THREAD_START_MS_MAX } from './shapes.ts'
import { startThread } from './start-thread.ts'
import { createScoreReader, encodeObservation } from './ring-codec.ts'
import {
  BIG_DONE,
  BIG_TAKEN,
  DONE,
  POLICY,
  READY,
  RESULTS,
  SMALL,
  STOP,
  TAKEN,
  createRing,
  publishBigRequest,
  publishRequest,
  raiseResults,
  raiseWork,
  slotAt
} from './ring.ts'
import type { MessagePort } from 'node:worker_threads'
import type { Channel, ChannelOptions, Waiting } from './shapes.ts'
import type { Geometry, Ring } from './ring.ts'
import type { ScoreReader } from './ring-codec.ts'
import type { PolicyMessage, RingTask } from './ring-thread.ts'
import type { Observation, Score } from '../detect/shapes.ts'

/** One thread's life: its memory and what main knows of it. */
interface Life {
  readonly ring: Ring
  readonly reader: ScoreReader
  readonly port: MessagePort
  readonly policyPort: MessagePort
  readonly controller: AbortController
  readonly freeSlots: number[]
  /** Who waits in which slot. */
  readonly holders: Array<Waiting | null>
  tail: number
  seen: number
  bigs: Waiting[]
  bigTail: number
  bigSeen: number
  ready: boolean
  stuckMs: number
  /** TAKEN and BIG_TAKEN together at the last tick. */
  lastTaken: number
}

/** Policies whose version a late answer may still carry. */
const POLICIES_KEPT = 16
/** Requests of one turn of the loop after which a sleeping thread is woken at once. */
const REQUESTS_PER_WAKE = 64

export function createRingChannel (options: ChannelOptions, geometry: Geometry = SMALL): Channel {
  const { events } = options
  const thread = startThread(options.workerUrl)
  const firstReady = Promise.withResolvers<void>()
  const policyVersions = new Array<string>(POLICIES_KEPT).fill(options.policy.version)
  let policy = options.policy
  let policyNumber = 0
  let backlog: Waiting[] = []
  let life: Life | null = null
  let restart: NodeJS.Timeout | null = null
  let closed = false
  let deaths = 0
  let unannounced = 0

  async function live (): Promise<void> {
    const big = new MessageChannel()
    const policies = new MessageChannel()
    const current = beginLife(geometry, big.port1, policies.port1)
    life = current
    Atomics.store(current.ring.words, POLICY, policyNumber)
    const task: RingTask = {
      memory: current.ring.memory,
      geometry,
      port: big.port2,
      policyPort: policies.port2,
      policy,
      policyNumber
    }
    const loading = setTimeout(() => {
      if (!current.ready) current.controller.abort(new Error('the thread does not start'))
    }, THREAD_START_MS_MAX).unref()
    listen(current)
    let reason = 'it returned'
    try {
      await thread.run(task, { signal: current.controller.signal, transferList: [big.port2, policies.port2] })
    } catch (error) {
      reason = error instanceof Error ? error.message : String(error)
    }
    clearTimeout(loading)
    endThread(current, reason)
  }

  /** Hears of results until the life is over. */
  function listen (current: Life): void {
    const { words } = current.ring
    if (life !== current) return
    for (;;) {
      const heard = Atomics.load(words, RESULTS)
      collect(current)
      const wait = Atomics.waitAsync(words, RESULTS, heard)
      if (!wait.async) continue
      wait.value.then(() => listen(current))
      return
    }
  }

  /** Answers everybody whose result is there. */
  function collect (current: Life): void {
    const { ring } = current
    const { words } = ring
    if (!current.ready && Atomics.load(words, READY) === 1) begin(current)
    const done = Atomics.load(words, DONE)
    while (current.seen !== done) {
      const slot = slotAt(ring, current.seen++)
      const waiting = current.holders[slot] as Waiting
      const score = current.reader.read(ring, slot, policyVersions)
      current.holders[slot] = null
      current.freeSlots.push(slot)
      if (score === 'too wide') sendBig(current, waiting)
      else events.answer(waiting, score)
    }
    const bigDone = Atomics.load(words, BIG_DONE)
    while (current.bigSeen !== bigDone) {
      current.bigSeen++
      const score = receiveMessageOnPort(current.port)?.message as Score | null | undefined
      events.answer(current.bigs.shift() as Waiting, score ?? null)
    }
  }

  function begin (current: Life): void {
    current.ready = true
    deaths = 0
    firstReady.resolve()
    const waiting = backlog
    backlog = []
    for (const one of waiting) if (!one.answered) send(current, one)
  }

  function send (current: Life, waiting: Waiting): void {
    const slot = current.freeSlots.pop()
    if (slot === undefined) return sendBig(current, waiting)
    if (!encodeObservation(current.ring, slot, waiting.observation)) {
      current.freeSlots.push(slot)
      return sendBig(current, waiting)
    }
    current.holders[slot] = waiting
    publishRequest(current.ring, current.tail++, slot)
    announceSoon(current)
  }

  /**
   * To wake a thread costs main 5 to 20 us, more than all else here. So it is woken once for all that came in
   * one turn of the event loop, or for every so many, that it may work beside a main thread that is busy.
   */
  function announceSoon (current: Life): void {
    if (++unannounced % REQUESTS_PER_WAKE === 0) raiseWork(current.ring)
    if (unannounced === 1) setImmediate(announce)
  }

  function announce (): void {
    const isDue = unannounced % REQUESTS_PER_WAKE !== 0
    unannounced = 0
    if (life === null) return
    if (isDue) raiseWork(life.ring)
    // What the thread did meanwhile is answered without a wake-up of ours.
    collect(life)
  }

  function sendBig (current: Life, waiting: Waiting): void {
    current.bigs.push(waiting)
    const sent = compact(waiting.observation)
    // A copy of ours is handed over, or it would be copied again; the original must stay for Fastify's parser.
    current.port.postMessage(
      sent,
      sent === waiting.observation || sent.body === null ? [] : [sent.body.buffer as ArrayBuffer]
    )
    publishBigRequest(current.ring, current.bigTail++)
    announceSoon(current)
  }

  function endThread (current: Life, reason: string): void {
    collect(current)
    life = null
    // Its waiter in `listen` must not outlive it.
    raiseResults(current.ring)
    current.port.close()
    current.policyPort.close()
    const { inHand, others } = unanswered(current)
    if (inHand !== null) events.answer(inHand, null)
    if (closed) {
      for (const one of others) events.answer(one, null)
      return
    }
    events.onDeath(reason)
    backlog = [...others, ...backlog]
    // Only threads that die before they took work wait: a poisoned request must not slow down the others.
    const delayMs = current.ready ? 0 : Math.min(RESTART_DELAY_MS_MAX, 10 * 2 ** Math.min(deaths++, 10))
    restart = setTimeout(live, delayMs).unref()
  }

  function tick (passedMs: number): void {
    if (backlog.some((waiting) => waiting.answered)) backlog = backlog.filter((waiting) => !waiting.answered)
    if (life === null || !life.ready) return
    collect(life)
    const { words } = life.ring
    const taken = Atomics.load(words, TAKEN) + Atomics.load(words, BIG_TAKEN)
    const isBusy = taken !== Atomics.load(words, DONE) + Atomics.load(words, BIG_DONE)
    life.stuckMs = isBusy && taken === life.lastTaken ? life.stuckMs + passedMs : 0
    life.lastTaken = taken
    if (life.stuckMs >= HANG_MS) life.controller.abort(new Error(`no answer within ${HANG_MS} ms`))
  }

  live()

  return {
    ready: firstReady.promise,
    size,
    push (waiting) {
      if (closed || size() >= QUEUE_MAX) return false
      if (life?.ready === true) send(life, waiting)
      else backlog.push(waiting)
      return true
    },
    tick,
    isAlive: () => !closed && life?.ready === true,
    usePolicy (next) {
      policy = next
      policyNumber++
      policyVersions[policyNumber % POLICIES_KEPT] = next.version
      if (life === null) return
      life.policyPort.postMessage({ policy, policyNumber } satisfies PolicyMessage)
      Atomics.store(life.ring.words, POLICY, policyNumber)
      raiseWork(life.ring)
    },
    async close () {
      closed = true
      if (restart !== null) clearTimeout(restart)
      if (life !== null) {
        Atomics.store(life.ring.words, STOP, 1)
        raiseWork(life.ring)
      }
      for (const waiting of backlog) events.answer(waiting, null)
      backlog = []
      await thread.close()
    }
  }

  function size (): number {
    if (life === null) return backlog.length
    return life.tail - life.seen + life.bigs.length + backlog.length
  }
}

function beginLife (geometry: Geometry, port: MessagePort, policyPort: MessagePort): Life {
  const { slots } = geometry
  return {
    ring: createRing(geometry),
    reader: createScoreReader(),
    port,
    policyPort,
    controller: new AbortController(),
    // Taken from the end: at low load the same few slots are used, and stay in the cache.
    freeSlots: Array.from({ length: slots }, (_, i) => slots - 1 - i),
    holders: new Array<Waiting | null>(slots).fill(null),
    tail: 0,
    seen: 0,
    bigs: [],
    bigTail: 0,
    bigSeen: 0,
    ready: false,
    stuckMs: 0,
    lastTaken: 0
  }
}

/** Who waited for a thread that is gone: the one it was at, and the others in their order. */
function unanswered ({ ring, holders, bigs, seen, tail }: Life): { inHand: Waiting | null, others: Waiting[] } {
  const { words } = ring
  const others: Waiting[] = []
  let inHand: Waiting | null = null
  const isSmallInHand = Atomics.load(words, TAKEN) !== Atomics.load(words, DONE)
  for (let sequence = seen; sequence !== tail; sequence++) {
    const waiting = holders[slotAt(ring, sequence)] as Waiting
    if (isSmallInHand && sequence === seen) inHand = waiting
    else others.push(waiting)
  }
  const isBigInHand = Atomics.load(words, BIG_TAKEN) !== Atomics.load(words, BIG_DONE)
  bigs.forEach((waiting, i) => {
    if (isBigInHand && i === 0) inHand = waiting
    else others.push(waiting)
  })
  return { inHand, others }
}

/** Cloning a view copies the whole buffer under it, and Node's small buffers share one of 64 KiB. */
function compact (observation: Observation): Observation {
  const { body } = observation
  if (body === null || (body.byteLength === body.buffer.byteLength && !Buffer.isBuffer(body))) return observation
  return { ...observation, body: new Uint8Array(body) }
}
