import { BoundedMap } from '../std/bounded-map.ts'
import type { Clock } from '../std/clock.ts'
import { createWriteBehind } from '../std/write-behind.ts'
import type { Collection, Document, Where } from '../storage/port.ts'

/**
 * Writes that memory is ahead of: the newest state per id, tried until the store has it. Bounded: when 20,000 ids
 * wait, the oldest is left to the write-ahead log, whose replay at the next start puts it into the store.
 */
export interface PendingWrites<T extends Document> {
  put (doc: T): void
  /** `only`: left alone where the stored document is another one by then. */
  delete (id: string, only?: Where): void
  isPending (id: string): boolean
  /** Resolves when what waits was tried once. */
  settled (): Promise<void>
  /** One last try. */
  close (): Promise<void>
}

const PENDING_MAX = 20_000
// Small enough that one write fits the database call's two seconds on a slow server too.
const BATCH = 100

interface PendingWritesOptions<T extends Document> {
  clock: Pick<Clock, 'after'>
  store: Collection<T>
  /** The store has these now. */
  onStored? (docs: T[]): void
  /** Told of each failed try, one a second while the store is down. */
  onError (error: unknown): void
}

type Change<T> = { kind: 'put', doc: T } | { kind: 'delete', only: Where | null }

export function createPendingWrites<T extends Document> (
  { clock, store, onStored = () => {}, onError }: PendingWritesOptions<T>
): PendingWrites<T> {
  const pending = new BoundedMap<string, Change<T>>(PENDING_MAX)
  const runner = createWriteBehind({ clock, waits: () => pending.size > 0, write, onError })

  async function write (): Promise<void> {
    const batch = [...pending.entries().take(BATCH)]
    const docs = batch.flatMap(([, change]) => change.kind === 'put' ? [change.doc] : [])
    // First: of two decisions about one client the one that stays is stored before the other goes.
    if (docs.length > 0) await store.putMany(docs)
    for (const [id, change] of batch) if (change.kind === 'delete') await deleteStored(id, change.only)
    for (const [id, change] of batch) if (pending.get(id) === change) pending.delete(id)
    if (docs.length > 0) onStored(docs)
  }

  async function deleteStored (id: string, only: Where | null): Promise<void> {
    if (only === null) await store.delete(id)
    else await store.deleteWhere({ id, ...only }, 1)
  }

  function note (id: string, change: Change<T>): void {
    pending.set(id, change)
    runner.wake()
  }

  return {
    put: (doc) => note(doc.id, { kind: 'put', doc }),
    delete: (id, only) => note(id, { kind: 'delete', only: only ?? null }),
    isPending: (id) => pending.has(id),
    settled: runner.settled,
    close: runner.close
  }
}
