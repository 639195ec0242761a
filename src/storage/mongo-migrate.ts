import { type Collection, type CreateIndexesOptions, type Db, type IndexDirection } from 'mongodb'
import { NEKO_ERR_STORE_UNAVAILABLE } from '../errors.ts'
import type { Clock } from '../std/clock.ts'
import { randomText } from '../std/id.ts'
import type { StorageLog } from './log.ts'
import { checkMark, nextMark, type SchemaMark } from './migrate.ts'
import { NOT_IMPLEMENTED_CODE, codeOf, isDuplicate } from './mongo-failure.ts'
import type { CollectionDefinition } from './port.ts'
import { fieldPath } from './mongo-filter.ts'

/**
 * Indexes and the schema version in MongoDB, by one migrator at a time: a lease in `neko_meta`, which a migrator that
 * died loses after a minute. Additive as on SQLite (migrate.ts says why).
 */
/** `ttl` is false in the record of that name when the server knows no TTL indexes: then the adapters sweep. */
export interface Meta {
  _id: string
  owner?: string
  untilMs?: number
  version?: number
  compatibleFrom?: number
  ttl?: boolean
}

const LEASE_MS = 60_000
const LEASE_TRIES_MAX = 150
const LEASE_RETRY_MS = 200
const INDEX_OPTIONS_CONFLICT = 85
const INDEX_KEYS_CONFLICT = 86

/** @throws NEKO_ERR_STORE_INCOMPATIBLE, NEKO_ERR_STORE_UNAVAILABLE when another migrator holds the lease for 30 s. */
export async function migrateMongo (
  options: { db: Db, definitions: CollectionDefinition[], clock: Clock, log: StorageLog }
): Promise<void> {
  const { db, definitions, clock, log } = options
  const meta = db.collection<Meta>('neko_meta')
  const readMark = async (): Promise<SchemaMark | null> =>
    await meta.findOne({ _id: 'schema' }, { readPreference: 'primary' }) as unknown as SchemaMark | null
  checkMark(await readMark())
  const owner = randomText(12)
  await takeLease(meta, owner, clock)
  try {
    let ttl = true
    for (const definition of definitions) ttl = await createIndexes(db, definition, log, ttl)
    const mark = nextMark(await readMark())
    if (mark !== null) await meta.updateOne({ _id: 'schema' }, { $set: { ...mark } }, { upsert: true })
    await meta.updateOne({ _id: 'ttl' }, { $set: { ttl } }, { upsert: true })
  } finally {
    // A lease that cannot be given back runs out by itself.
    await meta.deleteOne({ _id: 'migration', owner }).catch(() => {})
  }
}

async function takeLease (meta: Collection<Meta>, owner: string, clock: Clock): Promise<void> {
  for (let tries = 0; tries < LEASE_TRIES_MAX; tries++) {
    if (await tryLease(meta, 'migration', owner, LEASE_MS, clock)) return
    await new Promise((resolve) => setTimeout(resolve, LEASE_RETRY_MS))
  }
  throw new NEKO_ERR_STORE_UNAVAILABLE()
}

/** Takes or prolongs a lease; false while another holds it. */
export async function tryLease (
  meta: Collection<Meta>,
  name: string,
  owner: string,
  leaseMs: number,
  clock: Clock
): Promise<boolean> {
  const nowMs = clock.now()
  const mine = { owner, untilMs: nowMs + leaseMs }
  const renewed = await meta.updateOne({ _id: name, $or: [{ owner }, { untilMs: { $lte: nowMs } }] }, { $set: mine })
  if (renewed.matchedCount === 1) return true
  try {
    await meta.insertOne({ _id: name, ...mine })
    return true
  } catch (error) {
    if (isDuplicate(error)) return false
    throw error
  }
}

/** Returns whether TTL indexes still look possible: noticed once, logged once. */
async function createIndexes (
  db: Db,
  definition: CollectionDefinition,
  log: StorageLog,
  ttl: boolean
): Promise<boolean> {
  const collection = db.collection(definition.name)
  for (const index of definition.indexes) {
    const keys: Array<[string, IndexDirection]> = index.fields.map((
      [field, direction]
    ) => [fieldPath(field), direction])
    await createIndex(collection, keys, { name: `n_${index.name}` })
    if (index.unique === true) {
      await createIndex(collection, [[`unique.${index.name}`, 1]], {
        name: `u_${index.name}`,
        unique: true,
        sparse: true
      })
    }
  }
  if (definition.expiryField === undefined) return ttl
  if (ttl) {
    try {
      await createIndex(collection, [['expires', 1]], { name: 'expires', expireAfterSeconds: 0 })
      return true
    } catch (error) {
      if (codeOf(error) !== NOT_IMPLEMENTED_CODE) throw error
      log.info({ store: 'mongodb' }, 'the server has no TTL indexes: NEKO removes expired documents itself')
    }
  }
  await createIndex(collection, [['expires', 1]], { name: 'expires_plain' })
  return false
}

/** An index of the same name with another definition is made anew; the same one is left as it is. */
async function createIndex (
  collection: Collection,
  keys: Array<[string, IndexDirection]>,
  options: CreateIndexesOptions
): Promise<void> {
  const key = Object.fromEntries(keys)
  try {
    await collection.createIndex(key, options)
  } catch (error) {
    if (codeOf(error) !== INDEX_OPTIONS_CONFLICT && codeOf(error) !== INDEX_KEYS_CONFLICT) throw error
    await collection.dropIndex(options.name!)
    await collection.createIndex(key, options)
  }
}
