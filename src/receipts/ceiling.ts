/** The room that receipts may take in the store: beyond it the oldest go, before their time. */
import type { StoredAssessment } from './shapes.ts'
import type { Collection } from '../storage/port.ts'

/** 500,000 receipts of some 2 KB are 1 GB; large ones lower the number. */
const ROWS_MAX = 500_000
const BYTES_MAX = 2 * 1_073_741_824
const PORTION = 1_000
/** Of one page that is read to find the oldest: a flood's receipts have 60 KB each, and 1,000 of them are no turn's. */
const PORTION_BYTES = 2 * 1_048_576
const REMOVED_MAX = 50_000
const MEASURED = 20

/** Removes the oldest until both bounds hold, at most 50,000 a time; returns how many. */
export async function keepBelowCeiling (
  store: Collection<StoredAssessment>,
  bounds = { rows: ROWS_MAX, bytes: BYTES_MAX }
): Promise<number> {
  let removed = 0
  const bytesEach = await measureBytes(store)
  let over = await countOver(store, bounds, bytesEach)
  const portion = Math.max(1, Math.min(PORTION, Math.floor(PORTION_BYTES / bytesEach)))
  while (over > 0 && removed < REMOVED_MAX) {
    const { items } = await store.find({ sort: [['at', 1]], first: Math.min(portion, over) })
    const last = items.at(-1)
    if (last === undefined) break
    const gone = await store.deleteWhere({ at: { lte: last.at } }, PORTION)
    if (gone === 0) break
    removed += gone
    over -= gone
  }
  return removed
}

/** Of one receipt, estimated from the newest; at least 1. */
async function measureBytes (store: Collection<StoredAssessment>): Promise<number> {
  const { items } = await store.find({ sort: [['at', -1]], first: MEASURED })
  const bytes = items.reduce((sum, one) => sum + JSON.stringify(one).length, 0)
  return Math.max(1, bytes / Math.max(1, items.length))
}

async function countOver (
  store: Collection<StoredAssessment>,
  bounds: { rows: number, bytes: number },
  bytesEach: number
): Promise<number> {
  return await store.count() - Math.floor(Math.min(bounds.rows, bounds.bytes / bytesEach))
}
