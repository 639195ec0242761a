/** The room that receipts may take in the store: beyond it the oldest go, before their time. */
import type { StoredAssessment } from './shapes.ts'
import type { Collection } from '../storage/port.ts'

/** 500,000 receipts of some 2 KB are 1 GB; large ones lower the number. */
const ROWS_MAX = 500_000
const BYTES_MAX = 2 * 1_073_741_824
const PORTION = 1_000
const PORTIONS_MAX = 50

/** Removes the oldest until both bounds hold, at most 50,000 a time; returns how many. */
export async function keepBelowCeiling (
  store: Collection<StoredAssessment>,
  bounds = { rows: ROWS_MAX, bytes: BYTES_MAX }
): Promise<number> {
  let removed = 0
  let over = await countOver(store, bounds)
  for (let i = 0; i < PORTIONS_MAX && over > 0; i++) {
    const { items } = await store.find({ sort: [['at', 1]], first: Math.min(PORTION, over) })
    const last = items.at(-1)
    if (last === undefined) break
    const gone = await store.deleteWhere({ at: { lte: last.at } }, PORTION)
    if (gone === 0) break
    removed += gone
    over -= gone
  }
  return removed
}

/** Bytes are estimated from the newest hundred. */
async function countOver (
  store: Collection<StoredAssessment>,
  bounds: { rows: number, bytes: number }
): Promise<number> {
  const rows = await store.count()
  if (rows === 0) return 0
  const { items } = await store.find({ sort: [['at', -1]], first: 100 })
  const bytesEach = items.reduce((sum, one) => sum + JSON.stringify(one).length, 0) / Math.max(1, items.length)
  return rows - Math.floor(Math.min(bounds.rows, bounds.bytes / Math.max(1, bytesEach)))
}
