import type { Clock } from '../std/clock.ts'
import type { FileWatch } from '../std/file-watch.ts'
import type { Storage } from '../storage/port.ts'
import { GENESIS } from '../journal/chain.ts'
import type { FileLayer } from '../journal/files.ts'
import type { TrailPosition } from '../journal/trail.ts'
import { createSeals } from './checkpoints.ts'
import type { Checkpoint, Seals } from './checkpoints.ts'
import { auditCheckpoints } from './collections.ts'
import type { StoredCheckpoint } from './collections.ts'
import type { Signer } from './signing.ts'
import { ensureTrailId } from './trail-id.ts'

/** A checkpoint is due behind this many events, and once a minute behind any. */
const CHECKPOINT_EVENTS = 1_000
const CHECKPOINT_MS = 60_000

interface SealingOptions {
  files: FileLayer
  watch: FileWatch
  directory: string
  processId: string
  signer: Signer
  storage: Storage | null
  clock: Clock
  log: { info (fields: object, message: string): void, error (fields: object, message: string): void }
  /** Where the chain of this process's log stands. */
  position: () => TrailPosition
  onSealed (checkpoint: Checkpoint): void
}

/** When a checkpoint of this process's log is due, and where it goes: into the seals file, then to two other places. */
export class Sealing {
  readonly #options: SealingOptions
  readonly #seals: Seals
  readonly #timer: NodeJS.Timeout
  #sealedSeq = -1
  #dueSeq = CHECKPOINT_EVENTS
  /** One write of the seals after the other. */
  #queue: Promise<unknown> = Promise.resolve()
  #copies = Promise.resolve()

  constructor (options: SealingOptions) {
    const { files, watch, directory, processId, signer } = options
    this.#options = options
    this.#seals = createSeals({ files, watch, directory, processId, signer })
    this.#timer = setInterval(() => {
      const position = options.position()
      // Where a file is lost that one's alarm tells: the checkpoint is made up for when it is back.
      if (options.watch.lost !== null) return
      if (position.seq > this.#sealedSeq) this.#seal('checkpoint', position)
    }, CHECKPOINT_MS)
    this.#timer.unref()
  }

  /** Before the log's first byte: from then on a missing seals file is a finding. Throws like the disk. */
  begin (): void {
    this.#seals.begin(this.#options.clock.now(), GENESIS)
  }

  committed (position: TrailPosition): void {
    if (position.seq + 1 >= this.#dueSeq) this.#seal('checkpoint', position)
  }

  /** Runs `work` in turn with the checkpoints, as both write the seals. */
  inTurn<T> (work: (seals: Seals) => Promise<T>): Promise<T> {
    const result = this.#queue.then(() => work(this.#seals))
    this.#queue = result.then(() => {}, () => {})
    return result
  }

  /** Seals the end of the log, if there is one, and waits for all copies. */
  async close (last: TrailPosition | null): Promise<void> {
    clearInterval(this.#timer)
    if (last !== null) this.#seal('close', last)
    await this.#queue
    this.#seals.close()
    await this.#copies
  }

  /** A checkpoint that fails is made up for by the next. */
  #seal (kind: 'checkpoint' | 'close', position: TrailPosition): void {
    const { processId, clock, log } = this.#options
    this.#dueSeq = position.seq + 1 + CHECKPOINT_EVENTS
    this.inTurn(async (seals) => {
      const checkpoint = await seals.append({ kind, ...position, at: clock.now() })
      this.#sealedSeq = position.seq
      this.#copy(checkpoint)
    }).catch((error: unknown) => {
      const code = (error as NodeJS.ErrnoException).code ?? null
      log.error({ processId, code }, 'an audit checkpoint could not be written')
    })
  }

  /** To whoever listens, into the log and the store, where somebody who edits the files may not reach. */
  #copy (checkpoint: Checkpoint): void {
    const { files, directory, processId, storage, log, onSealed } = this.#options
    onSealed(checkpoint)
    log.info({ auditCheckpoint: checkpoint }, 'audit checkpoint')
    if (storage === null) return
    // Fail-open: the next checkpoint replaces this one, and the file and the log hold it.
    this.#copies = this.#copies.then(async () => {
      const trailId = await ensureTrailId(files, directory)
      await storage.collection<StoredCheckpoint>(auditCheckpoints).put({ id: processId, trailId, ...checkpoint })
    }).catch(() => { /* as said */ })
  }
}
