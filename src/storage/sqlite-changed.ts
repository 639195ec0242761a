import type { CollectionDefinition, Document, Known, Reading, Stored } from './port.ts'
import type { Reader } from './sqlite-reader.ts'
import { tableName } from './sqlite-sql.ts'

/**
 * Which documents were written since they were read. A revision does not tell: a document that was removed and inserted
 * again is at its first one again, and rows have nothing else that rises. So a mark holds the text of its row. As long
 * as nobody has committed anything to the file, no row is read at all; after a commit, most likely of something else,
 * a row is read and compared: 13 us of 12 KiB, where parsing it and working with it takes 60.
 */
interface RowMark {
  /** The reader's version in which the row was last seen to hold the text. */
  version: number
  readonly revision: unknown
  readonly text: unknown
  /** Infinity: never. */
  readonly expiresAt: number
}

interface Parts<T extends Document> {
  definition: CollectionDefinition
  reader: Reader
  nowMs: number
  decode (row: Record<string, unknown>): Stored<T>
}

export function readChanged<T extends Document> (parts: Parts<T>, known: readonly Known[]): Array<Reading<T>> {
  const { definition, reader, nowMs, decode } = parts
  const text = `SELECT doc, revision FROM ${tableName(definition)} WHERE id = ?`
  // Asked before the rows are read: one that was written in between is compared once more, and that is all.
  const version = reader.version()
  const readings: Array<Reading<T>> = []
  for (const { id, mark } of known) {
    const last = mark as RowMark | null
    if (last !== null && last.version === version) {
      if (last.expiresAt > nowMs) readings.push({ id, mark: last, document: null })
      continue
    }
    const row = reader.get({ text, params: [id] })
    if (row === undefined) continue
    if (last !== null && last.revision === row.revision && last.text === row.doc) {
      last.version = version
      if (last.expiresAt > nowMs) readings.push({ id, mark: last, document: null })
      continue
    }
    const document = decode(row)
    const expiresAt = expiryOf(definition, document)
    if (expiresAt <= nowMs) continue
    const now: RowMark = { version, revision: row.revision, text: row.doc, expiresAt }
    readings.push({ id, mark: now, document })
  }
  return readings
}

/** Ms since the epoch; Infinity: never. */
export function expiryOf ({ expiryField }: CollectionDefinition, document: Document): number {
  if (expiryField === undefined) return Infinity
  const expiresAt = (document as unknown as Record<string, unknown>)[expiryField]
  return typeof expiresAt === 'number' ? expiresAt : Infinity
}
