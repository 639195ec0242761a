import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { BoundedMap } from '../std/bounded-map.ts'

/** Texts come from the shapes of conditions, of which there are a few dozen. */
const STATEMENTS_MAX = 256

/** Statements of one connection, prepared once per text: texts differ by the shape of a query, not by its values. */
export class Statements {
  readonly #db: DatabaseSync
  readonly #prepared = new BoundedMap<string, StatementSync>(STATEMENTS_MAX)

  constructor (db: DatabaseSync) {
    this.#db = db
  }

  prepare (text: string): StatementSync {
    const held = this.#prepared.use(text)
    if (held !== undefined) return held
    const statement = this.#db.prepare(text)
    this.#prepared.set(text, statement)
    return statement
  }
}
