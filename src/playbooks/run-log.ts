import { createWriteBehind } from '../std/write-behind.ts'
import type { Clock } from '../std/clock.ts'
import type { Collection } from '../storage/port.ts'
import type { Run } from './shapes.ts'

/**
 * The record of runs, which is also how processes agree: a run's id is made of attacker, playbook and window, so two
 * processes that saw one attack at the same moment write the same id, and only the one whose document is there tells of
 * it (incident, webhook, audit trail). Blocking did not wait for this; telling does, for as long as the store answers.
 */
export interface RunLog {
  /** `tell` is called once, or never when a sibling had the run first. */
  offer (run: Run, tell: () => void): void
  /** Resolves when every waiting run was tried once. */
  settled (): Promise<void>
  close (): Promise<void>
}

export interface StoredRun extends Run { processId: string, expiresAt: number }
interface Waiting { run: StoredRun, tell: () => void, told: boolean }

const RUN_KEPT_MS = 90 * 86_400_000
/** Beyond it runs stand in the audit trail only. */
const WAITING_MAX = 5_000
const BATCH = 500

interface RunLogParts {
  clock: Pick<Clock, 'after'>
  store: Collection<StoredRun>
  processId: string
  log: { error (details: object, message: string): void }
}

export function createRunLog ({ clock, store, processId, log }: RunLogParts): RunLog {
  let waiting: Waiting[] = []
  const writeBehind = createWriteBehind({
    clock,
    waits: () => waiting.length > 0,
    async write () {
      const batch = waiting.slice(0, BATCH)
      await write(batch)
      waiting = waiting.slice(batch.length)
    },
    onError (err) {
      log.error({ err }, 'runs of playbooks wait for the store')
      for (const one of waiting) tellOnce(one)
    }
  })

  async function write (batch: Waiting[]): Promise<void> {
    const added = await store.insertMany(batch.map(({ run }) => run))
    const owners = added === batch.length
      ? null
      : new Map((await store.getMany(batch.map(({ run }) => run.id))).map((one) => [one.id, one.processId]))
    for (const one of batch) if ((owners?.get(one.run.id) ?? processId) === processId) tellOnce(one)
  }

  return {
    offer (run, tell) {
      if (waiting.length >= WAITING_MAX) return tell()
      waiting.push({ run: { ...run, processId, expiresAt: run.at + RUN_KEPT_MS }, tell, told: false })
      writeBehind.wake()
    },
    settled: writeBehind.settled,
    close: writeBehind.close
  }
}

function tellOnce (one: Waiting): void {
  if (one.told) return
  one.told = true
  one.tell()
}
