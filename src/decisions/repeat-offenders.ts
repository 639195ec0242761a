import type { Storage } from '../storage/port.ts'
import { pagesOf } from '../storage/pages.ts'
import type { Step } from './ladder.ts'
import { ladderCollection } from './shapes.ts'
import { createPendingWrites } from './pending-writes.ts'

/**
 * Repeat offenders: on which step of the ladder (ladder.ts) each client stands. Memory first, the store behind.
 * Bounded: of more than 50,000 the one heard of longest ago begins anew.
 */
export interface Offenders {
  /** The last step and when it was taken, or null. */
  stepOf (key: string): Step | null
  /** What was decided here: kept, and on its way to the store. */
  raise (key: string, step: Step): void
  /** What a sibling decided, who also stores it. */
  applyRemote (key: string, step: Step): void
  /** Here alone: whoever lets a client back in forgets it in the store (`pardon`). */
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
export function createOffenders (storage: Storage): Offenders {
  const steps = new Map<string, Step>()
  const store = storage.collection<StoredStep>(ladderCollection)
  const behind = createPendingWrites({ store, onError: () => { /* as said */ } })

  function keep (key: string, step: Step): void {
    steps.delete(key)
    if (steps.size >= OFFENDERS_MAX) steps.delete(steps.keys().next().value as string)
    steps.set(key, step)
  }

  return {
    stepOf: (key) => steps.get(key) ?? null,
    raise (key, step) {
      keep(key, step)
      behind.put({ id: key, ...step, expiresAt: step.at + KEPT_MS })
    },
    applyRemote: keep,
    forget: (key) => { steps.delete(key) },
    reset: (key) => behind.delete(key),
    async load () {
      for await (const page of pagesOf(store, { first: PAGE, most: OFFENDERS_MAX })) {
        for (const { id, step, at } of page) if (!behind.isPending(id)) keep(id, { step, at })
      }
    },
    settled: behind.settled,
    close: behind.close
  }
}
