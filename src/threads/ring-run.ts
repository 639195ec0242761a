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
  STOP,
  TAKEN,
  createRing,
  raiseResults,
  raiseWork
} from './ring.ts'
import { HANG_MS, THREAD_START_MS_MAX } from './shapes.ts'
import type { Geometry, Ring } from './ring.ts'
import type { PolicyMessage, RingTask } from './ring-thread.ts'
import type { Unanswered } from './ring-requests.ts'
import type { ChannelEvents } from './shapes.ts'
import type { PoolThread } from './start-thread.ts'

interface RingRunOptions {
  geometry: Geometry
  answer: ChannelEvents['answer']
  /** The thread takes work from now on. */
  onReady: () => void
  policyVersions: readonly string[]
}

export class RingRun {
  readonly requests: RingRequests
  readonly #geometry: Geometry
  readonly #ring: Ring
  /** Big observations and their scores. */
  readonly #big = new MessageChannel()
  readonly #policies = new MessageChannel()
  readonly #controller = new AbortController()
  readonly #onReady: () => void
  #isReady = false
  #isOver = false
  #stuckMs = 0
  /** TAKEN and BIG_TAKEN together at the last tick. */
  #takenBefore = 0

  constructor ({ geometry, answer, onReady, policyVersions }: RingRunOptions) {
    this.#geometry = geometry
    this.#ring = createRing(geometry)
    this.#onReady = onReady
    this.requests = new RingRequests({ ring: this.#ring, port: this.#big.port1, answer, policyVersions })
  }

  /** True as soon as the thread takes work. */
  get isReady (): boolean {
    return this.#isReady
  }

  /** Runs `thread` on the ring; resolves with the reason when that has ended, for whatever reason. */
  async start (thread: PoolThread, first: PolicyMessage): Promise<string> {
    Atomics.store(this.#ring.words, POLICY, first.policyNumber)
    const loading = setTimeout(() => {
      if (!this.#isReady) this.#controller.abort(new Error('the thread does not start'))
    }, THREAD_START_MS_MAX).unref()
    this.#listen()
    const { port2: port } = this.#big
    const { port2: policyPort } = this.#policies
    const task: RingTask = { memory: this.#ring.memory, geometry: this.#geometry, port, policyPort, ...first }
    try {
      await thread.run(task, { signal: this.#controller.signal, transferList: [port, policyPort] })
      return 'it returned'
    } catch (error) {
      return error instanceof Error ? error.message : String(error)
    } finally {
      clearTimeout(loading)
    }
  }

  usePolicy (message: PolicyMessage): void {
    this.#policies.port1.postMessage(message)
    Atomics.store(this.#ring.words, POLICY, message.policyNumber)
    raiseWork(this.#ring)
  }

  /**
   * Collects results, and stops a thread that has been at one observation for too long. `passedMs`: time that counts.
   */
  tick (passedMs: number): void {
    if (!this.#isReady) return
    this.#collect()
    const { words } = this.#ring
    const taken = Atomics.load(words, TAKEN) + Atomics.load(words, BIG_TAKEN)
    const isBusy = taken !== Atomics.load(words, DONE) + Atomics.load(words, BIG_DONE)
    this.#stuckMs = isBusy && taken === this.#takenBefore ? this.#stuckMs + passedMs : 0
    this.#takenBefore = taken
    if (this.#stuckMs >= HANG_MS) this.#controller.abort(new Error(`no answer within ${HANG_MS} ms`))
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
    return this.requests.end()
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
      this.#onReady()
    }
    this.requests.collect()
  }
}
