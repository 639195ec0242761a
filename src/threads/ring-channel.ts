/**
 * A channel by shared memory: the thread runs one task for as long as it lives and is fed through a ring.
 *
 * Owns one thread, over its ends: when a run of it ends another begins, with a ring of its own (ring-run.ts). The
 * observation that the thread was at is handed back to the pool; the others wait for the next run, which takes some
 * 50 ms to load, and are tried again: they are charged with nothing.
 */
import { RingRun, type RunEnd } from './ring-run.ts'
import { SMALL } from './ring.ts'
import { QUEUE_MAX, restartDelayMs } from './shapes.ts'
import { startThread } from './start-thread.ts'
import type { Geometry } from './ring.ts'
import type { PolicyMessage } from './ring-thread.ts'
import type { Channel, ChannelEvents, ChannelOptions, Waiting } from './shapes.ts'
import type { PoolThread } from './start-thread.ts'
import type { Policy } from '../detect/policy.ts'

/** Policies whose version a late answer may still carry. */
const POLICIES_KEPT = 16

export class RingChannel implements Channel {
  readonly ready: Promise<void>
  readonly #events: ChannelEvents
  readonly #geometry: Geometry
  readonly #cpuMsMax: number
  readonly #thread: PoolThread
  readonly #firstReady = Promise.withResolvers<void>()
  readonly #policyVersions: string[]
  #current: PolicyMessage
  /** Null between the end of one run and the begin of the next. */
  #run: RingRun | null = null
  /** Observations that wait for a thread to take work. */
  #backlog: Waiting[] = []
  #restart: NodeJS.Timeout | null = null
  /** Runs in a row that ended before their thread took work. */
  #failedStarts = 0
  #isClosed = false

  constructor ({ workerUrl, policy, events, cpuMsMax }: ChannelOptions, geometry: Geometry = SMALL) {
    this.#events = events
    this.#cpuMsMax = cpuMsMax
    this.#geometry = geometry
    this.#thread = startThread(workerUrl)
    this.#policyVersions = new Array<string>(POLICIES_KEPT).fill(policy.version)
    this.#current = { policy, policyNumber: 0 }
    this.ready = this.#firstReady.promise
    this.#begin()
  }

  size (): number {
    return this.#run === null ? this.#backlog.length : this.#run.requests.size + this.#backlog.length
  }

  sizeOf (client: string): number {
    const inRun = this.#run?.requests.sizeOf(client) ?? 0
    return inRun + this.#backlog.filter(({ ask }) => ask.client === client).length
  }

  push (waiting: Waiting): boolean {
    if (this.#isClosed || this.size() >= QUEUE_MAX) return false
    if (this.#run?.isReady === true) this.#run.requests.send(waiting)
    else this.#backlog.push(waiting)
    return true
  }

  tick (passedMs: number): void {
    this.#run?.tick(passedMs)
  }

  isAlive (): boolean {
    return !this.#isClosed && this.#run?.isReady === true
  }

  usePolicy (policy: Policy): void {
    const policyNumber = this.#current.policyNumber + 1
    this.#current = { policy, policyNumber }
    this.#policyVersions[policyNumber % POLICIES_KEPT] = policy.version
    this.#run?.usePolicy(this.#current)
  }

  async close (): Promise<void> {
    this.#isClosed = true
    if (this.#restart !== null) clearTimeout(this.#restart)
    this.#run?.stop()
    for (const waiting of this.#backlog) this.#events.answer(waiting, null, 0)
    this.#backlog = []
    await this.#thread.close()
  }

  readonly #begin = async (): Promise<void> => {
    const run: RingRun = new RingRun({
      geometry: this.#geometry,
      policyVersions: this.#policyVersions,
      answer: this.#events.answer,
      onReady: () => this.#sendBacklog(run),
      onSuspect: this.#events.onSuspect,
      cpuMsMax: this.#cpuMsMax
    })
    this.#run = run
    this.#endRun(run, await run.start(this.#thread, this.#current))
  }

  #sendBacklog ({ requests }: RingRun): void {
    this.#failedStarts = 0
    this.#firstReady.resolve()
    const waiting = this.#backlog
    this.#backlog = []
    // Also those that nobody waits for any more: whoever handed them on is told that they have left.
    for (const one of waiting) requests.send(one)
  }

  #endRun (run: RingRun, { reason, end }: RunEnd): void {
    const { inHand, others } = run.end()
    this.#run = null
    if (this.#isClosed) {
      if (inHand !== null) this.#events.answer(inHand, null, 0)
      for (const one of others) this.#events.answer(one, null, 0)
      return
    }
    if (inHand !== null) this.#events.lost(inHand, end)
    this.#events.onDeath(reason)
    this.#backlog = [...others, ...this.#backlog]
    // Only threads that die before they took work wait: a poisoned request must not slow down the others.
    const delayMs = run.isReady ? 0 : restartDelayMs(this.#failedStarts++)
    this.#restart = setTimeout(this.#begin, delayMs).unref()
  }
}
