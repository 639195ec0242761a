import type { DatabaseSync } from 'node:sqlite'
import { NEKO_ERR_STORE_INCOMPATIBLE } from '../errors.ts'
import type { CollectionDefinition } from './port.ts'
import { indexSql, tableName } from './sqlite-sql.ts'

/**
 * Brings a SQLite file to this version: tables, indexes, the version itself, all in one transaction, whose lock is
 * also what keeps two migrators apart.
 *
 * Upgrades are additive, so that old and new processes work on one store during a rollout: nothing is dropped but an
 * index whose definition changed. A version that old code could not live with raises COMPATIBLE_FROM; older code then
 * refuses to start, and that is the only thing that is ever refused.
 */
export const SCHEMA_VERSION = 1
/** The oldest code version that understands what this one writes. */
const COMPATIBLE_FROM = 1

export interface SchemaMark { version: number, compatibleFrom: number }

/** Where the store says of itself what it is. */
export const META =
  'CREATE TABLE IF NOT EXISTS neko_meta (name TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL) WITHOUT ROWID'

const SET_MARK = "INSERT INTO neko_meta (name, value) VALUES ('schema', ?) " +
  'ON CONFLICT (name) DO UPDATE SET value = excluded.value'

/** @throws NEKO_ERR_STORE_INCOMPATIBLE */
export function migrateFile (db: DatabaseSync, definitions: CollectionDefinition[]): void {
  db.exec('BEGIN IMMEDIATE')
  try {
    db.exec(META)
    checkMark(readMark(db))
    for (const definition of definitions) migrateCollection(db, definition)
    const mark = nextMark(readMark(db))
    if (mark !== null) {
      db.prepare(SET_MARK).run(JSON.stringify(mark))
    }
    db.exec('COMMIT')
  } catch (error) {
    if (db.isTransaction) db.exec('ROLLBACK')
    throw error
  }
}

/**
 * Looks at the version that the file was written by; a new file has none.
 *
 * @throws NEKO_ERR_STORE_INCOMPATIBLE
 */
export function checkFileMark (db: DatabaseSync): void {
  checkMark(readMark(db))
}

/** @throws NEKO_ERR_STORE_INCOMPATIBLE when the store says that this code is too old for it. */
export function checkMark (mark: SchemaMark | null): void {
  if (mark !== null && mark.compatibleFrom > SCHEMA_VERSION) throw new NEKO_ERR_STORE_INCOMPATIBLE(String(mark.version))
}

/** The mark that the store shall have from now on; null when it already has it, or a newer one. */
export function nextMark (mark: SchemaMark | null): SchemaMark | null {
  if (mark !== null && mark.version >= SCHEMA_VERSION) return null
  return { version: SCHEMA_VERSION, compatibleFrom: COMPATIBLE_FROM }
}

function readMark (db: DatabaseSync): SchemaMark | null {
  if (db.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'neko_meta'").get() === undefined) return null
  const row = db.prepare("SELECT value FROM neko_meta WHERE name = 'schema'").get()
  return row === undefined ? null : JSON.parse(row.value as string) as SchemaMark
}

function migrateCollection (db: DatabaseSync, definition: CollectionDefinition): void {
  const columns = 'id TEXT PRIMARY KEY NOT NULL, revision INTEGER NOT NULL, doc TEXT NOT NULL'
  db.exec(`CREATE TABLE IF NOT EXISTS ${tableName(definition)} (${columns})`)
  const expiry = definition.expiryField === undefined
    ? []
    : [{ name: 'expiry', fields: [[definition.expiryField, 1]] as Array<[string, 1]> }]
  const wanted = [...definition.indexes, ...expiry].flatMap((index) => indexSql(definition, index))
  for (const { name, text } of wanted) {
    const there = db.prepare("SELECT sql FROM sqlite_schema WHERE type = 'index' AND name = ?").get(name)
    if (there?.sql === text) continue
    if (there !== undefined) db.exec(`DROP INDEX "${name}"`)
    db.exec(text)
  }
}
