import { Worker } from 'node:worker_threads'
import type { TableSpec } from './sqlite-table.ts'
import type { FromThread, ThreadData } from './sqlite-thread.ts'
import type { Batch, WriteAnswer } from './sqlite-writer.ts'

/**
 * The writer thread as its process sees it: started, replaced when it dies (with a wait that doubles), and ended. It
 * holds up the exit of the process only while it has a batch.
 */
interface WriterThreadOptions {
  file: string
  /** The tables that a new thread is told of. */
  specs (): Array<[name: string, spec: TableSpec]>
  /** Whether the file that would be opened is the right one. */
  mayOpen (): boolean
  /** It takes batches from now on; also each successor. */
  onReady (): void
  onAnswers (answers: WriteAnswer[]): void
  /** It died, with the batch that it had. */
  onLost (error: Error): void
}

const RESPAWN_MS_MIN = 100
/** A disk that has room again is noticed within this. */
const RESPAWN_MS_MAX = 2000
/** A thread that does not close its file by then is ended. */
const END_MS = 2000

export class WriterThread {
  readonly #options: WriterThreadOptions
  #worker: Worker | null = null
  #isReady = false
  #isRetired = false
  #respawnMs = RESPAWN_MS_MIN
  #respawnTimer: NodeJS.Timeout | null = null
  /** Until the first thread is ready or gone. */
  #opening: PromiseWithResolvers<void> | null = null

  constructor (options: WriterThreadOptions) {
    this.#options = options
  }

  /** Resolves when the first thread is ready, or could not open the file: then another is tried, as always. */
  start (): Promise<void> {
    this.#opening = Promise.withResolvers<void>()
    const { promise } = this.#opening
    this.#spawn()
    return promise
  }

  get isAlive (): boolean {
    return this.#worker !== null
  }

  /** There is none, and the last one could not open the file or died at its first batch. */
  get isFailing (): boolean {
    return !this.#isReady && this.#respawnMs > RESPAWN_MS_MIN
  }

  /** Whether it takes a batch. */
  get isReady (): boolean {
    return this.#isReady
  }

  send (batch: Batch): void {
    this.#worker!.ref()
    this.#worker!.postMessage({ kind: 'batch', batch })
  }

  /** There is nothing to do: the process may exit. */
  rest (): void {
    this.#worker?.unref()
  }

  /** A thread that dies from now on is not replaced. */
  retire (): void {
    this.#isRetired = true
    if (this.#respawnTimer !== null) clearTimeout(this.#respawnTimer)
  }

  async end (): Promise<void> {
    const worker = this.#worker
    this.#worker = null
    this.#isReady = false
    if (worker === null) return
    worker.ref()
    worker.removeAllListeners('exit')
    const ended = new Promise<void>((resolve) => {
      worker.once('exit', () => resolve())
      setTimeout(resolve, END_MS).unref()
    })
    worker.postMessage({ kind: 'close' })
    await ended
    await worker.terminate()
  }

  #spawn (): void {
    const { file, specs, mayOpen } = this.#options
    if (!mayOpen()) return this.#tryLater()
    const data: ThreadData = { file, task: 'write', specs: specs() }
    const worker = new Worker(new URL('../../workers/sqlite.ts', import.meta.url), { workerData: data, name: 'sqlite' })
    this.#worker = worker
    worker.on('message', (message: FromThread) => this.#receive(worker, message))
    worker.on('error', (error: Error) => this.#lose(worker, error))
    worker.on('exit', () => this.#lose(worker, new Error('the writer thread ended')))
  }

  #receive (worker: Worker, message: FromThread): void {
    if (this.#worker !== worker) return
    if (message.kind === 'answers') {
      if (message.answers.some((answer) => !('failed' in answer))) this.#respawnMs = RESPAWN_MS_MIN
      return this.#options.onAnswers(message.answers)
    }
    if (message.kind !== 'ready') return
    this.#isReady = true
    this.#opened()
    this.#options.onReady()
  }

  #lose (worker: Worker, error: Error): void {
    if (this.#worker !== worker) return
    this.#worker = null
    this.#isReady = false
    this.#options.onLost(error)
    this.#tryLater()
  }

  #tryLater (): void {
    if (this.#isRetired) return
    this.#respawnTimer = setTimeout(() => this.#spawn(), this.#respawnMs)
    this.#respawnMs = Math.min(RESPAWN_MS_MAX, this.#respawnMs * 2)
    this.#opened()
  }

  /** The first try is over. */
  #opened (): void {
    this.#opening?.resolve()
    this.#opening = null
  }
}
