/**
 * One run of a thread: it begins with a ring of its own and ends when the thread returns, dies or is stopped. When a
 * thread is stopped its memory goes with it, for it may still be writing while it dies.
 */
import { MessageChannel } from 'node:worker_threads'
import { RingRequests } from './ring-requests.ts'
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
  raiseResults,
  raiseWork,
  slownessOf
} from './ring.ts'
import { afterAwakeMs } from '../std/awake.ts'
import { SILENT_MS_MAX, THREAD_START_MS_MAX, weightOf } from './shapes.ts'
import type { Geometry, Ring } from './ring.ts'
import type { PolicyMessage, RingTask } from './ring-thread.ts'
import type { Unanswered } from './ring-requests.ts'
import type { ChannelEvents, ThreadEnd, Waiting } from './shapes.ts'
import type { PoolThread } from './start-thread.ts'

interface RingRunOptions {
  geometry: Geometry
  answer: ChannelEvents['answer']
  /** The thread takes work from now on. */
  onReady: () => void
  onSuspect: ChannelEvents['onSuspect']
  policyVersions: readonly string[]
  /** CPU time of the thread that one observation may use, ms. */
  cpuMsMax: number
}

/** From here a text is suspect: some three times what 64 KiB of ordinary text take. */
const SUSPECT_CPU_MS = 15

/**
 * The first long texts of a thread cost it some 20 ms more, while its code is compiled: twice the time for them, since
 * on a slow machine they would look like texts that exhaust it.
 */
const COLD_REQUESTS = 8
/** CPU time that saying its CPU time costs a thread, and a good deal more. */
const ANSWERING_US = 1_000
/** What a live request brings at most; samples may bring more, and take longer by right. */
const FULL_WEIGHT = 65_536

/** How a run ended: in words, and what that says of the observation in hand. */
export interface RunEnd { readonly reason: string, readonly end: ThreadEnd }

export class RingRun {
  readonly requests: RingRequests
  readonly #ring: Ring
  /** Big observations and their scores. */
  readonly #big = new MessageChannel()
  readonly #policies = new MessageChannel()
  readonly #controller = new AbortController()
  readonly #options: RingRunOptions
  #thread: PoolThread | null = null
  #isReady = false
  #isOver = false
  #end: ThreadEnd = 'died'
  /** The one that used up the thread's time: while the thread ends it may begin with the next, which is innocent. */
  #exhausting: Waiting | null = null
  /** Time at the observation in hand. */
  #stuckMs = 0
  /** CPU time that the thread had used when the observation in hand was first noticed, us. */
  #cpuBeforeUs: number | null = null
  #cpuSeenUs = 0
  #isAsking = false
  /** TAKEN and BIG_TAKEN together at the last tick. */
  #takenBefore = 0

  constructor (options: RingRunOptions) {
    const { geometry, answer, policyVersions } = options
    this.#options = options
    this.#ring = createRing(geometry)
    this.requests = new RingRequests({ ring: this.#ring, port: this.#big.port1, answer, policyVersions })
  }

  /** True as soon as the thread takes work. */
  get isReady (): boolean {
    return this.#isReady
  }

  /** Runs `thread` on the ring; resolves when that has ended, for whatever reason. */
  async start (thread: PoolThread, first: PolicyMessage): Promise<RunEnd> {
    this.#thread = thread
    Atomics.store(this.#ring.words, POLICY, first.policyNumber)
    const cancel = afterAwakeMs(THREAD_START_MS_MAX, () => {
      if (!this.#isReady) this.#controller.abort(new Error('the thread does not start'))
    })
    this.#listen()
    const { port2: port } = this.#big
    const { port2: policyPort } = this.#policies
    const task: RingTask = { memory: this.#ring.memory, geometry: this.#options.geometry, port, policyPort, ...first }
    try {
      await thread.run(task, { signal: this.#controller.signal, transferList: [port, policyPort] })
      return { reason: 'it returned', end: this.#end }
    } catch (error) {
      return { reason: error instanceof Error ? error.message : String(error), end: this.#end }
    } finally {
      cancel()
    }
  }

  usePolicy (message: PolicyMessage): void {
    this.#policies.port1.postMessage(message)
    Atomics.store(this.#ring.words, POLICY, message.policyNumber)
    raiseWork(this.#ring)
  }

  /**
   * Collects results, and stops a thread that used up its time at one observation, by its own CPU time: a thread that
   * waits for a processor is not to blame, and neither is the text. `passedMs`: time that counts.
   */
  tick (passedMs: number): void {
    if (!this.#isReady) return
    this.#collect()
    const taken = this.#taken()
    if (taken !== this.#takenBefore || !this.#isBusy()) {
      this.#takenBefore = taken
      this.#stuckMs = 0
      this.#cpuBeforeUs = null
      return
    }
    this.#stuckMs += passedMs
    if (this.#stuckMs >= SILENT_MS_MAX) this.#stopThread('stopped', `no answer within ${SILENT_MS_MAX} ms`)
    else if (!this.#isAsking) this.#askForCpu(taken)
  }

  /** The answer comes by an interrupt: within a millisecond, but never from within one long native call. */
  async #askForCpu (taken: number): Promise<void> {
    this.#isAsking = true
    const nowUs = await this.#thread!.cpuUs().catch(() => null)
    this.#isAsking = false
    if (nowUs === null || this.#isOver || taken !== this.#taken() || !this.#isBusy()) return
    this.#cpuBeforeUs ??= nowUs
    // It speaks and it works: however little of the processor it gets, it is not silent.
    if (nowUs - this.#cpuSeenUs > ANSWERING_US) this.#stuckMs = 0
    this.#cpuSeenUs = nowUs
    const usedMs = (nowUs - this.#cpuBeforeUs) / 1000
    const inHand = this.requests.inHand()
    if (inHand === null) return
    const share = this.#shareOf(inHand, taken)
    const cpuMsMax = this.#options.cpuMsMax * share
    if (usedMs >= cpuMsMax) {
      this.#exhausting = inHand
      this.#stopThread('cpu', `one request used ${Math.round(cpuMsMax)} ms of its time`)
    } else if (usedMs >= SUSPECT_CPU_MS * share) this.#options.onSuspect(inHand)
  }

  /** How many times the CPU time of 64 KiB on a warm thread of an ordinary machine this request may take. */
  #shareOf (inHand: Waiting, taken: number): number {
    const isCold = this.#options.geometry !== SMALL && taken <= COLD_REQUESTS
    return slownessOf(this.#ring) * (isCold ? 2 : 1) * Math.max(1, weightOf(inHand) / FULL_WEIGHT)
  }

  #stopThread (end: ThreadEnd, reason: string): void {
    this.#end = end
    this.#controller.abort(new Error(reason))
  }

  #taken (): number {
    const { words } = this.#ring
    return (Atomics.load(words, TAKEN) + Atomics.load(words, BIG_TAKEN)) | 0
  }

  #isBusy (): boolean {
    const { words } = this.#ring
    return this.#taken() !== ((Atomics.load(words, DONE) + Atomics.load(words, BIG_DONE)) | 0)
  }

  /** Asks the thread to return. */
  stop (): void {
    Atomics.store(this.#ring.words, STOP, 1)
    raiseWork(this.#ring)
  }

  /** After `start` resolved: takes the last results, and hands over the observations that got none. */
  end (): Unanswered {
    this.#collect()
    this.#isOver = true
    // Its waiter in #listen must not outlive the run.
    raiseResults(this.#ring)
    this.#big.port1.close()
    this.#policies.port1.close()
    const { inHand, others } = this.requests.end()
    if (this.#end !== 'cpu' || inHand === null || inHand === this.#exhausting) return { inHand, others }
    return { inHand: null, others: [inHand, ...others] }
  }

  /** Hears of results until the run is over. */
  readonly #listen = (): void => {
    const { words } = this.#ring
    while (!this.#isOver) {
      const heard = Atomics.load(words, RESULTS)
      this.#collect()
      const wait = Atomics.waitAsync(words, RESULTS, heard)
      if (!wait.async) continue
      wait.value.then(this.#listen)
      return
    }
  }

  #collect (): void {
    if (!this.#isReady && Atomics.load(this.#ring.words, READY) === 1) {
      this.#isReady = true
      this.#options.onReady()
    }
    this.requests.collect()
  }
}
