import type { Collection as Driver, Filter, FindOptions as DriverFind } from 'mongodb'
import type { Attempt } from './mongo-connection.ts'
import { type Record, fromRecord } from './mongo-document.ts'
import type { Document, Known, Reading } from './port.ts'

/**
 * Which documents were written since they were read. Every write of ours carries a name of its own, which no other
 * has: that is the mark. Marks that are known are asked for first, and are a hundredth of the documents; what has
 * another one is read whole. A mark and its document come from one record, so that a secondary that lags gives an old
 * document with its old mark. What a person changes in the database by hand has to get another `write` to be seen.
 */
interface RecordMark { readonly write: string }

interface Parts {
  driver: Driver<Record>
  reading: DriverFind
  call<V> (work: (attempt: Attempt) => Promise<V>): Promise<V>
  visibleOf (filter: Filter<Record>): Filter<Record>
}

export async function readChanged<T extends Document> (
  { driver, reading, call, visibleOf }: Parts,
  known: readonly Known[]
): Promise<Array<Reading<T>>> {
  const find = async (ids: string[], options: DriverFind): Promise<Map<string, Record>> => {
    if (ids.length === 0) return new Map()
    const records = await call(({ timeoutMS }) =>
      driver.find(visibleOf({ _id: { $in: ids } }), { ...reading, ...options, timeoutMS }).toArray()
    )
    return new Map(records.map((record) => [record._id, record]))
  }
  const marked = known.filter(({ mark }) => mark !== null)
  const there = await find(marked.map(({ id }) => id), { projection: { write: 1 } })
  const isUnchanged = ({ id, mark }: Known): boolean => {
    const last = mark as RecordMark | null
    const now = there.get(id)
    return last !== null && now !== undefined && now.write === last.write
  }
  const changed = await find(known.filter((one) => !isUnchanged(one)).map(({ id }) => id), {})
  return known.flatMap((one): Array<Reading<T>> => {
    const { id, mark } = one
    if (mark !== null && isUnchanged(one)) return [{ id, mark, document: null }]
    const record = changed.get(id)
    if (record === undefined) return []
    const now: RecordMark = { write: record.write }
    return [{ id, mark: now, document: fromRecord<T>(record) }]
  })
}
