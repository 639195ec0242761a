import type { WriteQueue } from './sqlite-queue.ts'

/**
 * Removes expired documents, by one process of the host at a time, the holder of the lease in the store. Expired
 * documents are invisible at once; this only gives their room back, within a minute and in bounded bites.
 */
const SWEEP_MS = 15_000
const SWEEP_AGAIN_MS = 500
/** Longer than two rounds: a sibling takes over when the holder died, not when it was late. */
const LEASE_MS = 40_000
const SWEEP_DOCUMENTS_MAX = 2000

export function startSweeper (options: { queue: WriteQueue, owner: string }): { stop (): void } {
  let timer: NodeJS.Timeout
  let stopped = false
  const schedule = (delayMs: number): void => {
    if (!stopped) timer = setTimeout(sweep, delayMs).unref()
  }
  const sweep = async (): Promise<void> => {
    let most = 0
    try {
      const answer = await options.queue.write({
        kind: 'sweep',
        owner: options.owner,
        leaseMs: LEASE_MS,
        limit: SWEEP_DOCUMENTS_MAX
      })
      most = 'value' in answer ? answer.value as number : 0
    } catch { /* the store is down or not migrated yet: the next round will do */ }
    schedule(most >= SWEEP_DOCUMENTS_MAX ? SWEEP_AGAIN_MS : SWEEP_MS)
  }
  schedule(SWEEP_MS * (0.5 + Math.random() / 2))
  return {
    stop () {
      stopped = true
      clearTimeout(timer)
    }
  }
}
