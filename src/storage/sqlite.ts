import type { DatabaseSync } from 'node:sqlite'
import { closeSync, openSync, rmSync } from 'node:fs'
import { Worker } from 'node:worker_threads'
import { NEKO_ERR_INPUT_INVALID, NEKO_ERR_STORE_DUPLICATE } from '../errors.ts'
import type { Clock } from '../std/clock.ts'
import { FileWatch } from '../std/file-watch.ts'
import { newProcessId } from '../std/id.ts'
import { makeCursor, readCursor } from './cursor.ts'
import {
  DOCUMENT_BYTES_MAX,
  checkBatch,
  checkDefinition,
  checkDeleteLimit,
  checkFirst,
  checkId,
  checkIds,
  checkSort,
  withoutRevision
} from './definition.ts'
import { createHealthState } from './health.ts'
import type { StorageLog } from './log.ts'
import { migrateFile } from './migrate.ts'
import type {
  Collection,
  CollectionDefinition,
  Document,
  FindOptions,
  Page,
  Patience,
  Storage,
  Stored
} from './port.ts'
import { BUSY_TIMEOUT_MS, isWritable, openFile, typedError } from './sqlite-file.ts'
import { expiryOf, readChanged } from './sqlite-changed.ts'
import { openWriteQueue } from './sqlite-queue.ts'
import { type Sql, afterSql, fieldSql, orderSql, tableName, whereSql } from './sqlite-sql.ts'
import { Reader } from './sqlite-reader.ts'
import { startSweeper } from './sqlite-sweeper.ts'
import type { ThreadData } from './sqlite-thread.ts'
import type { TableSpec } from './sqlite-table.ts'
import type { WriteOp, WriteResult } from './sqlite-writer.ts'

/**
 * The storage port on one SQLite file, shared by the processes of one host.
 *
 * Reads run here, on the main thread: 5 to 40 us each, less than a hop to a thread and back. Writes go to one writer
 * thread per process (sqlite-queue.ts), because a contended commit blocks its thread for up to 330 ms. Documents are
 * JSON text; indexes are on expressions over it. Never caches documents: rooms do that where it pays (`getChanged`).
 */
interface SqliteOptions {
  file: string
  clock: Clock
  log: StorageLog
  /** Files that must stand at their paths, the database's among them: while one is lost nothing is written. */
  watch?: FileWatch
  /** Why the store was down when it was last tried: it is so until it has taken a write. */
  downFor?: string | null
}

/** One migrator comes at a time; whoever else has the file locked is not waited for any longer than by other writes. */
const MIGRATE_TIMEOUT_MS = BUSY_TIMEOUT_MS

/**
 * A file that cannot be opened or written now (locked, a disk that is full or read-only) makes a storage that is down
 * and heals by itself.
 *
 * @throws NEKO_ERR_STORE_CORRUPT, NEKO_ERR_STORE_INCOMPATIBLE
 */
export async function openSqliteStorage (options: SqliteOptions): Promise<Storage> {
  const { file, clock, log, watch = new FileWatch(), downFor = null } = options
  const health = createHealthState('sqlite', log, { up: downFor === null, reason: downFor })
  const reader = new Reader(file, watch)
  const reason = reader.open()
  if (reason !== null) health.set({ up: false, reason })
  const queue = await openWriteQueue({
    file,
    clock,
    health,
    watch,
    mayOpen () {
      if (health.current().reason !== 'readonly') return true
      if (!isWritable(file)) return false
      // Connections of one process share the index of the log: as long as one has it read-only, all have.
      reader.close()
      return true
    },
    onReady () {
      if (reader.isWhole && health.current().up) return
      try {
        reader.open()
      } catch { /* its readers are told: it is damaged, or of another version */ }
    }
  })
  const sweeper = startSweeper({ queue, owner: newProcessId() })
  const collections = new Map<string, Collection<Document>>()
  let closing: Promise<void> | null = null

  function collection<T extends Document> (
    definition: CollectionDefinition,
    patience: Patience = 'request'
  ): Collection<T> {
    const key = `${patience} ${definition.name}`
    let found = collections.get(key)
    if (found === undefined) {
      checkDefinition(definition)
      queue.define(definition.name, specOf(definition))
      const write = (op: WriteOp): Promise<WriteResult> => queue.write(op, patience)
      found = createCollection<Document>({ definition, reader, write, clock })
      collections.set(key, found)
    }
    return found as unknown as Collection<T>
  }

  return {
    kind: 'sqlite',
    collection,
    async migrate (definitions) {
      for (const definition of definitions) checkDefinition(definition)
      // On the writer's thread first: a file that is locked is not waited for on this one.
      await queue.write({ kind: 'probe' })
      migrateWith(file, definitions)
    },
    health: () => health.current(),
    onHealth: (listener) => health.onChange(listener),
    async explain (definition, find) {
      checkDefinition(definition)
      const [first] = pageSql(definition, find, clock.now())
      return reader.indexesOf(definition, first!)
    },
    backup: (into) => backUp(file, into),
    close () {
      closing ??= (async () => {
        sweeper.stop()
        await queue.close()
        reader.close()
      })()
      return closing
    }
  }
}

function migrateWith (file: string, definitions: CollectionDefinition[]): void {
  let db: DatabaseSync | null = null
  try {
    db = openFile(file, { timeoutMs: MIGRATE_TIMEOUT_MS })
    migrateFile(db, definitions)
  } catch (error) {
    throw typedError(error, file)
  } finally {
    db?.close()
  }
}

function specOf (definition: CollectionDefinition): TableSpec {
  const clashes = definition.indexes.filter((index) => index.unique === true).map((index) =>
    index.fields.map(([field], i) => `${fieldSql(field)} ${i === 0 ? '=' : 'IS'} ${fieldSql(field, '?2')}`)
      .join(' AND ')
  )
  return {
    table: tableName(definition),
    expiry: definition.expiryField === undefined
      ? null
      : fieldSql(definition.expiryField, `${tableName(definition)}.doc`),
    clashes
  }
}

function createCollection<T extends Document> (
  context: {
    definition: CollectionDefinition,
    reader: Reader,
    write: (op: WriteOp) => Promise<WriteResult>,
    clock: Clock
  }
): Collection<T> {
  const { definition, reader, write, clock } = context
  const { name } = definition
  const table = tableName(definition)
  const read = (sql: Sql): Array<Stored<T>> => reader.all(sql).map((row) => decode<T>(row))
  const select = (where: Sql, tail: string): Sql => ({
    text: `SELECT doc, revision FROM ${table} WHERE ${where.text}${tail}`,
    params: where.params
  })
  const getById = (id: string): Stored<T> | null => {
    const row = reader.get({ text: `SELECT doc, revision FROM ${table} WHERE id = ?`, params: [id] })
    if (row === undefined) return null
    const document = decode<T>(row)
    return expiryOf(definition, document) > clock.now() ? document : null
  }

  async function putAll (docs: T[]): Promise<number[]> {
    checkBatch(docs)
    if (docs.length === 0) return []
    const answer = await write({ kind: 'putMany', name, ids: docs.map((doc) => doc.id), docs: docs.map(encode) })
    return valueOf<number[]>(answer, name)
  }

  return {
    definition,
    async get (id) {
      return getById(checkId(id))
    },
    async getMany (ids) {
      return checkIds(ids).flatMap((id) => getById(id) ?? [])
    },
    async getChanged (known) {
      checkIds(known.map(({ id }) => id))
      return readChanged<T>({ definition, reader, nowMs: clock.now(), decode }, known)
    },
    async findOne (where) {
      return read(select(whereSql(definition, where, clock.now()), ' LIMIT 1'))[0] ?? null
    },
    async find (options) {
      const wanted = checkFirst(options.first)
      const docs: Array<Stored<T>> = []
      for (const sql of pageSql(definition, options, clock.now())) {
        if (docs.length <= wanted) {
          docs.push(...read({ ...sql, params: [...sql.params.slice(0, -1), wanted + 1 - docs.length] }))
        }
      }
      return toPage(docs, options, wanted)
    },
    async count (where) {
      const sql = whereSql(definition, where, clock.now())
      return reader.get({ text: `SELECT count(*) AS n FROM ${table} WHERE ${sql.text}`, params: sql.params })!
        .n as number
    },
    async insert (doc) {
      checkId(doc.id)
      valueOf(await write({ kind: 'insert', name, id: doc.id, doc: encode(doc) }), name)
      return { ...doc, revision: 1 }
    },
    async insertMany (docs) {
      checkBatch(docs)
      if (docs.length === 0) return 0
      return valueOf<number>(
        await write({
          kind: 'insertMany',
          name,
          ids: docs.map((doc) => doc.id),
          docs: docs.map(encode)
        }),
        name
      )
    },
    async put (doc) {
      const [revision] = await putAll([doc])
      return { ...doc, revision: revision! }
    },
    async putMany (docs) {
      await putAll(docs)
    },
    async replace (doc, revision) {
      checkId(doc.id)
      const next = valueOf<number>(
        await write({ kind: 'replace', name, id: doc.id, doc: encode(doc), revision }),
        name
      )
      return next === 0 ? null : { ...doc, revision: next }
    },
    async delete (id) {
      return valueOf<boolean>(await write({ kind: 'delete', name, id: checkId(id) }), name)
    },
    async deleteWhere (where, limit) {
      checkDeleteLimit(limit)
      return valueOf<number>(
        await write({
          kind: 'deleteWhere',
          name,
          where: whereSql(definition, where, clock.now()),
          limit
        }),
        name
      )
    }
  }
}

/** One statement, or two when nulls come last (see afterSql). The last parameter of each is its limit. */
function pageSql (definition: CollectionDefinition, options: FindOptions, nowMs: number): Sql[] {
  const sort = checkSort(options.sort)
  const where = whereSql(definition, options.where, nowMs)
  const limit = checkFirst(options.first) + 1
  const page = (part: Sql | null): Sql => ({
    text: `SELECT doc, revision FROM ${tableName(definition)} ` +
      `WHERE ${where.text}${part === null ? '' : ` AND ${part.text}`} ORDER BY ${orderSql(sort)} LIMIT ?`,
    params: [...where.params, ...part?.params ?? [], limit]
  })
  if (options.after === undefined || options.after === null) return [page(null)]
  const { head, tail } = afterSql(sort, readCursor(sort, options.after))
  return [head, tail].flatMap((part) => part === null ? [] : [page(part)])
}

function toPage<T extends Document> (docs: Array<Stored<T>>, options: FindOptions, wanted: number): Page<Stored<T>> {
  const items = docs.slice(0, wanted)
  const sort = checkSort(options.sort)
  return { items, cursors: items.map((doc) => makeCursor(sort, doc)), hasNextPage: docs.length > wanted }
}

function decode<T extends Document> (row: Record<string, unknown>): Stored<T> {
  const doc = JSON.parse(row.doc as string) as Stored<T>
  doc.revision = row.revision as number
  return doc
}

function encode (doc: Document): string {
  const text = JSON.stringify(withoutRevision(doc))
  if (text.length > DOCUMENT_BYTES_MAX) throw new NEKO_ERR_INPUT_INVALID('the document is larger than 4 MiB')
  return text
}

function valueOf<V> (answer: { value: unknown } | { duplicate: true }, name: string): V {
  if ('duplicate' in answer) throw new NEKO_ERR_STORE_DUPLICATE(name)
  return answer.value as V
}

/** @throws NEKO_ERR_INPUT_INVALID when the file is there: a backup never replaces another. */
async function backUp (file: string, into: string): Promise<void> {
  try {
    // VACUUM INTO takes an empty file: made by us it is exclusive and readable by the owner only.
    closeSync(openSync(into, 'wx', 0o600))
  } catch (error) {
    const taken = (error as NodeJS.ErrnoException).code === 'EEXIST'
    throw Object.assign(
      new NEKO_ERR_INPUT_INVALID(
        taken ? 'the backup file is already there' : 'the backup file cannot be made'
      ),
      { cause: error }
    )
  }
  const data: ThreadData = { file, task: 'backup', into }
  try {
    await new Promise<void>((resolve, reject) => {
      const thread = new Worker(new URL('../../workers/sqlite.ts', import.meta.url), {
        workerData: data,
        name: 'sqlite-backup'
      })
      thread.on('message', () => resolve())
      thread.on('error', reject)
      thread.on('exit', () => reject(new Error('the backup thread ended early')))
    })
  } catch (error) {
    rmSync(into, { force: true })
    throw typedError(error, file)
  }
}
