/**
 * One Piscina of exactly one thread: a channel needs it to run a task, to stop a task that hangs, and to have a thread
 * again afterwards. One Piscina per channel, so that a channel always knows which thread holds its observations.
 */
import { getCompileCacheDir } from 'node:module'
import { Piscina } from 'piscina'
import type { MessagePort } from 'node:worker_threads'

export interface PoolThread {
  /** Rejects when the thread dies or `signal` aborts; the next run gets a new thread. */
  run (task: unknown, options: { signal: AbortSignal, transferList?: MessagePort[] }): Promise<unknown>
  /** CPU time that the present thread has used, us; also while it is busy. Never, where it cannot be interrupted. */
  cpuUs (): Promise<number>
  close (): Promise<void>
}

/** Old space of one scoring thread: the verdict cache holds 8 MiB, the worst observation some 10. */
const HEAP_MB_MAX = 96

export function startThread (workerUrl: URL): PoolThread {
  const compileCache = getCompileCacheDir()
  const pool = new Piscina({
    filename: workerUrl.href,
    name: 'ring',
    minThreads: 1,
    maxThreads: 1,
    concurrentTasksPerWorker: 1,
    recordTiming: false,
    trackUnmanagedFds: false,
    closeTimeout: 100,
    // A thread that judges hostile text gets neither our environment (secrets) nor our loaders; only what
    // main compiled.
    env: compileCache === undefined ? {} : { NODE_COMPILE_CACHE: compileCache },
    execArgv: [],
    resourceLimits: { maxOldGenerationSizeMb: HEAP_MB_MAX }
  })
  // A thread that dies without a task in hand says so here; the channel sees it when its next run starts a new one.
  pool.on('error', () => {})
  return {
    async run (task, { signal, transferList }) {
      try {
        return await pool.run(task, { signal, transferList: transferList as never })
      } catch (error) {
        // Piscina only says that the task was aborted; we know why.
        throw signal.aborted ? signal.reason : error
      }
    },
    async cpuUs () {
      const usage = await pool.threads[0]?.cpuUsage()
      return usage === undefined ? 0 : usage.user + usage.system
    },
    close: () => pool.destroy()
  }
}
