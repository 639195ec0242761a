import { setTimeout as sleep } from 'node:timers/promises'
import { NEKO_ERR_OVERLOADED } from '../errors.ts'
import type { Clock } from '../std/clock.ts'
import { compareAndSet } from '../std/compare-and-set.ts'
import { randomText } from '../std/id.ts'
import { retryable } from '../std/retryable.ts'
import type { Storage } from '../storage/port.ts'
import { lockCollection } from './collections.ts'

/**
 * One at a time, over all processes and hosts: a change that takes an administrator away must see all others standing
 * still, or two administrators who remove each other in the same moment leave none (last-administrator.ts). A document
 * with a holder and an end.
 */
const LOCK_ID = 'administrators'
/** Longer than all that happens under it (three calls of at most 2 s), short enough for a holder that died. */
const HOLD_MS = 10_000
const TRIES = 41
const RETRY_MS = 50

interface Lock { id: string, holder: string, until: number }

/** @throws NEKO_ERR_OVERLOADED after 2 s of waiting */
export async function withAdminLock<T> (
  { storage, clock }: { storage: Storage, clock: Clock },
  work: () => Promise<T>
): Promise<T> {
  const locks = storage.collection<Lock>(lockCollection)
  const holder = randomText(16)

  /** Null while another holds it. */
  async function take (): Promise<Lock | null> {
    const mine = { id: LOCK_ID, holder, until: clock.now() + HOLD_MS }
    const current = await locks.get(LOCK_ID)
    if (current === null) return await locks.insertMany([mine]) === 1 ? mine : null
    return current.until <= clock.now() ? await locks.replace(mine, current.revision) : null
  }

  await compareAndSet(TRIES, async (number) => {
    // On real time: another process holds it, and the command line may have nothing else alive.
    if (number > 1) await sleep(RETRY_MS)
    return await take()
  }, () => retryable(new NEKO_ERR_OVERLOADED('2'), 2))
  try {
    return await work()
  } finally {
    // A lock that cannot be given back runs out by itself.
    const current = await locks.get(LOCK_ID).catch(() => null)
    if (current?.holder === holder) {
      await locks.replace({ id: LOCK_ID, holder: '', until: 0 }, current.revision).catch(() => null)
    }
  }
}
