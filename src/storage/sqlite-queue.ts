import { Worker } from 'node:worker_threads'
import { NEKO_ERR_OVERLOADED, NEKO_ERR_STORE_UNAVAILABLE } from '../errors.ts'
import type { Clock } from '../std/clock.ts'
import type { HealthState } from './health.ts'
import { BUSY_TIMEOUT_MS, reasonOf, typedError } from './sqlite-file.ts'
import type { FromThread, ThreadData } from './sqlite-thread.ts'
import type { TableSpec, WriteAnswer, WriteOp } from './sqlite-writer.ts'

/**
 * The way to the writer thread: collects operations while a batch is under way and sends them as the next one.
 *
 * Owns the thread, the queue and its bounds. Never opens the file. One batch is under way at a time, so under load
 * commits group by themselves and alone a write waits for nothing. A thread that dies is replaced; what it was doing
 * is answered UNAVAILABLE, because nobody knows whether it was committed.
 */
export interface WriteQueue {
  /** @throws NEKO_ERR_OVERLOADED, NEKO_ERR_STORE_UNAVAILABLE within 2 s, NEKO_ERR_STORE_CORRUPT */
  write (op: WriteOp): Promise<Exclude<WriteAnswer, { failed: unknown }>>
  define (name: string, spec: TableSpec): void
  close (): Promise<void>
}

/** Documents and bytes that may wait: some seconds of work for one disk; beyond it the caller is told to come back. */
const QUEUE_DOCUMENTS_MAX = 20_000
const QUEUE_BYTES_MAX = 64 * 1024 * 1024
/** Of one group commit, two full calls: who waits behind it must not be late. */
const GROUP_DOCUMENTS_MAX = 2000
/** A database call has 2 s, less than a resolver (3 s). Checked four times a second rather than by a timer per call. */
const DEADLINE_MS = 2000
const DEADLINE_CHECK_MS = 250
/** Locked answers within a second also for those who waited behind another batch; less than this is no try at all. */
const BUSY_TIMEOUT_MS_MIN = 50
const RESPAWN_MS_MIN = 100
const RESPAWN_MS_MAX = 5000
const PROBE_MS = 1000

interface Pending {
  op: WriteOp
  documents: number
  bytes: number
  sinceMs: number
  settled: boolean
  resolve (answer: Exclude<WriteAnswer, { failed: unknown }>): void
  reject (error: Error): void
}

export async function openWriteQueue (
  options: { file: string, clock: Clock, health: HealthState }
): Promise<WriteQueue> {
  const { file, clock, health } = options
  const specs = new Map<string, TableSpec>()
  let waiting: Pending[] = []
  let underWay: Pending[] | null = null
  let documents = 0
  let bytes = 0
  let worker: Worker | null = null
  let ready = false
  let closing = false
  let respawnMs = RESPAWN_MS_MIN
  let respawnTimer: NodeJS.Timeout | null = null
  let onIdle: (() => void) | null = null
  let onReady: ((error: Error | null) => void) | null = null

  function spawn (): void {
    const data: ThreadData = { file, task: 'write', specs: [...specs] }
    const thread = new Worker(new URL('../../workers/sqlite.ts', import.meta.url), { workerData: data, name: 'sqlite' })
    worker = thread
    thread.on('message', (message: FromThread) => receive(message))
    thread.on('error', (error: Error) => lose(thread, error))
    thread.on('exit', () => lose(thread, new Error('the writer thread ended')))
  }

  function receive (message: FromThread): void {
    if (message.kind === 'ready') {
      ready = true
      respawnMs = RESPAWN_MS_MIN
      onReady?.(null)
      return pump()
    }
    if (message.kind === 'answers' && underWay !== null) settleBatch(message.answers as WriteAnswer[])
  }

  function settleBatch (answers: WriteAnswer[]): void {
    const batch = underWay!
    underWay = null
    let failed: unknown = null
    batch.forEach((pending, i) => {
      const answer = answers[i]!
      if ('failed' in answer) {
        settle(pending, failed = Object.assign(new Error(answer.message), { errcode: answer.errcode }))
      } else settle(pending, null, answer)
    })
    if (failed !== null) health.set({ up: false, reason: reasonOf(failed) }, failed)
    else if (batch.length > 0) health.set({ up: true, reason: null })
    pump()
  }

  function settle (pending: Pending, error: unknown, answer?: Exclude<WriteAnswer, { failed: unknown }>): void {
    if (pending.settled) return
    pending.settled = true
    documents -= pending.documents
    bytes -= pending.bytes
    if (error !== null) pending.reject(typedError(error, file))
    else pending.resolve(answer!)
  }

  function pump (): void {
    if (!ready || underWay !== null || worker === null) return
    waiting = waiting.filter((pending) => !pending.settled)
    if (waiting.length === 0) {
      worker.unref()
      onIdle?.()
      return
    }
    const batch = takeBatch()
    underWay = batch
    const waitedMs = clock.monotonic() - batch[0]!.sinceMs
    const busyTimeoutMs = waitedMs < 20
      ? BUSY_TIMEOUT_MS
      : Math.max(BUSY_TIMEOUT_MS_MIN, Math.round(BUSY_TIMEOUT_MS - waitedMs))
    worker.ref()
    worker.postMessage({
      kind: 'batch',
      batch: { ops: batch.map((pending) => pending.op), nowMs: clock.now(), busyTimeoutMs }
    })
  }

  function takeBatch (): Pending[] {
    let size = 0
    const end = waiting.findIndex((pending) => (size += pending.documents) > GROUP_DOCUMENTS_MAX)
    return waiting.splice(0, end === -1 ? waiting.length : Math.max(1, end))
  }

  function lose (thread: Worker, error: Error): void {
    if (worker !== thread) return
    worker = null
    ready = false
    onReady?.(error)
    const lost = underWay ?? []
    underWay = null
    for (const pending of lost) settle(pending, unavailable(error))
    if (closing) return onIdle?.()
    health.set({ up: false, reason: reasonOf(error) }, error)
    respawnTimer = setTimeout(spawn, respawnMs)
    respawnMs = Math.min(RESPAWN_MS_MAX, respawnMs * 2)
  }

  function enqueue (op: WriteOp): Promise<Exclude<WriteAnswer, { failed: unknown }>> {
    if (closing) return Promise.reject(new NEKO_ERR_STORE_UNAVAILABLE())
    const size = sizeOf(op)
    if (documents + size.documents > QUEUE_DOCUMENTS_MAX || bytes + size.bytes > QUEUE_BYTES_MAX) {
      return Promise.reject(new NEKO_ERR_OVERLOADED('1'))
    }
    documents += size.documents
    bytes += size.bytes
    return new Promise((resolve, reject) => {
      waiting.push({ op, ...size, sinceMs: clock.monotonic(), settled: false, resolve, reject })
      // In the next microtask: what one tick writes, goes in one commit.
      if (waiting.length === 1) queueMicrotask(pump)
    })
  }

  const deadlines = setInterval(() => {
    const lateMs = clock.monotonic() - DEADLINE_MS
    for (const pending of [...underWay ?? [], ...waiting]) {
      if (pending.settled || pending.sinceMs > lateMs) continue
      settle(pending, unavailable(new Error('the writer did not answer within 2 s')))
      health.set({ up: false, reason: 'timeout' })
    }
  }, DEADLINE_CHECK_MS).unref()
  // A store that failed is tried with a harmless write, so that it recovers also when nobody writes.
  const probes = setInterval(() => {
    if (!health.current().up && waiting.length === 0 && underWay === null) {
      enqueue({ kind: 'probe' }).catch(() => { /* health says why */ })
    }
  }, PROBE_MS).unref()

  await new Promise<void>((resolve, reject) => {
    onReady = (error) => {
      onReady = null
      if (error === null) return resolve()
      closing = true
      clearInterval(deadlines)
      clearInterval(probes)
      reject(typedError(error, file))
    }
    spawn()
  })

  return {
    write: enqueue,
    define (name, spec) {
      if (specs.has(name)) return
      specs.set(name, spec)
      enqueue({ kind: 'define', name, spec }).catch(() => { /* sent again when a thread starts */ })
    },
    async close () {
      closing = true
      clearInterval(probes)
      if (respawnTimer !== null) clearTimeout(respawnTimer)
      if (worker !== null && (waiting.length > 0 || underWay !== null)) {
        await new Promise<void>((resolve) => { onIdle = resolve; setTimeout(resolve, DEADLINE_MS).unref(); pump() })
      }
      clearInterval(deadlines)
      for (const pending of [...underWay ?? [], ...waiting]) settle(pending, unavailable(new Error('closed')))
      await endThread(worker)
      worker = null
    }
  }
}

async function endThread (worker: Worker | null): Promise<void> {
  if (worker === null) return
  worker.ref()
  worker.removeAllListeners('exit')
  const ended = new Promise<void>((resolve) => {
    worker.once('exit', () => resolve())
    setTimeout(resolve, DEADLINE_MS).unref()
  })
  worker.postMessage({ kind: 'close' })
  await ended
  await worker.terminate()
}

function unavailable (cause: Error): Error {
  return Object.assign(new NEKO_ERR_STORE_UNAVAILABLE(), { cause })
}

function sizeOf (op: WriteOp): { documents: number, bytes: number } {
  if (op.kind === 'insertMany' || op.kind === 'putMany') {
    return {
      documents: Math.max(1, op.docs.length),
      bytes: op.docs.reduce((total, doc) => total + doc.length, 0)
    }
  }
  if (op.kind === 'define') return { documents: 0, bytes: 0 }
  return { documents: 1, bytes: 'doc' in op ? op.doc.length : 0 }
}
