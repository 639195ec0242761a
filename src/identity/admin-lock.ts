import { NEKO_ERR_OVERLOADED } from '../errors.ts'
import { randomText } from '../std/id.ts'
import type { Clock } from '../std/clock.ts'
import type { Storage } from '../storage/port.ts'
import { lockCollection } from './collections.ts'

/**
 * One at a time, over all processes and hosts: whoever takes an administrator away must see all others standing still,
 * or two administrators who remove each other in the same moment leave none. A document with a holder and an end.
 */
const LOCK_ID = 'administrators'
/** Longer than all that happens under it (three calls of at most 2 s), short enough for a holder that died. */
const HOLD_MS = 10_000
const TRIES = 40
const RETRY_MS = 50

interface Lock { id: string, holder: string, until: number }

/** @throws NEKO_ERR_OVERLOADED after 2 s of waiting */
export async function withAdminLock<T> (
  { storage, clock }: { storage: Storage, clock: Clock },
  work: () => Promise<T>
): Promise<T> {
  const locks = storage.collection<Lock>(lockCollection)
  const holder = randomText(16)

  async function take (): Promise<boolean> {
    const mine = { id: LOCK_ID, holder, until: clock.now() + HOLD_MS }
    const current = await locks.get(LOCK_ID)
    if (current === null) return await locks.insertMany([mine]) === 1
    return current.until <= clock.now() && await locks.replace(mine, current.revision) !== null
  }

  for (let tries = 0; !await take(); tries++) {
    if (tries >= TRIES) throw Object.assign(new NEKO_ERR_OVERLOADED('2'), { retryAfterSeconds: 2 })
    await new Promise((resolve) => { setTimeout(resolve, RETRY_MS) })
  }
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
