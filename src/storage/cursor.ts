import { NEKO_ERR_CURSOR_INVALID } from '../errors.ts'
import type { Document, Scalar } from './port.ts'
import { valueAt } from './definition.ts'

/**
 * Cursors of both adapters: base64url of `[sort, values, id]`. Opaque to callers, yet readable by us, so that any
 * process can serve the next page. They carry nothing that the page did not show, and are judged like any input.
 */
export interface Position { values: Scalar[], id: string }
type Sort = Array<[field: string, direction: 1 | -1]>

const CURSOR_CHARACTERS_MAX = 4096

/** An opaque text that says where in this sort the document stands. */
export function makeCursor (sort: Sort, doc: Document): string {
  const values = sort.map(([field]) => valueAt(doc, field) ?? null)
  return Buffer.from(JSON.stringify([sortName(sort), values, doc.id])).toString('base64url')
}

/** @throws NEKO_ERR_CURSOR_INVALID for anything that makeCursor did not make for this sort. */
export function readCursor (sort: Sort, cursor: string): Position {
  try {
    if (
      typeof cursor !== 'string' || cursor.length > CURSOR_CHARACTERS_MAX || !/^[A-Za-z0-9_-]+$/.test(cursor)
    ) {
      throw new Error('shape')
    }
    const [name, values, id] = JSON.parse(Buffer.from(cursor, 'base64url').toString()) as [unknown, unknown, unknown]
    if (
      name !== sortName(sort) || typeof id !== 'string' || !Array.isArray(values) ||
      values.length !== sort.length || !values.every(isScalar)
    ) {
      throw new Error('content')
    }
    return { values, id }
  } catch (cause) {
    throw Object.assign(new NEKO_ERR_CURSOR_INVALID(), { cause })
  }
}

function sortName (sort: Sort): string {
  return sort.map(([field, direction]) => (direction === 1 ? '+' : '-') + field).join()
}

function isScalar (value: unknown): value is Scalar {
  return value === null || ['string', 'number', 'boolean'].includes(typeof value)
}
