import type { DatabaseSync } from 'node:sqlite'
import { META } from './migrate.ts'
import { BUSY_TIMEOUT_MS, isDuplicate, isSqliteError, MOVED, reasonOf } from './sqlite-file.ts'
import type { FailureReason } from './sqlite-file.ts'
import type { Sql } from './sqlite-sql.ts'
import { Statements } from './sqlite-statements.ts'
import { TableWriter } from './sqlite-table.ts'
import type { TableSpec } from './sqlite-table.ts'

/**
 * The writing half of the SQLite adapter: takes a batch of operations, runs them in one transaction, answers each.
 *
 * Owns the transaction; the statements are those of each table (sqlite-table.ts). Never reads for callers and knows no
 * threads: `workers/sqlite.ts` calls it on the writer thread, tests call it directly. One commit per batch (group
 * commit) is what makes 50 k inserts/s of 14 k; BEGIN IMMEDIATE takes the lock at once, so that a busy file is noticed
 * before any work.
 */
export type WriteOp =
  | { kind: 'define', name: string, spec: TableSpec }
  | { kind: 'insert', name: string, id: string, doc: string }
  | { kind: 'insertMany', name: string, ids: string[], docs: string[] }
  | { kind: 'putMany', name: string, ids: string[], docs: string[] }
  | { kind: 'replace', name: string, id: string, doc: string, revision: number }
  | { kind: 'delete', name: string, id: string }
  | { kind: 'deleteWhere', name: string, where: Sql, limit: number }
  | { kind: 'sweep', owner: string, leaseMs: number, limit: number }
  | { kind: 'probe' }

/**
 * insert: true, or a duplicate when the id is taken. insertMany: how many were new. putMany: revisions. replace:
 * revision or 0. sweep: the most removed from one table, -1 when another process holds the lease.
 */
export type WriteAnswer = WriteResult | { failed: FailureReason, message: string, errcode: number }
/** The answer to an operation whose transaction was committed. */
export type WriteResult = { value: number | boolean | number[] } | { duplicate: true }

export interface Batch { ops: WriteOp[], nowMs: number, busyTimeoutMs: number }

const PROBE = "INSERT INTO neko_meta (name, value) VALUES ('probe', ?) " +
  'ON CONFLICT (name) DO UPDATE SET value = excluded.value'
const TAKE_LEASE = "INSERT INTO neko_meta (name, value) VALUES ('sweeper', ?1) " +
  'ON CONFLICT (name) DO UPDATE SET value = excluded.value ' +
  "WHERE json_extract(value, '$.owner') = ?2 OR json_extract(value, '$.untilMs') <= ?3"

export class Writer {
  readonly #db: DatabaseSync
  readonly #statements: Statements
  readonly #tables = new Map<string, TableWriter>()
  readonly #isInPlace: () => boolean
  #busyTimeoutMs = BUSY_TIMEOUT_MS

  /** `isInPlace`: whether the files that it writes are those that others find. */
  constructor (
    db: DatabaseSync,
    specs: Iterable<[name: string, spec: TableSpec]>,
    isInPlace: () => boolean = () => true
  ) {
    this.#db = db
    this.#isInPlace = isInPlace
    this.#statements = new Statements(db)
    for (const [name, spec] of specs) this.#define(name, spec)
  }

  apply (batch: Batch): WriteAnswer[] {
    for (const op of batch.ops) if (op.kind === 'define') this.#define(op.name, op.spec)
    const hasWork = batch.ops.some((op) => op.kind !== 'define')
    if (!hasWork) return batch.ops.map(() => ({ value: true }))
    try {
      this.#setBusyTimeout(batch.busyTimeoutMs)
      this.#db.exec('BEGIN IMMEDIATE')
      const answers = batch.ops.map((op) => this.#applyOne(op, batch.nowMs))
      if (!this.#isInPlace()) throw Object.assign(new Error('the database was removed or replaced'), { errcode: MOVED })
      this.#db.exec('COMMIT')
      return answers
    } catch (error) {
      if (this.#db.isTransaction) this.#db.exec('ROLLBACK')
      return batch.ops.map((op) => op.kind === 'define' ? { value: true } : failure(error))
    }
  }

  close (): void {
    this.#db.close()
  }

  #define (name: string, spec: TableSpec): void {
    this.#tables.set(name, new TableWriter(this.#statements, spec))
  }

  #setBusyTimeout (ms: number): void {
    if (this.#busyTimeoutMs === ms) return
    this.#busyTimeoutMs = ms
    this.#db.exec(`PRAGMA busy_timeout = ${ms}`)
  }

  /** A duplicate ends its own operation only; every other failure ends the batch. */
  #applyOne (op: WriteOp, nowMs: number): WriteResult {
    const isSeveral = op.kind === 'insertMany' || op.kind === 'putMany'
    if (isSeveral) this.#db.exec('SAVEPOINT op')
    try {
      const value = this.#run(op, nowMs)
      if (isSeveral) this.#db.exec('RELEASE op')
      return value === null ? { duplicate: true } : { value }
    } catch (error) {
      // Some failures (a full disk) end the transaction by themselves: then there is nothing to go back to.
      if (!isDuplicate(error) || !this.#db.isTransaction) throw error
      if (isSeveral) this.#db.exec('ROLLBACK TO op; RELEASE op')
      return { duplicate: true }
    }
  }

  /** Null for an id that is taken. */
  #run (op: WriteOp, nowMs: number): number | boolean | number[] | null {
    switch (op.kind) {
      case 'define': return true
      case 'sweep': return this.#sweep(op, nowMs)
      case 'probe':
        // A store that was down at its first start is not prepared yet.
        this.#db.exec(META)
        return Number(this.#statements.prepare(PROBE).run(String(nowMs)).changes)
    }
    const table = this.#tables.get(op.name)
    if (table === undefined) throw new Error(`collection ${op.name} was not defined`)
    switch (op.kind) {
      case 'insert': return table.insert(op.id, op.doc, nowMs) ? true : null
      case 'insertMany':
        return op.ids.reduce((total, id, i) => total + Number(table.insert(id, op.docs[i]!, nowMs)), 0)
      case 'putMany': return op.ids.map((id, i) => table.put(id, op.docs[i]!, nowMs))
      case 'replace': return table.replace(op, nowMs)
      case 'delete': return table.delete(op.id, nowMs)
      case 'deleteWhere': return table.deleteWhere(op.where, op.limit)
    }
  }

  /** Only the process that holds the lease sweeps. */
  #sweep ({ owner, leaseMs, limit }: { owner: string, leaseMs: number, limit: number }, nowMs: number): number {
    const lease = JSON.stringify({ owner, untilMs: nowMs + leaseMs })
    if (this.#statements.prepare(TAKE_LEASE).run(lease, owner, nowMs).changes === 0) return -1
    let most = 0
    for (const table of this.#tables.values()) most = Math.max(most, table.sweep(limit, nowMs))
    return most
  }
}

function failure (error: unknown): WriteAnswer {
  const message = error instanceof Error ? error.message : String(error)
  return {
    failed: reasonOf(error),
    message,
    errcode: isSqliteError(error) ? (error as { errcode: number }).errcode : 0
  }
}
