/**
 * Runs one flush at a time of what memory is ahead of the store with. The owner keeps what waits, with its bound; this
 * knows only when to write: a turn of the event loop after something came (one request, or a storm, changes several
 * things together), and again after a pause when the store failed. While the store is away the timer alone tries
 * again, so that a flood does not press it.
 */
export interface WriteBehind {
  /** Something waits. */
  wake (): void
  /** Resolves when what waits was tried once. */
  settled (): Promise<void>
  /** One last try; nothing is tried again after it. */
  close (): Promise<void>
}

export interface WriteBehindOptions {
  /** Whether anything waits. */
  waits (): boolean
  /** Writes some of it, in one command of the store, and takes that from what waits. Called until nothing waits. */
  write (): Promise<void>
  /** Told of each failed try, one per pause while the store is away. */
  onError (error: unknown): void
  /** Default 1 s. */
  retryMs?: number
}

const RETRY_MS = 1_000

export function createWriteBehind ({ waits, write, onError, retryMs = RETRY_MS }: WriteBehindOptions): WriteBehind {
  let running: Promise<void> | null = null
  let retry: NodeJS.Timeout | null = null
  let closed = false

  function start (): Promise<void> {
    running ??= flush().finally(() => { running = null })
    return running
  }

  async function flush (): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve))
    try {
      while (waits()) await write()
    } catch (error) {
      onError(error)
      if (!closed) tryAgain()
    }
  }

  /** One pause at a time, also when callers of `settled` fail meanwhile. */
  function tryAgain (): void {
    if (retry !== null) return
    retry = setTimeout(() => {
      retry = null
      start()
    }, retryMs)
    retry.unref()
  }

  return {
    wake () { if (retry === null && !closed) start() },
    async settled () { if (waits() || running !== null) await start() },
    async close () {
      closed = true
      if (retry !== null) clearTimeout(retry)
      if (waits() || running !== null) await start()
    }
  }
}
