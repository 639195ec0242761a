import { allowanceCollection, type StoredAllowance } from './shapes.ts'
import type { Storage } from '../storage/port.ts'

/**
 * Before the first fork: allowances without a shape, as they once were, held for a whole route or for every unknown
 * one, whatever the text. They end here, since nobody can narrow them: their text was not kept.
 */
export async function prepareReceipts (
  { storage, log }: { storage: Storage, log: { warn: (facts: object, message: string) => void } }
): Promise<void> {
  const ended = await storage.collection<StoredAllowance>(allowanceCollection).deleteWhere({ shape: null }, WIDE_MAX)
  if (ended === 0) return
  log.warn({ ended }, 'allowances without a shape held for any text and have ended: mark what is still a false alarm')
}

/** As many as there could be. */
const WIDE_MAX = 1_000
