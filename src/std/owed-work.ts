import type { Clock, Timer } from './clock.ts'
import { backoffMs } from './deadline.ts'

/**
 * Work that is owed until it succeeds: one run at a time, tried again after a pause that doubles up to a bound, for
 * ever, since nobody else does it. Whoever owes it while it runs has it run once more; further ones join that.
 */
interface OwedWork {
  /** From now on the work is to be done. */
  owe (): void
  /** Nothing is begun any more; the run under way goes on. */
  close (): void
}

interface OwedWorkOptions {
  clock: Pick<Clock, 'after'>
  /** Rejects when it must be tried again. */
  work (): Promise<void>
  /** Told of the first failure of a row. */
  onFailing (error: unknown): void
  retryMsMin: number
  retryMsMax: number
}

export function createOwedWork (options: OwedWorkOptions): OwedWork {
  const { clock, work, onFailing, retryMsMin, retryMsMax } = options
  let state: 'idle' | 'running' | 'running-again' | 'pausing' | 'closed' = 'idle'
  let failures = 0
  let timer: Timer | null = null

  const isClosed = (): boolean => state === 'closed'

  function pause (): void {
    state = 'pausing'
    timer = clock.after(backoffMs(failures - 1, retryMsMin, retryMsMax), run)
  }

  async function tryOnce (): Promise<void> {
    try {
      await work()
    } catch (error) {
      if (++failures === 1) onFailing(error)
      return
    }
    failures = 0
  }

  function run (): void {
    state = 'running'
    // A listener that throws changes nothing of what is owed.
    tryOnce().catch(() => {}).then(() => {
      if (isClosed()) return
      if (failures > 0) pause()
      else if (state === 'running-again') run()
      else state = 'idle'
    })
  }

  return {
    owe () {
      if (state === 'idle') run()
      else if (state === 'running') state = 'running-again'
    },
    close () {
      state = 'closed'
      timer?.cancel()
    }
  }
}
