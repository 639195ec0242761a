import type { Clock, Timer } from './clock.ts'

/**
 * Runs one flush at a time of the changes that memory is ahead of the store with. The owner keeps them, with a bound;
 * this knows only when to write: a turn of the event loop after something came (one request, or a storm, changes
 * several things together), and again after a pause when the store failed. While the store is away the timer alone
 * tries again, so that a flood does not press it.
 */
interface WriteBehind {
  /** Something waits. */
  wake (): void
  /** Resolves when all that waits was tried once. */
  settled (): Promise<void>
  /** One last try; nothing is tried again after it. */
  close (): Promise<void>
}

interface WriteBehindOptions {
  clock: Pick<Clock, 'after'>
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

export function createWriteBehind (
  { clock, waits, write, onError, retryMs = RETRY_MS }: WriteBehindOptions
): WriteBehind {
  let running: Promise<void> | null = null
  let retry: Timer | null = null
  let closed = false

  function start (): Promise<void> {
    // A try that somebody asked for is the one that the timer would have made.
    cancelRetry()
    running ??= flush()
    return running
  }

  async function flush (): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve))
    try {
      while (waits()) await write()
    } catch (error) {
      onError(error)
      if (!closed) tryAgain()
    } finally {
      // Here, not in a reaction to the promise: a wake between the two would find it running, and be lost.
      running = null
    }
  }

  function tryAgain (): void {
    retry = clock.after(retryMs, start)
  }

  function cancelRetry (): void {
    retry?.cancel()
    retry = null
  }

  return {
    wake () { if (retry === null && !closed) start() },
    async settled () {
      if (running !== null || (waits() && !closed)) await start()
    },
    async close () {
      const isFirst = !closed
      closed = true
      cancelRetry()
      if (running !== null || (waits() && isFirst)) await start()
    }
  }
}
