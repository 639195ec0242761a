import type { Collection, Document } from '../storage/port.ts'

/**
 * Writes that memory is ahead of: the newest state per id, tried until the store has it. Bounded: when 20,000 ids wait,
 * the oldest is left to the write-ahead log, whose replay at the next start puts it into the store.
 */
export interface WriteBehind<T extends Document> {
  put (doc: T): void
  delete (id: string): void
  isPending (id: string): boolean
  /** Resolves when what waits was tried once. */
  settled (): Promise<void>
  /** One last try. */
  close (): Promise<void>
}

const PENDING_MAX = 20_000
const RETRY_MS = 1000
// Small enough that one write fits the database call's two seconds on a slow server too.
const BATCH = 100

/** `onError` is told of each failed try, one a second while the store is down. */
export function createWriteBehind<T extends Document> (
  { store, onError }: { store: Collection<T>, onError (error: unknown): void }
): WriteBehind<T> {
  const pending = new Map<string, T | null>()
  let running: Promise<void> | null = null
  let timer: NodeJS.Timeout | null = null

  function start (): Promise<void> {
    running ??= flush().finally(() => { running = null })
    return running
  }

  function change (id: string, doc: T | null): void {
    pending.delete(id)
    if (pending.size >= PENDING_MAX) pending.delete(pending.keys().next().value as string)
    pending.set(id, doc)
    // While the store is down the timer alone tries again.
    if (timer === null) start()
  }

  async function flush (): Promise<void> {
    // A turn of the event loop gathers what one request, or a storm, changes together.
    await new Promise((resolve) => setImmediate(resolve))
    while (pending.size > 0) {
      const batch = [...pending.entries().take(BATCH)]
      try {
        const docs = batch.filter(([, doc]) => doc !== null).map(([, doc]) => doc as T)
        if (docs.length > 0) await store.putMany(docs)
        for (const [id, doc] of batch) if (doc === null) await store.delete(id)
        for (const [id, doc] of batch) if (pending.get(id) === doc) pending.delete(id)
      } catch (error) {
        onError(error)
        timer = setTimeout(() => { timer = null; start() }, RETRY_MS)
        timer.unref()
        return
      }
    }
  }

  return {
    put: (doc) => change(doc.id, doc),
    delete: (id) => change(id, null),
    isPending: (id) => pending.has(id),
    async settled () { if (pending.size > 0) await start() },
    async close () {
      if (timer !== null) clearTimeout(timer)
      await start()
      if (timer !== null) clearTimeout(timer)
    }
  }
}
