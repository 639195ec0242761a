/** The room that receipts may take in the store: beyond it the oldest go, before their time. */
import type { StoredAssessment } from './shapes.ts'
import type { Collection } from '../storage/port.ts'

/** 500,000 receipts of some 2 KB are 1 GB; large ones lower the number. */
const ROWS_MAX = 500_000
const BYTES_MAX = 2 * 1_073_741_824
/** Receipts of one page. */
const PORTION = 1_000
/** Bytes of one page: in a flood a receipt has 60 KB, and 1,000 of them would hold up a turn. */
const PORTION_BYTES = 2 * 1_048_576
const REMOVED_MAX = 50_000
/** The newest receipts, whose size is taken for that of all. */
const MEASURED_RECEIPTS = 20

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
    // Not all up to that time: many receipts may have come in the last one's millisecond.
    const gone = await store.deleteWhere({ at: { lte: last.at } }, items.length)
    if (gone === 0) break
    removed += gone
    over -= gone
  }
  return removed
}

/** Bytes of one receipt, estimated from the newest; at least 1. */
async function measureBytes (store: Collection<StoredAssessment>): Promise<number> {
  const { items } = await store.find({ sort: [['at', -1]], first: MEASURED_RECEIPTS })
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
