import type { Document as Bson } from 'mongodb'
import { NEKO_ERR_BACKUP_UNSUPPORTED, isNekoError } from '../errors.ts'
import type { Clock } from '../std/clock.ts'
import { newProcessId } from '../std/id.ts'
import { checkDefinition } from './definition.ts'
import type { StorageLog } from './log.ts'
import { createMongoCollection, findQuery } from './mongo-collection.ts'
import { MongoConnection } from './mongo-connection.ts'
import type { Attempt } from './mongo-connection.ts'
import type { Record } from './mongo-document.ts'
import { toSort } from './mongo-filter.ts'
import { type Meta, migrateMongo, tryLease } from './mongo-migrate.ts'
import type { Collection, CollectionDefinition, Document, Patience, Storage } from './port.ts'

/**
 * The storage port on MongoDB 6 to 8, and on servers that speak its protocol.
 *
 * Keeps the same promises as SQLite; where the server lacks something (TTL indexes of FerretDB) this adapter does it.
 * A server that is down does not keep NEKO from starting: the store opens down, and a migration that is owed runs
 * before the first call goes through. Never caches; never lets a caller's value become an operator.
 */
interface MongoOptions {
  uri: string
  database: string
  clock: Clock
  log: StorageLog
  onBreaker? (value: number): void
}

const SWEEP_MS = 15_000
const SWEEP_LEASE_MS = 40_000
const SWEEP_DOCUMENTS_MAX = 1000

/**
 * A server that does not answer within 2 s opens as a storage that is down.
 *
 * @throws NEKO_ERR_STORE_INCOMPATIBLE
 */
export async function openMongoStorage (options: MongoOptions): Promise<Storage> {
  const { uri, database, clock, log, onBreaker } = options
  const known = new Map<string, CollectionDefinition>()
  const collections = new Map<string, Collection<Document>>()
  // Whether a migration is owed since the server could not be reached when it was asked for.
  let owed = false

  const migrateKnown = async (): Promise<void> => {
    await migrateMongo({ db: connection.db, definitions: [...known.values()], clock, log })
    owed = false
  }
  const beforeUp = async (): Promise<void> => {
    if (owed) await migrateKnown()
  }
  const connection: MongoConnection = new MongoConnection({ uri, database, log, onBreaker, beforeUp })
  owed = !await connection.reach()
  const owner = newProcessId()
  const sweeper = setInterval(() => {
    if (connection.health.current().up) {
      sweepExpired({ connection, clock, owner, definitions: [...known.values()] }).catch(
        () => { /* the next round will do */ }
      )
    }
  }, SWEEP_MS).unref()

  const know = (definition: CollectionDefinition): void => {
    checkDefinition(definition)
    known.set(definition.name, definition)
  }

  return {
    kind: 'mongodb',
    collection<T extends Document> (definition: CollectionDefinition, patience: Patience = 'request'): Collection<T> {
      const key = `${patience} ${definition.name}`
      let found = collections.get(key)
      if (found === undefined) {
        know(definition)
        found = createMongoCollection<Document>({ definition, connection, clock, patience })
        collections.set(key, found)
      }
      return found as unknown as Collection<T>
    },
    async migrate (definitions) {
      definitions.forEach(know)
      if (!connection.health.current().up) {
        owed = true
        return log.warn({ store: 'mongodb' }, 'the migration waits until the database answers')
      }
      try {
        await migrateKnown()
      } catch (error) {
        if (isNekoError(error)) throw error
        owed = true
        await connection.reach()
        if (connection.health.current().up) throw error
      }
    },
    health: () => connection.health.current(),
    onHealth: (listener) => connection.health.onChange(listener),
    async explain (definition, find) {
      const { filter, sort } = findQuery(definition, find, clock.now())
      const plan = await connection.call(
        definition.name,
        ({ timeoutMS }) =>
          connection.db.collection<Record>(definition.name).find(filter, {
            sort: toSort(sort),
            limit: find.first + 1,
            timeoutMS
          }).explain('queryPlanner')
      )
      return indexNames(plan)
    },
    async backup () {
      throw new NEKO_ERR_BACKUP_UNSUPPORTED()
    },
    async close () {
      clearInterval(sweeper)
      await connection.close()
    }
  }
}

/** `indexName` anywhere in the winning plan, by the name that the definition gave. */
function indexNames (plan: Bson): string[] {
  const names: string[] = []
  const visit = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return
    for (const [key, inner] of Object.entries(value)) {
      if (key === 'rejectedPlans') continue
      if (key === 'indexName' && typeof inner === 'string') {
        names.push(inner === '_id_' ? 'id' : inner.replace(/^[nu]_/, ''))
      } else visit(inner)
    }
  }
  visit((plan.queryPlanner as Bson | undefined)?.winningPlan)
  return names
}

/** The work of a TTL index, for servers without one: by one process at a time, in bounded bites. */
async function sweepExpired (
  options: { connection: MongoConnection, clock: Clock, owner: string, definitions: CollectionDefinition[] }
): Promise<void> {
  const { connection, clock, owner, definitions } = options
  const ask = <T>(name: string, work: (attempt: Attempt) => Promise<T>): Promise<T> =>
    connection.call(name, work, 'background')
  const meta = connection.db.collection<Meta>('neko_meta')
  // Written by the migrator, which may have been another process.
  const needed =
    (await ask('neko_meta', ({ timeoutMS }) => meta.findOne({ _id: 'ttl' }, { timeoutMS })))
      ?.ttl === false
  if (
    !needed ||
    !await ask('neko_meta', () => tryLease(meta, 'sweeper', owner, SWEEP_LEASE_MS, clock))
  ) {
    return
  }
  for (const definition of definitions) {
    if (definition.expiryField === undefined) continue
    const driver = connection.db.collection<Record>(definition.name)
    const due = { expires: { $lte: new Date(clock.now()) } }
    const found = await ask(
      definition.name,
      ({ timeoutMS }) =>
        driver.find(due, {
          projection: { _id: 1 },
          limit: SWEEP_DOCUMENTS_MAX,
          readPreference: 'primary',
          timeoutMS
        }).toArray()
    )
    if (found.length > 0) {
      await ask(definition.name, ({ timeoutMS }) =>
        driver.deleteMany({
          _id: { $in: found.map((record) => record._id) },
          ...due
        }, { timeoutMS }))
    }
  }
}
