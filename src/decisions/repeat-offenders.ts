import { BoundedMap } from '../std/bounded-map.ts'
import type { Clock } from '../std/clock.ts'
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
  /** A step taken by a sibling, who also stores it. Of two steps the later one counts. */
  applyRemote (key: string, step: Step): void
  /** In this process: the process that lets a client back in also clears the store (`reset`). */
  forget (key: string): void
  reset (key: string): void
  /** @throws NEKO_ERR_STORE_UNAVAILABLE */
  load (): Promise<void>
  settled (): Promise<void>
  close (): Promise<void>
}

interface StoredStep { id: string, step: number, at: number, expiresAt: number }

const OFFENDERS_MAX = 50_000
/** Clients let back in, whose old steps the store may still hold for a while. */
const FORGOTTEN_MAX = 10_000
const KEPT_MS = 90 * 86_400_000
const PAGE = 1_000

/** Failed writes are tried again and not told of: the decisions' own say that the store is down. */
export function createRepeatOffenders ({ storage, clock }: { storage: Storage, clock: Clock }): RepeatOffenders {
  const steps = new BoundedMap<string, Step>(OFFENDERS_MAX)
  const forgotten = new BoundedMap<string, number>(FORGOTTEN_MAX)
  const store = storage.collection<StoredStep>(offenderStepCollection)
  const behind = storage.collection<StoredStep>(offenderStepCollection, 'background')
  const pending = createPendingWrites({ clock, store: behind, onError: () => { /* as said */ } })

  function take (key: string, step: Step): void {
    const known = steps.get(key)
    if (step.at <= (forgotten.get(key) ?? -Infinity) || (known !== undefined && known.at >= step.at)) return
    steps.set(key, step)
  }

  return {
    stepOf: (key) => steps.get(key) ?? null,
    raise (key, step) {
      steps.set(key, step)
      pending.put({ id: key, ...step, expiresAt: step.at + KEPT_MS })
    },
    applyRemote: take,
    forget (key) {
      steps.delete(key)
      forgotten.set(key, clock.now())
      if (pending.isPending(key)) pending.delete(key)
    },
    reset: (key) => pending.delete(key),
    async load () {
      for await (const page of pagesOf(store, { first: PAGE, most: OFFENDERS_MAX })) {
        for (const { id, step, at } of page) take(id, { step, at })
      }
    },
    settled: pending.settled,
    close: pending.close
  }
}
