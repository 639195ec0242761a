import { NEKO_ERR_OVERLOADED, NEKO_ERR_STORE_UNAVAILABLE } from '../errors.ts'
import type { Patience } from './port.ts'
import { typedError } from './sqlite-file.ts'
import type { WriteAnswer, WriteOp, WriteResult } from './sqlite-writer.ts'

/**
 * Operations that nobody has answered yet: those that wait for the writer thread, and the batch that it has. Bounded in
 * documents and bytes; each is answered once, also when its batch is answered later than its deadline.
 */
interface PendingOperation {
  op: WriteOp
  documents: number
  bytes: number
  patience: Patience
  sinceMs: number
  isSettled: boolean
  resolve (result: WriteResult): void
  reject (error: Error): void
}

/** Documents and bytes that may wait: some seconds of work for one disk; beyond it the caller is told to come back. */
const DOCUMENTS_MAX = 20_000
const BYTES_MAX = 64 * 1024 * 1024
/** Of one group commit, two full calls: the operations behind it must not be late. */
const GROUP_DOCUMENTS_MAX = 2000

export class PendingOperations {
  readonly #file: string
  #waiting: PendingOperation[] = []
  #underWay: PendingOperation[] | null = null
  #documents = 0
  #bytes = 0

  /** @param file named in errors */
  constructor (file: string) {
    this.#file = file
  }

  get isEmpty (): boolean {
    return this.#waiting.length === 0 && this.#underWay === null
  }

  get isUnderWay (): boolean {
    return this.#underWay !== null
  }

  get waitingCount (): number {
    return this.#waiting.length
  }

  /** @throws NEKO_ERR_OVERLOADED, and later NEKO_ERR_STORE_* */
  add (op: WriteOp, patience: Patience, nowMs: number): Promise<WriteResult> {
    const size = sizeOf(op)
    if (this.#documents + size.documents > DOCUMENTS_MAX || this.#bytes + size.bytes > BYTES_MAX) {
      return Promise.reject(new NEKO_ERR_OVERLOADED('1'))
    }
    this.#documents += size.documents
    this.#bytes += size.bytes
    return new Promise((resolve, reject) => {
      this.#waiting.push({ op, ...size, patience, sinceMs: nowMs, isSettled: false, resolve, reject })
    })
  }

  /** The next batch, which is under way from now on, and since when its first operation waits; null without one. */
  begin (): { ops: WriteOp[], sinceMs: number } | null {
    this.#waiting = this.#waiting.filter(({ isSettled }) => !isSettled)
    if (this.#waiting.length === 0) return null
    let documents = 0
    const end = this.#waiting.findIndex((pending) => (documents += pending.documents) > GROUP_DOCUMENTS_MAX)
    const batch = this.#waiting.splice(0, end === -1 ? this.#waiting.length : Math.max(1, end))
    this.#underWay = batch
    return { ops: batch.map(({ op }) => op), sinceMs: batch[0]!.sinceMs }
  }

  /** The batch under way has its answers. Returns the failure among them, null, or `idle` when nothing was written. */
  end (answers: readonly WriteAnswer[]): Error | null | 'idle' {
    const batch = this.#takeUnderWay()
    const isIdle = batch.every(({ op }) => op.kind === 'define')
    let failure: Error | null = null
    for (const [i, pending] of batch.entries()) {
      const answer = answers[i]!
      if ('failed' in answer) {
        failure = Object.assign(new Error(answer.message), { errcode: answer.errcode })
        this.#fail(pending, failure)
      } else if (this.#settle(pending)) pending.resolve(answer)
    }
    return isIdle ? 'idle' : failure
  }

  /** Nobody knows whether the batch under way was committed. */
  lose (cause: Error): void {
    for (const pending of this.#takeUnderWay()) this.#fail(pending, unavailable(cause))
  }

  /** Answers the operations that came before then, and returns the patience of each. */
  expire (beforeMs: (patience: Patience) => number, cause: Error): Patience[] {
    const late = [...this.#underWay ?? [], ...this.#waiting].filter(({ isSettled, sinceMs, patience }) =>
      !isSettled && sinceMs <= beforeMs(patience)
    )
    for (const pending of late) this.#fail(pending, unavailable(cause))
    return late.map(({ patience }) => patience)
  }

  #takeUnderWay (): PendingOperation[] {
    const batch = this.#underWay ?? []
    this.#underWay = null
    return batch
  }

  #fail (pending: PendingOperation, error: Error): void {
    if (this.#settle(pending)) pending.reject(typedError(error, this.#file))
  }

  /** True the first time. */
  #settle (pending: PendingOperation): boolean {
    if (pending.isSettled) return false
    pending.isSettled = true
    this.#documents -= pending.documents
    this.#bytes -= pending.bytes
    return true
  }
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
