import { BoundedMap } from '../std/bounded-map.ts'
import { createWriteBehind } from '../std/write-behind.ts'
import type { Collection, Document } from '../storage/port.ts'

/**
 * Writes that memory is ahead of: the newest state per id, tried until the store has it. Bounded: when 20,000 ids
 * wait, the oldest is left to the write-ahead log, whose replay at the next start puts it into the store.
 */
export interface PendingWrites<T extends Document> {
  put (doc: T): void
  delete (id: string): void
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
  store: Collection<T>
  /** Told of each failed try, one a second while the store is down. */
  onError (error: unknown): void
}

export function createPendingWrites<T extends Document> (
  { store, onError }: PendingWritesOptions<T>
): PendingWrites<T> {
  const pending = new BoundedMap<string, T | null>(PENDING_MAX)
  const runner = createWriteBehind({ waits: () => pending.size > 0, write, onError })

  async function write (): Promise<void> {
    const batch = [...pending.entries().take(BATCH)]
    const docs = batch.flatMap(([, doc]) => doc === null ? [] : [doc])
    if (docs.length > 0) await store.putMany(docs)
    for (const [id, doc] of batch) if (doc === null) await store.delete(id)
    for (const [id, doc] of batch) if (pending.get(id) === doc) pending.delete(id)
  }

  function change (id: string, doc: T | null): void {
    pending.set(id, doc)
    runner.wake()
  }

  return {
    put: (doc) => change(doc.id, doc),
    delete: (id) => change(id, null),
    isPending: (id) => pending.has(id),
    settled: runner.settled,
    close: runner.close
  }
}
