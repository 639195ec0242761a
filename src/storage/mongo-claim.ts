import type { Db } from 'mongodb'
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

/** Runs `run` while nobody else may on this key (collection, id and revision); false when somebody else was first. */
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
    return stale.deletedCount === 1 ? await withClaim(db, key, timeoutMS, run) : false
  }
  try {
    return await run()
  } finally {
    await claims.deleteOne({ _id: key }, { timeoutMS }).catch(() => { /* it runs out by itself */ })
  }
}
