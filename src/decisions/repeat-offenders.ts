import { BoundedMap } from '../std/bounded-map.ts'
import { pagesOf } from '../storage/pages.ts'
import type { Storage } from '../storage/port.ts'
import type { Step } from './escalation.ts'
import { createPendingWrites } from './pending-writes.ts'
import { offenderStepCollection } from './shapes.ts'

/**
 * Repeat offenders: on which step of the escalation (escalation.ts) each client stands. Memory first, the store behind.
 * Bounded: of more than 50,000 the one that offended longest ago begins anew.
 */
export interface RepeatOffenders {
  /** The last step and when it was taken, or null. `key` is subject.ts's subjectKey. */
  stepOf (key: string): Step | null
  /** A step taken here: kept, and on its way to the store. */
  raise (key: string, step: Step): void
  /** A step taken by a sibling, who also stores it. */
  applyRemote (key: string, step: Step): void
  /** In this process alone: the process that lets a client back in also clears the store (`reset`). */
  forget (key: string): void
  reset (key: string): void
  /** @throws NEKO_ERR_STORE_UNAVAILABLE */
  load (): Promise<void>
  settled (): Promise<void>
  close (): Promise<void>
}

interface StoredStep { id: string, step: number, at: number, expiresAt: number }

const OFFENDERS_MAX = 50_000
const KEPT_MS = 90 * 86_400_000
const PAGE = 1_000

/** Failed writes are tried again and not told of: the decisions' own say that the store is down. */
export function createRepeatOffenders (storage: Storage): RepeatOffenders {
  const steps = new BoundedMap<string, Step>(OFFENDERS_MAX)
  const store = storage.collection<StoredStep>(offenderStepCollection)
  const pending = createPendingWrites({ store, onError: () => { /* as said */ } })

  return {
    stepOf: (key) => steps.get(key) ?? null,
    raise (key, step) {
      steps.set(key, step)
      pending.put({ id: key, ...step, expiresAt: step.at + KEPT_MS })
    },
    applyRemote (key, step) { steps.set(key, step) },
    forget (key) { steps.delete(key) },
    reset: (key) => pending.delete(key),
    async load () {
      for await (const page of pagesOf(store, { first: PAGE, most: OFFENDERS_MAX })) {
        for (const { id, step, at } of page) if (!pending.isPending(id)) steps.set(id, { step, at })
      }
    },
    settled: pending.settled,
    close: pending.close
  }
}
