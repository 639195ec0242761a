import type { Collection as Driver, Filter, FindOptions as DriverFind, UpdateFilter } from 'mongodb'
import { NEKO_ERR_STORE_DUPLICATE } from '../errors.ts'
import type { Clock } from '../std/clock.ts'
import { randomText } from '../std/id.ts'
import { makeCursor, readCursor } from './cursor.ts'
import { checkBatch, checkDeleteLimit, checkFirst, checkId, checkIds, checkSort } from './definition.ts'
import { readChanged } from './mongo-changed.ts'
import { withClaim } from './mongo-claim.ts'
import type { Attempt, MongoConnection } from './mongo-connection.ts'
import { type Change, type Record, fromRecord, toChange, toRecord, uniqueKeys } from './mongo-document.ts'
import { isDuplicate } from './mongo-failure.ts'
import { afterFilter, allOf, toSort, visibleFilter, whereFilter } from './mongo-filter.ts'
import type { Collection, CollectionDefinition, Document, FindOptions, Patience, Stored, Where } from './port.ts'

/**
 * One collection of the port on MongoDB.
 *
 * Every write carries a name of its own (`write`): when a reply was lost and the operation is sent again, what it
 * finds in its way may be itself, and then it succeeded. On a replica set the driver's retryable writes do this
 * already; a lone server has none.
 */
const WRITE_NAME_CHARACTERS = 12
const DELETE_CHUNK = 1000

interface Context {
  definition: CollectionDefinition
  connection: MongoConnection
  clock: Clock
  patience: Patience
}

export function createMongoCollection<T extends Document> (context: Context): Collection<T> {
  const { definition, connection, clock, patience } = context
  const { name } = definition
  const driver = connection.db.collection<Record>(name)
  const reading: DriverFind = definition.primaryReads === true ? { readPreference: 'primary' } : {}
  const call = <V>(work: (attempt: Attempt) => Promise<V>): Promise<V> => connection.call(name, work, patience)
  const visibleOf = (filter: Filter<Record>): Filter<Record> => {
    const visible = visibleFilter(definition, clock.now())
    return visible === null ? filter : allOf([filter, visible])
  }
  const where = (given: Where | undefined): Filter<Record> => whereFilter(definition, given, clock.now())
  const get = async (id: string): Promise<Stored<T> | null> => {
    const record = await call(({ timeoutMS }) => driver.findOne(visibleOf({ _id: id }), { ...reading, timeoutMS }))
    return record === null ? null : fromRecord<T>(record)
  }
  const write: Write = { definition, connection, driver, call, clock, visibleOf }

  return {
    definition,
    async get (id) {
      return get(checkId(id))
    },
    async getMany (ids) {
      checkIds(ids)
      const records = await call(({ timeoutMS }) =>
        driver.find(visibleOf({ _id: { $in: ids } }), { ...reading, timeoutMS }).toArray()
      )
      const byId = new Map(records.map((record) => [record._id, record]))
      return ids.flatMap((id) => byId.has(id) ? [fromRecord<T>(byId.get(id)!)] : [])
    },
    async getChanged (known) {
      checkIds(known.map(({ id }) => id))
      return readChanged<T>({ call, driver, reading, visibleOf }, known)
    },
    async findOne (given) {
      const filter = where(given)
      const record = await call(({ timeoutMS }) => driver.findOne(filter, { ...reading, timeoutMS }))
      return record === null ? null : fromRecord<T>(record)
    },
    async find (options) {
      const { filter, sort } = findQuery(definition, options, clock.now())
      const first = checkFirst(options.first)
      const records = await call(({ timeoutMS }) =>
        driver.find(filter, {
          ...reading,
          timeoutMS,
          sort: toSort(sort),
          limit: first + 1,
          batchSize: first + 1
        }).toArray()
      )
      const items = records.slice(0, first).map((record) => fromRecord<T>(record))
      return { items, cursors: items.map((doc) => makeCursor(sort, doc)), hasNextPage: records.length > first }
    },
    async count (given) {
      const filter = where(given)
      return call(({ timeoutMS }) => driver.countDocuments(filter, { ...reading, timeoutMS }))
    },
    async insert (doc) {
      checkId(doc.id)
      if (await insertAll(write, [doc], true) === 0) throw new NEKO_ERR_STORE_DUPLICATE(name)
      return { ...doc, revision: 1 }
    },
    async insertMany (docs) {
      checkBatch(docs)
      return docs.length === 0 ? 0 : insertAll(write, docs, false)
    },
    async put (doc) {
      checkId(doc.id)
      const revision = await putOne(write, doc)
      return { ...doc, revision }
    },
    async putMany (docs) {
      checkBatch(docs)
      await putAll(write, docs)
    },
    async replace (doc, revision) {
      checkId(doc.id)
      return await replaceOne(write, doc, revision) ? { ...doc, revision: revision + 1 } : null
    },
    async delete (id) {
      checkId(id)
      // Sent again, nothing may be left of what the first try removed: gone by our own hand is what was asked.
      return call(async ({ timeoutMS, retried }) =>
        (await driver.deleteOne(visibleOf({ _id: id }), { timeoutMS })).deletedCount === 1 || retried
      )
    },
    async deleteWhere (given, limit) {
      checkDeleteLimit(limit)
      return deleteWhere(write, where(given), limit)
    }
  }
}

/**
 * The filter and sort of a page.
 *
 * @throws NEKO_ERR_CURSOR_INVALID, NEKO_ERR_INPUT_INVALID
 */
export function findQuery (
  definition: CollectionDefinition,
  options: FindOptions,
  nowMs: number
): { filter: Filter<Record>, sort: Array<[string, 1 | -1]> } {
  const sort = checkSort(options.sort)
  const filter = whereFilter(definition, options.where, nowMs)
  if (options.after === undefined || options.after === null) return { filter, sort }
  return { filter: allOf([filter, afterFilter(sort, readCursor(sort, options.after))]), sort }
}

/** Tries of an upsert that meets another of the same id; a batch may meet one for several of its documents. */
const UPSERT_TRIES_MAX = 8

interface Write {
  definition: CollectionDefinition
  connection: MongoConnection
  driver: Driver<Record>
  clock: Clock
  call<V> (work: (attempt: Attempt) => Promise<V>): Promise<V>
  visibleOf (filter: Filter<Record>): Filter<Record>
}

/**
 * How many are new. A taken id is skipped; a taken unique value is NEKO_ERR_STORE_DUPLICATE, after the others
 * were inserted.
 */
async function insertAll (write: Write, docs: Document[], exact: boolean): Promise<number> {
  const { definition, driver, call } = write
  const writeName = randomText(WRITE_NAME_CHARACTERS)
  const records = docs.map((doc) => toRecord(definition, doc, writeName))
  const insert = ({ timeoutMS }: Attempt): Promise<boolean> =>
    driver.insertMany(records, { ordered: false, timeoutMS }).then(() => true, (error: unknown) => {
      if (isDuplicate(error)) return false
      throw error
    })
  if (await call(insert)) return records.length
  if (await removeExpired(write, docs) && await call(insert)) return records.length
  const there = await call(({ timeoutMS }) =>
    driver.find({ _id: { $in: records.map((record) => record._id) } }, {
      projection: { write: 1 },
      readPreference: 'primary',
      timeoutMS
    }).toArray()
  )
  const ours = there.filter((record) => record.write === writeName).length
  const ids = new Set(records.map((record) => record._id))
  // A document that is neither ours nor there was kept out by a unique value.
  if (there.length < ids.size && !exact) throw new NEKO_ERR_STORE_DUPLICATE(definition.name)
  return ours
}

/**
 * An expired document is invisible, so neither its id nor its unique values may stand in anyone's way. True
 * when one went.
 */
async function removeExpired ({ definition, driver, clock, call }: Write, docs: Document[]): Promise<boolean> {
  if (definition.expiryField === undefined) return false
  const unique = docs.flatMap((doc) =>
    Object.entries(uniqueKeys(definition, doc) ?? {}).map(([index, key]) =>
      ({ [`unique.${index}`]: key }) as Filter<Record>
    )
  )
  const clash: Filter<Record> = { $or: [{ _id: { $in: docs.map((doc) => doc.id) } }, ...unique] }
  const removed = await call(({ timeoutMS }) =>
    driver.deleteMany(allOf([{ expires: { $lte: new Date(clock.now()) } }, clash]), { timeoutMS })
  )
  return removed.deletedCount > 0
}

function updateOf (change: Change): UpdateFilter<Record> {
  const unset = Object.keys(change.unset).length === 0 ? {} : { $unset: change.unset }
  return { $set: change.set, $inc: { revision: 1 }, ...unset } as UpdateFilter<Record>
}

async function putOne (write: Write, doc: Document): Promise<number> {
  const { definition, connection, driver, call } = write
  // FerretDB's findAndModify takes no projection.
  const projection = connection.atomicUpdates ? { revision: 1 } : undefined
  const update = updateOf(toChange(definition, doc, randomText(WRITE_NAME_CHARACTERS)))
  const record = await withoutExpired(
    write,
    [doc],
    () =>
      call(({ timeoutMS }) =>
        upserted(() =>
          driver.findOneAndUpdate({ _id: doc.id }, update, {
            upsert: true,
            returnDocument: 'after',
            projection,
            timeoutMS
          })
        )
      )
  )
  return record?.revision ?? 1
}

async function putAll (write: Write, docs: Document[]): Promise<void> {
  if (docs.length === 0) return
  const { definition, driver, call } = write
  const writeName = randomText(WRITE_NAME_CHARACTERS)
  const operations = docs.map((doc) => ({
    updateOne: {
      filter: { _id: doc.id },
      update: updateOf(toChange(definition, doc, writeName)),
      upsert: true
    }
  }))
  await withoutExpired(
    write,
    docs,
    () => call(({ timeoutMS }) => upserted(() => driver.bulkWrite(operations, { ordered: true, timeoutMS })))
  )
}

/**
 * Two upserts of one new id may race, and one then fails on the id that the other made: sent again, it
 * updates. A unique value that is truly taken fails each time; only MongoDB says by `keyPattern` which of the
 * two it was.
 */
async function upserted<V> (send: () => Promise<V>): Promise<V> {
  for (let left = UPSERT_TRIES_MAX - 1; ; left--) {
    try {
      return await send()
    } catch (error) {
      const pattern = (error as { keyPattern?: { _id?: unknown } }).keyPattern
      if (left === 0 || !isDuplicate(error) || (pattern !== undefined && pattern._id === undefined)) throw error
    }
  }
}

async function withoutExpired<V> (write: Write, docs: Document[], send: () => Promise<V>): Promise<V> {
  try {
    return await send()
  } catch (error) {
    if (
      (error as { code?: unknown }).code !== 'NEKO_ERR_STORE_DUPLICATE' || !await removeExpired(write, docs)
    ) {
      throw error
    }
    return await send()
  }
}

async function replaceOne (write: Write, doc: Document, revision: number): Promise<boolean> {
  const { definition, connection, driver, call, clock, visibleOf } = write
  const writeName = randomText(WRITE_NAME_CHARACTERS)
  const update = updateOf(toChange(definition, doc, writeName))
  const send = async ({ timeoutMS, retried }: Attempt): Promise<boolean> => {
    const { matchedCount } = await driver.updateOne(visibleOf({ _id: doc.id, revision }), update, { timeoutMS })
    if (matchedCount === 1 || !retried) return matchedCount === 1
    return await driver.findOne({ _id: doc.id, revision: revision + 1, write: writeName }, {
      readPreference: 'primary',
      timeoutMS
    }) !== null
  }
  // FerretDB finds by _id alone in its index, and with any other condition beside it reads every document up
  // to that one.
  const sendClaimed = async ({ timeoutMS }: Attempt): Promise<boolean> => {
    const there = await driver.findOne({ _id: doc.id }, {
      projection: { revision: 1, expires: 1 },
      readPreference: 'primary',
      timeoutMS
    })
    if (
      there === null || there.revision !== revision ||
      (there.expires !== undefined && there.expires.getTime() <= clock.now())
    ) {
      return false
    }
    return (await driver.updateOne({ _id: doc.id }, update, { timeoutMS })).matchedCount === 1
  }
  const key = `${definition.name}:${revision}:${doc.id}`
  return withoutExpired(
    write,
    [doc],
    () =>
      call((attempt) =>
        connection.atomicUpdates || attempt.retried
          ? send(attempt)
          : withClaim(connection.db, key, attempt.timeoutMS, () => sendClaimed(attempt))
      )
  )
}

async function deleteWhere ({ driver, call }: Write, filter: Filter<Record>, limit: number): Promise<number> {
  const found = await call(({ timeoutMS }) =>
    driver.find(filter, {
      projection: { _id: 1 },
      sort: { _id: 1 },
      limit,
      readPreference: 'primary',
      timeoutMS
    }).toArray()
  )
  let removed = 0
  for (let start = 0; start < found.length; start += DELETE_CHUNK) {
    const ids = found.slice(start, start + DELETE_CHUNK).map((record) => record._id)
    // The condition once more: documents that changed in between stay.
    removed += await call(async ({ timeoutMS, retried }) => {
      const { deletedCount } = await driver.deleteMany(allOf([{ _id: { $in: ids } }, filter]), { timeoutMS })
      return retried ? Math.max(deletedCount, ids.length) : deletedCount
    })
  }
  return removed
}
