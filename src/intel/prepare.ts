import type { Clock } from '../std/clock.ts'
import type { Storage } from '../storage/port.ts'
import { openActors } from './actor-store.ts'
import { planImport } from './import.ts'
import { seedRecords } from './seed.ts'
import { redirectCollection, type ActorRedirect } from './shapes.ts'

/**
 * Before the first fork: puts the seeds into a store that holds no actor. One that holds any is left alone, so that
 * seeds removed by an administrator stay removed. Returns how many were written.
 */
export async function prepareIntel ({ storage }: { storage: Storage, clock?: Clock }): Promise<number> {
  const actors = openActors(storage)
  if (await actors.count() > 0) return 0
  const plan = planImport([], seedRecords(), new Map())
  await storage.collection<ActorRedirect>(redirectCollection).insertMany(plan.putRedirects)
  // insertMany skips documents that are there: two hosts that start at once write the same documents.
  return await actors.insertMany(plan.insert)
}
