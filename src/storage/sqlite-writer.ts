import { type DatabaseSync, type StatementSync } from 'node:sqlite'
import { BUSY_TIMEOUT_MS, isDuplicate, isSqliteError, reasonOf } from './sqlite-file.ts'
import type { FailureReason } from './sqlite-file.ts'
import type { Sql } from './sqlite-sql.ts'

/**
 * The writing half of the SQLite adapter: takes a batch of operations, runs them in one transaction, answers each.
 *
 * Owns the statements that change documents. Never reads for callers and knows no threads: `workers/sqlite.ts` calls
 * it on the writer thread, tests call it directly. One commit per batch (group commit) is what makes 50 k inserts/s
 * of 14 k; BEGIN IMMEDIATE takes the lock at once, so that a busy file is noticed before any work (R23).
 */
export interface TableSpec {
  /** Quoted. */
  table: string
  /** SQL of the expiry field over the column `doc`, or null. */
  expiry: string | null
  /** SQL that is true where a row `doc` holds the unique values of the document given as the one parameter. */
  clashes: string[]
}

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
 * insert: true, or false when the id is taken. insertMany: how many were new. put: revisions. replace:
 * revision or 0.
 */
export type WriteAnswer = { value: number | boolean | number[] } | { duplicate: true } | {
  failed: FailureReason,
  message: string,
  errcode: number
}

export interface Batch { ops: WriteOp[], nowMs: number, busyTimeoutMs: number }

export interface Writer {
  apply (batch: Batch): WriteAnswer[]
  close (): void
}

export function createWriter (db: DatabaseSync, tables: Map<string, TableSpec>): Writer {
  const statements = new Map<string, StatementSync>()
  let busyTimeoutMs = BUSY_TIMEOUT_MS

  const prepare = (text: string): StatementSync => {
    let statement = statements.get(text)
    if (statement === undefined) {
      // Bounded: texts come from the shapes of conditions, of which there are a few dozen.
      if (statements.size >= 256) statements.clear()
      statement = db.prepare(text)
      statements.set(text, statement)
    }
    return statement
  }
  const specOf = (name: string): TableSpec => {
    const spec = tables.get(name)
    if (spec === undefined) throw new Error(`collection ${name} was not defined`)
    return spec
  }

  function apply (batch: Batch): WriteAnswer[] {
    for (const op of batch.ops) if (op.kind === 'define') tables.set(op.name, op.spec)
    const work = batch.ops.some((op) => op.kind !== 'define')
    if (!work) return batch.ops.map(() => ({ value: true }))
    try {
      if (busyTimeoutMs !== batch.busyTimeoutMs) db.exec(`PRAGMA busy_timeout = ${busyTimeoutMs = batch.busyTimeoutMs}`)
      db.exec('BEGIN IMMEDIATE')
      const answers = batch.ops.map((op) => applyOne(op, batch.nowMs))
      db.exec('COMMIT')
      return answers
    } catch (error) {
      if (db.isTransaction) db.exec('ROLLBACK')
      return batch.ops.map((op) => op.kind === 'define' ? { value: true } : failure(error))
    }
  }

  /** A duplicate ends its own operation only; every other failure ends the batch. */
  function applyOne (op: WriteOp, nowMs: number): WriteAnswer {
    const several = op.kind === 'insertMany' || op.kind === 'putMany'
    if (several) db.exec('SAVEPOINT op')
    try {
      const value = run(op, nowMs)
      if (several) db.exec('RELEASE op')
      return value === null ? { duplicate: true } : { value }
    } catch (error) {
      // Some failures (a full disk) end the transaction by themselves: then there is nothing to go back to.
      if (!isDuplicate(error) || !db.isTransaction) throw error
      if (several) db.exec('ROLLBACK TO op; RELEASE op')
      return { duplicate: true }
    }
  }

  function run (op: WriteOp, nowMs: number): number | boolean | number[] | null {
    switch (op.kind) {
      case 'define': return true
      case 'insert': return insertOne(specOf(op.name), op.id, op.doc, nowMs) ? true : null
      case 'insertMany':
        return op.ids.reduce(
          (total, id, i) => total + Number(insertOne(specOf(op.name), id, op.docs[i]!, nowMs)),
          0
        )
      case 'putMany': return op.ids.map((id, i) => putOne(specOf(op.name), id, op.docs[i]!, nowMs))
      case 'replace': return replaceOne(specOf(op.name), op, nowMs)
      case 'delete': return deleteOne(specOf(op.name), op.id, nowMs)
      case 'deleteWhere': return deleteWhere(specOf(op.name), op.where, op.limit)
      case 'sweep': return sweep(op.owner, op.leaseMs, op.limit, nowMs)
      case 'probe':
        return Number(
          prepare(
            "INSERT INTO neko_meta (name, value) VALUES ('probe', ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
          ).run(String(nowMs)).changes
        )
    }
  }

  /** True when it was new. An expired document with that id is invisible, so it gives way. */
  function insertOne (spec: TableSpec, id: string, doc: string, nowMs: number): boolean {
    const text = `INSERT INTO ${spec.table} (id, revision, doc) VALUES (?, 1, ?) ON CONFLICT (id) DO ` +
      (spec.expiry === null ? 'NOTHING' : `UPDATE SET doc = excluded.doc, revision = 1 WHERE ${spec.expiry} <= ?`)
    const params = spec.expiry === null ? [id, doc] : [id, doc, nowMs]
    return retriedWithoutExpired(spec, doc, nowMs, () => prepare(text).run(...params).changes === 1)
  }

  function putOne (spec: TableSpec, id: string, doc: string, nowMs: number): number {
    const statement = prepare(
      `INSERT INTO ${spec.table} (id, revision, doc) VALUES (?, 1, ?) ON CONFLICT (id) DO UPDATE SET doc = excluded.doc, revision = revision + 1 RETURNING revision`
    )
    return retriedWithoutExpired(spec, doc, nowMs, () => statement.get(id, doc)!.revision as number)
  }

  function replaceOne (spec: TableSpec, op: { id: string, doc: string, revision: number }, nowMs: number): number {
    const visible = spec.expiry === null ? '' : ` AND (${spec.expiry} IS NULL OR ${spec.expiry} > ?)`
    const statement = prepare(
      `UPDATE ${spec.table} SET doc = ?, revision = revision + 1 WHERE id = ? AND revision = ?${visible}`
    )
    const params = [op.doc, op.id, op.revision, ...(spec.expiry === null ? [] : [nowMs])]
    return retriedWithoutExpired(
      spec,
      op.doc,
      nowMs,
      () => statement.run(...params).changes === 1 ? op.revision + 1 : 0
    )
  }

  function deleteOne (spec: TableSpec, id: string, nowMs: number): boolean {
    if (spec.expiry === null) return prepare(`DELETE FROM ${spec.table} WHERE id = ?`).run(id).changes === 1
    return prepare(
      `DELETE FROM ${spec.table} WHERE id = ? AND (${spec.expiry} IS NULL OR ${spec.expiry} > ?)`
    ).run(id, nowMs).changes === 1
  }

  function deleteWhere (spec: TableSpec, where: Sql, limit: number): number {
    return Number(
      prepare(
        `DELETE FROM ${spec.table} WHERE id IN (SELECT id FROM ${spec.table} WHERE ${where.text} ORDER BY id LIMIT ?)`
      ).run(...where.params, limit).changes
    )
  }

  /** A unique value held by an expired document is free: remove the holder and try once more. */
  function retriedWithoutExpired<T> (spec: TableSpec, doc: string, nowMs: number, write: () => T): T {
    try {
      return write()
    } catch (error) {
      if (!isDuplicate(error) || spec.expiry === null || spec.clashes.length === 0) throw error
      const removed = spec.clashes.reduce(
        (total, clash) =>
          total +
          Number(
            prepare(`DELETE FROM ${spec.table} WHERE ${spec.expiry} <= ?1 AND ${clash}`).run(nowMs, doc)
              .changes
          ),
        0
      )
      if (removed === 0) throw error
      return write()
    }
  }

  /**
   * Only the process that holds the lease sweeps; -1 when another does, else the largest number removed from
   * one table.
   */
  function sweep (owner: string, leaseMs: number, limit: number, nowMs: number): number {
    const lease = prepare(
      `INSERT INTO neko_meta (name, value) VALUES ('sweeper', ?1) ON CONFLICT (name) DO UPDATE SET value = excluded.value
      WHERE json_extract(value, '$.owner') = ?2 OR json_extract(value, '$.untilMs') <= ?3`
    )
    if (lease.run(JSON.stringify({ owner, untilMs: nowMs + leaseMs }), owner, nowMs).changes === 0) return -1
    let most = 0
    for (const spec of tables.values()) {
      if (spec.expiry === null) continue
      const swept = prepare(
        `DELETE FROM ${spec.table} WHERE id IN (SELECT id FROM ${spec.table} WHERE ${spec.expiry} <= ? LIMIT ?)`
      ).run(nowMs, limit)
      most = Math.max(most, Number(swept.changes))
    }
    return most
  }

  return { apply, close: () => db.close() }
}

function failure (error: unknown): WriteAnswer {
  const message = error instanceof Error ? error.message : String(error)
  return {
    failed: reasonOf(error),
    message,
    errcode: isSqliteError(error) ? (error as { errcode: number }).errcode : 0
  }
}
