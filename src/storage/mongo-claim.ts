import { setTimeout as sleep } from 'node:timers/promises'
import type { Collection, Db } from 'mongodb'
import { systemClock } from '../std/clock.ts'
import { isDuplicate } from './mongo-failure.ts'

/**
 * Compare-and-set for servers whose update is not atomic: FerretDB 1 looks a document up and writes it in two steps,
 * so that of eight racing writers two could win. Inserts are atomic everywhere: the process that inserts the claim on a
 * document's revision may try, the others were too slow. MongoDB itself needs none of this and pays nothing for it.
 */
interface Claim { _id: string, untilMs: number }

/** A claim outlives a process that died by this much; a call never takes longer than 2 s. */
const CLAIM_MS = 5000

/** How long those who were too slow wait for the one who was first, and how often they look. */
const AWAITED_SHARE = 0.5
const FIRST_LOOK_MS = 2
const LOOK_MS_MAX = 50

/**
 * Runs `run` while nobody else may on this key (collection, id and revision); false when somebody else was first, and
 * only once that one has written: whoever read again before would find the old revision, and lose to the same writer
 * until its tries are used up.
 */
export async function withClaim (
  db: Db,
  key: string,
  timeoutMS: number,
  run: () => Promise<boolean>
): Promise<boolean> {
  const claims = db.collection<Claim>('neko_claims')
  const nowMs = systemClock.now()
  try {
    await claims.insertOne({ _id: key, untilMs: nowMs + CLAIM_MS }, { timeoutMS })
  } catch (error) {
    if (!isDuplicate(error)) throw error
    const stale = await claims.deleteOne({ _id: key, untilMs: { $lte: nowMs } }, { timeoutMS })
    if (stale.deletedCount === 1) return await withClaim(db, key, timeoutMS, run)
    await claimEnded(claims, key, timeoutMS)
    return false
  }
  try {
    return await run()
  } finally {
    await claims.deleteOne({ _id: key }, { timeoutMS }).catch(() => { /* it runs out by itself */ })
  }
}

async function claimEnded (claims: Collection<Claim>, key: string, timeoutMS: number): Promise<void> {
  const untilMs = systemClock.monotonic() + timeoutMS * AWAITED_SHARE
  for (let waitMs = FIRST_LOOK_MS; systemClock.monotonic() < untilMs; waitMs = Math.min(2 * waitMs, LOOK_MS_MAX)) {
    await sleep(waitMs)
    // A look that fails changes nothing of who was first: thrown, it would have the write sent again without a claim.
    if (await claims.findOne({ _id: key }, { timeoutMS }).catch(() => null) === null) return
  }
}
