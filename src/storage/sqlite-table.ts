import { isDuplicate } from './sqlite-file.ts'
import type { Sql } from './sqlite-sql.ts'
import type { Statements } from './sqlite-statements.ts'

/** How the documents of one collection lie in the file, as the writer needs to know it. */
export interface TableSpec {
  /** Quoted. */
  table: string
  /** SQL of the expiry field over the column `doc`, or null. */
  expiry: string | null
  /** SQL that is true where a row `doc` holds the unique values of the document given as the one parameter. */
  clashes: string[]
}

/**
 * The changes of one table. An expired document is invisible, so it stands in nobody's way: neither by its id nor by
 * its unique values. Every change may throw the duplicate error of SQLite; transactions are the writer's.
 */
export class TableWriter {
  readonly #statements: Statements
  readonly #spec: TableSpec

  constructor (statements: Statements, spec: TableSpec) {
    this.#statements = statements
    this.#spec = spec
  }

  /** True when the id was free. */
  insert (id: string, doc: string, nowMs: number): boolean {
    const { table, expiry } = this.#spec
    const text = `INSERT INTO ${table} (id, revision, doc) VALUES (?, 1, ?) ON CONFLICT (id) DO ` +
      (expiry === null ? 'NOTHING' : `UPDATE SET doc = excluded.doc, revision = 1 WHERE ${expiry} <= ?`)
    const params = expiry === null ? [id, doc] : [id, doc, nowMs]
    return this.#withoutExpired(doc, nowMs, () => this.#change(text, ...params) === 1)
  }

  /** The revision. */
  put (id: string, doc: string, nowMs: number): number {
    const statement = this.#statements.prepare(
      `INSERT INTO ${this.#spec.table} (id, revision, doc) VALUES (?, 1, ?) ` +
        'ON CONFLICT (id) DO UPDATE SET doc = excluded.doc, revision = revision + 1 RETURNING revision'
    )
    return this.#withoutExpired(doc, nowMs, () => statement.get(id, doc)!.revision as number)
  }

  /** The new revision; 0 when the document has another one than that, or is gone. */
  replace ({ id, doc, revision }: { id: string, doc: string, revision: number }, nowMs: number): number {
    const { table, expiry } = this.#spec
    const visible = expiry === null ? '' : ` AND (${expiry} IS NULL OR ${expiry} > ?)`
    const text = `UPDATE ${table} SET doc = ?, revision = revision + 1 WHERE id = ? AND revision = ?${visible}`
    const params = [doc, id, revision, ...(expiry === null ? [] : [nowMs])]
    return this.#withoutExpired(doc, nowMs, () => this.#change(text, ...params) === 1 ? revision + 1 : 0)
  }

  /** True when there was one. */
  delete (id: string, nowMs: number): boolean {
    const { table, expiry } = this.#spec
    if (expiry === null) return this.#change(`DELETE FROM ${table} WHERE id = ?`, id) === 1
    return this.#change(`DELETE FROM ${table} WHERE id = ? AND (${expiry} IS NULL OR ${expiry} > ?)`, id, nowMs) === 1
  }

  /** How many were removed, oldest by id first. */
  deleteWhere (where: Sql, limit: number): number {
    const { table } = this.#spec
    return this.#change(
      `DELETE FROM ${table} WHERE id IN (SELECT id FROM ${table} WHERE ${where.text} ORDER BY id LIMIT ?)`,
      ...where.params,
      limit
    )
  }

  /** How many expired documents were removed. */
  sweep (limit: number, nowMs: number): number {
    const { table, expiry } = this.#spec
    if (expiry === null) return 0
    return this.#change(
      `DELETE FROM ${table} WHERE id IN (SELECT id FROM ${table} WHERE ${expiry} <= ? LIMIT ?)`,
      nowMs,
      limit
    )
  }

  /** A unique value held by an expired document is free: removes the holder and tries once more. */
  #withoutExpired<T> (doc: string, nowMs: number, write: () => T): T {
    const { table, expiry, clashes } = this.#spec
    try {
      return write()
    } catch (error) {
      if (!isDuplicate(error) || expiry === null) throw error
      let removed = 0
      for (const clash of clashes) {
        removed += this.#change(`DELETE FROM ${table} WHERE ${expiry} <= ?1 AND ${clash}`, nowMs, doc)
      }
      if (removed === 0) throw error
      return write()
    }
  }

  #change (text: string, ...params: Sql['params']): number {
    return Number(this.#statements.prepare(text).run(...params).changes)
  }
}
