import { NEKO_ERR_STORE_UNAVAILABLE } from '../errors.ts'
import { createAwakeTime } from '../std/awake.ts'
import type { AwakeTime } from '../std/awake.ts'
import type { Clock } from '../std/clock.ts'
import type { FileWatch } from '../std/file-watch.ts'
import type { HealthState } from './health.ts'
import { PendingOperations } from './pending-operations.ts'
import type { Patience } from './port.ts'
import { BUSY_TIMEOUT_MS, COMPANIONS, reasonOf } from './sqlite-file.ts'
import type { TableSpec } from './sqlite-table.ts'
import { WriterThread } from './sqlite-writer-thread.ts'
import type { WriteAnswer, WriteOp, WriteResult } from './sqlite-writer.ts'

/**
 * The way to the writer thread: collects operations while a batch is under way and sends them as the next one.
 *
 * Owns the deadline of each operation and what the store's health is; the operations are pending-operations.ts, the
 * thread is sqlite-writer-thread.ts. Never opens the file. One batch is under way at a time, so under load commits
 * group by themselves and alone a write waits for nothing. The batch of a thread that dies is answered UNAVAILABLE,
 * because nobody knows whether it was committed.
 */

// A database call has 2 s, less than a resolver (3 s), and background work 5 s. Checked four times a second rather than
// by a timer per call.
const DEADLINES_MS: Readonly<Record<Patience, number>> = { request: 2000, background: 5000 }
const DEADLINE_CHECK_MS = 250
/** Locked answers within a second also for operations behind another batch; less than this is no try at all. */
const BUSY_TIMEOUT_MS_MIN = 50
/** A batch that waited no longer than this waited for nobody. */
const AT_ONCE_MS = 20
const PROBE_MS = 1000

interface WriteQueueOptions {
  file: string
  clock: Clock
  health: HealthState
  /** While one of these files is lost the store is down, and while it is one of the database's nothing is written. */
  watch: FileWatch
  /** Asked before a thread opens the file. */
  mayOpen? (): boolean
  /** A thread has the file open, the first or a successor, and nothing was written by it yet. */
  onReady? (): void
}

/** A file that cannot be opened now is tried again: until then every write is refused at once. */
export async function openWriteQueue (options: WriteQueueOptions): Promise<WriteQueue> {
  const queue = new WriteQueue(options)
  await queue.open()
  return queue
}

export class WriteQueue {
  readonly #file: string
  readonly #clock: Clock
  /** Deadlines count it: in a pause of this process its writer's thread did nothing either. */
  readonly #awake: AwakeTime
  readonly #health: HealthState
  readonly #watch: FileWatch
  readonly #specs = new Map<string, TableSpec>()
  readonly #pending: PendingOperations
  readonly #thread: WriterThread
  readonly #timers: NodeJS.Timeout[] = []
  #isClosing = false
  #onIdle: (() => void) | null = null

  constructor ({ file, clock, health, watch, mayOpen, onReady }: WriteQueueOptions) {
    this.#file = file
    this.#clock = clock
    this.#awake = createAwakeTime({ clock, lookMs: DEADLINE_CHECK_MS })
    this.#health = health
    this.#watch = watch
    this.#pending = new PendingOperations(file)
    this.#thread = new WriterThread({
      file,
      specs: () => [...this.#specs],
      mayOpen: () => {
        watch.look()
        return !this.#isLost() && (mayOpen?.() ?? true)
      },
      onReady: () => {
        onReady?.()
        this.#pump()
      },
      onAnswers: (answers) => this.#settle(answers),
      onLost: (error) => this.#lose(error)
    })
  }

  async open (): Promise<void> {
    await this.#thread.start()
    this.#watch.onChange((lost) => { if (lost !== null) this.#health.set({ up: false, reason: 'lost' }) })
    this.#timers.push(
      setInterval(() => this.#expire(), DEADLINE_CHECK_MS).unref(),
      setInterval(() => this.#probe(), PROBE_MS).unref()
    )
  }

  /** @throws NEKO_ERR_OVERLOADED, NEKO_ERR_STORE_UNAVAILABLE within the deadline, NEKO_ERR_STORE_CORRUPT */
  write (op: WriteOp, patience: Patience = 'request'): Promise<WriteResult> {
    // With another file lost the store is down to those who ask for a change: what was acknowledged is written down.
    const isRefused = this.#isClosing || this.#thread.isFailing || this.#isLost()
    return isRefused ? Promise.reject(new NEKO_ERR_STORE_UNAVAILABLE()) : this.#add(op, patience)
  }

  #add (op: WriteOp, patience: Patience): Promise<WriteResult> {
    const result = this.#pending.add(op, patience, this.#awake.ms())
    // In the next microtask: all that one tick writes goes in one commit.
    if (this.#pending.waitingCount === 1) queueMicrotask(() => this.#pump())
    return result
  }

  define (name: string, spec: TableSpec): void {
    if (this.#specs.has(name)) return
    this.#specs.set(name, spec)
    // A thread that is still to be started is told of all.
    if (!this.#thread.isAlive) return
    this.#add({ kind: 'define', name, spec }, 'request').catch(() => { /* the next thread is told */ })
  }

  /** Waits for operations under way, at most their deadline. */
  async close (): Promise<void> {
    this.#isClosing = true
    this.#thread.retire()
    if (this.#thread.isAlive && !this.#pending.isEmpty) {
      await new Promise<void>((resolve) => {
        this.#onIdle = resolve
        setTimeout(resolve, DEADLINES_MS.request).unref()
        this.#pump()
      })
    }
    for (const timer of this.#timers) clearInterval(timer)
    this.#pending.expire(() => Infinity, new Error('closed'))
    await this.#thread.end()
  }

  /** The database, or what lies beside it, is not what it was. */
  #isLost (): boolean {
    return COMPANIONS.some((suffix) => this.#watch.isLost(this.#file + suffix))
  }

  #pump (): void {
    if (!this.#thread.isReady || this.#pending.isUnderWay) return
    const batch = this.#pending.begin()
    if (batch === null) {
      this.#thread.rest()
      this.#onIdle?.()
      return
    }
    const busyTimeoutMs = busyTimeoutAfter(this.#awake.ms() - batch.sinceMs)
    this.#thread.send({ ops: batch.ops, nowMs: this.#clock.now(), busyTimeoutMs })
  }

  #settle (answers: WriteAnswer[]): void {
    const failure = this.#pending.end(answers)
    // What was on its way when a file was lost says nothing of the next.
    if (failure === null && this.#watch.lost === null) this.#health.set({ up: true, reason: null })
    else if (failure instanceof Error) this.#health.set({ up: false, reason: reasonOf(failure) }, failure)
    this.#pump()
  }

  #lose (error: Error): void {
    this.#pending.lose(error)
    if (this.#isClosing) this.#onIdle?.()
    // A thread that ends because the store fails has less to say than the failure.
    else if (this.#health.current().up) this.#health.set({ up: false, reason: reasonOf(error) }, error)
  }

  #expire (): void {
    this.#awake.look()
    const nowMs = this.#awake.ms()
    const late = this.#pending.expire(
      (patience) => nowMs - DEADLINES_MS[patience],
      new Error('the writer did not answer in time')
    )
    // Background work may be too large for a slow disk: that says nothing of the store.
    const isLate = late.some((patience) => patience === 'request')
    if (isLate && this.#health.current().up) this.#health.set({ up: false, reason: 'timeout' })
  }

  /** A store that failed is tried with a harmless write, so that it recovers also when nobody writes. */
  #probe (): void {
    if (this.#health.current().up || !this.#pending.isEmpty) return
    this.write({ kind: 'probe' }).catch(() => { /* health says why */ })
  }
}

/** How long a batch may wait for the lock, ms, when its first operation has waited so long already. */
function busyTimeoutAfter (waitedMs: number): number {
  if (waitedMs < AT_ONCE_MS) return BUSY_TIMEOUT_MS
  return Math.max(BUSY_TIMEOUT_MS_MIN, Math.round(BUSY_TIMEOUT_MS - waitedMs))
}
