import type { Clock, Timer } from '../std/clock.ts'
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
import { readTrailId } from './trail-id.ts'

/**
 * A checkpoint is due behind this many events, and this long behind any: what is not sealed yet can be cut off
 * unnoticed. One sync of the disk in that time, and none while nothing happens.
 */
const CHECKPOINT_EVENTS = 1_000
const CHECKPOINT_MS = 5_000
/** Whoever listens sends them away: the newest of a minute is enough, and the last one of the log. */
const TELL_MS = 60_000

interface SealingOptions {
  files: FileLayer
  watch: FileWatch
  directory: string
  processId: string
  signer: Signer
  storage: Storage | null
  clock: Clock
  log: { info (fields: object, message: string): void, error (fields: object, message: string): void }
  onSealed (checkpoint: Checkpoint): void
}

/** When a checkpoint of this process's log is due, and where it goes: into the seals file, then to two other places. */
export class Sealing {
  readonly #options: SealingOptions
  readonly #seals: Seals
  /** Runs from a checkpoint until the next one may be due; the first event behind that is sealed at once. */
  #timer: Timer | null = null
  #newest: TrailPosition | null = null
  #untold: Checkpoint | null = null
  #telling: Timer | null = null
  #sealedSeq = -1
  /** Sealed, or on its way: a disk that hangs has one checkpoint of a position in line. */
  #askedSeq = -1
  #closed = false
  #dueSeq = CHECKPOINT_EVENTS
  /** One write of the seals after the other. */
  #queue: Promise<unknown> = Promise.resolve()
  #copies = Promise.resolve()
  /** Waits for the store to take the one before. */
  #uncopied: Checkpoint | null = null

  constructor (options: SealingOptions) {
    const { files, watch, directory, processId, signer } = options
    this.#options = options
    this.#seals = createSeals({ files, watch, directory, processId, signer })
  }

  /** Before the log's first byte: from then on a missing seals file is a finding. Throws like the disk. */
  begin (): void {
    const opening = this.#seals.begin(this.#options.clock.now(), GENESIS)
    if (opening !== null) this.#store(opening)
  }

  committed (position: TrailPosition): void {
    this.#newest = position
    if (this.#timer === null || position.seq + 1 >= this.#dueSeq) this.#seal('checkpoint', position)
  }

  /** Resolves when all that is committed now is sealed. Rejects like the disk. */
  async sealed (): Promise<void> {
    const position = this.#newest
    if (position === null) return
    this.#seal('checkpoint', position)
    await this.#queue
    if (this.#sealedSeq < position.seq) throw new Error('the checkpoint could not be written')
  }

  /** Runs `work` in turn with the checkpoints, as both write the seals. */
  inTurn<T> (work: (seals: Seals) => Promise<T>): Promise<T> {
    const result = this.#queue.then(() => work(this.#seals))
    this.#queue = result.then(() => {}, () => {})
    return result
  }

  /** Seals the end of the log, if there is one, and waits for all copies. */
  async close (last: TrailPosition | null): Promise<void> {
    this.#closed = true
    this.#timer?.cancel()
    if (last !== null) this.#seal('close', last)
    await this.#queue
    // Where the end could not be sealed: what is sealed.
    this.#tell()
    this.#seals.close()
    await this.#copies
  }

  /** A checkpoint that fails is made up for by the next. */
  #seal (kind: 'checkpoint' | 'close', position: TrailPosition): void {
    const { processId, clock, log } = this.#options
    this.#dueSeq = position.seq + 1 + CHECKPOINT_EVENTS
    this.#askedSeq = position.seq
    this.#wait()
    this.inTurn(async (seals) => {
      const checkpoint = await seals.append({ kind, ...position, at: clock.now() })
      this.#sealedSeq = position.seq
      this.#copy(checkpoint)
    }).catch((error: unknown) => {
      this.#askedSeq = this.#sealedSeq
      const code = (error as NodeJS.ErrnoException).code ?? null
      log.error({ processId, code }, 'an audit checkpoint could not be written')
    })
  }

  #wait (): void {
    this.#timer?.cancel()
    this.#timer = this.#closed
      ? null
      : this.#options.clock.after(CHECKPOINT_MS, () => {
        this.#timer = null
        // Where a file is lost that one's alarm tells: the checkpoint is made up for when it is back.
        if (this.#options.watch.lost !== null) return this.#wait()
        const position = this.#newest
        if (position !== null && position.seq > this.#askedSeq) this.#seal('checkpoint', position)
      })
  }

  /** To whoever listens, into the log and the store, where somebody who edits the files may not reach. */
  #copy (checkpoint: Checkpoint): void {
    this.#untold = checkpoint
    if (checkpoint.kind === 'close') this.#tell()
    else this.#telling ??= this.#options.clock.after(TELL_MS, () => { this.#tell() })
    this.#options.log.info({ auditCheckpoint: checkpoint }, 'audit checkpoint')
    this.#store(checkpoint)
  }

  #tell (): void {
    this.#telling?.cancel()
    this.#telling = null
    if (this.#untold !== null) this.#options.onSealed(this.#untold)
    this.#untold = null
  }

  #store (checkpoint: Checkpoint): void {
    const { files, directory, processId, storage } = this.#options
    if (storage === null) return
    const isWaiting = this.#uncopied !== null
    this.#uncopied = checkpoint
    if (isWaiting) return
    this.#copies = this.#copies.then(async () => {
      const newest = this.#uncopied!
      this.#uncopied = null
      const trailId = await readTrailId(files, directory)
      await storage.collection<StoredCheckpoint>(auditCheckpoints).put({ id: processId, trailId, ...newest })
      // Fail-open: the next checkpoint replaces this one, and the file and the log hold it.
    }).catch(() => { /* as said */ })
  }
}
