import type { Json } from '../std/json.ts'
import { NEKO_ERR_INPUT_INVALID } from '../errors.ts'
import type { CollectionDefinition, Document, Stored } from './port.ts'
import { DOCUMENT_BYTES_MAX, valueAt, withoutRevision } from './definition.ts'

/**
 * How a document lies in MongoDB. Pure. The document itself is under `doc`, ours are beside it, so that replacing it
 * is one `$set` and no field of a room can meet one of ours:
 *
 * - `revision`: compare-and-set. `write`: the name of the last write, by which a write whose reply was lost recognises
 * itself.
 * - `unique`: one text per unique index. A sparse index on it leaves out documents without the value, which on the
 *   field itself only a partial index could, and FerretDB has none.
 * - `expires`: the expiry as a date, the only thing that a TTL index understands.
 */
export interface Record {
  _id: string
  doc: { [key: string]: Json }
  revision: number
  write: string
  unique?: { [name: string]: string }
  expires?: Date
}

/** The fields that a change sets and removes; `revision` is the caller's. */
export interface Change { set: Omit<Record, '_id' | 'revision'>, unset: { unique?: '', expires?: '' } }

/** @throws NEKO_ERR_INPUT_INVALID for documents above 4 MiB. */
export function toChange (definition: CollectionDefinition, given: Document, write: string): Change {
  const text = JSON.stringify(withoutRevision(given))
  if (text.length > DOCUMENT_BYTES_MAX) throw new NEKO_ERR_INPUT_INVALID('the document is larger than 4 MiB')
  const { id: _id, ...doc } = JSON.parse(text) as { [key: string]: Json }
  const unique = uniqueKeys(definition, given)
  const expiresAt = definition.expiryField === undefined ? null : valueAt(given, definition.expiryField)
  const change: Change = { set: { doc: mapKeys(doc, encodeKey) as Record['doc'], write }, unset: {} }
  if (unique === null) change.unset.unique = ''
  else change.set.unique = unique
  if (typeof expiresAt === 'number') change.set.expires = new Date(expiresAt)
  else change.unset.expires = ''
  return change
}

/** A new document at revision 1. */
export function toRecord (definition: CollectionDefinition, given: Document, write: string): Record {
  return { _id: given.id, revision: 1, ...toChange(definition, given, write).set }
}

/** As callers see it: their document with its id and revision. */
export function fromRecord<T extends Document> (record: Record): Stored<T> {
  return {
    id: record._id,
    ...mapKeys(record.doc, decodeKey) as object,
    revision: record.revision
  } as unknown as Stored<T>
}

/** One text per unique index whose first field is there; null when there is none. */
export function uniqueKeys (definition: CollectionDefinition, doc: Document): { [name: string]: string } | null {
  const keys: { [name: string]: string } = {}
  for (const index of definition.indexes) {
    if (index.unique !== true || (valueAt(doc, index.fields[0]![0]) ?? null) === null) continue
    keys[index.name] = JSON.stringify(index.fields.map(([field]) => valueAt(doc, field) ?? null))
  }
  return Object.keys(keys).length === 0 ? null : keys
}

/** Keys that MongoDB or FerretDB refuse ($ in front, dots, NUL, and the prototype) are percent-encoded, and so is %. */
function encodeKey (key: string): string {
  if (key === '__proto__') return '%5F_proto__'
  return key.replace(
    /[%.\0]|^\$/g,
    (character) => '%' + character.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')
  )
}

function decodeKey (key: string): string {
  return key.includes('%')
    ? key.replace(/%(25|2E|00|24|5F)/g, (_, code: string) => String.fromCharCode(parseInt(code, 16)))
    : key
}

function mapKeys (value: Json, rename: (key: string) => string): Json {
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map((item) => mapKeys(item, rename))
  const mapped: { [key: string]: Json } = {}
  for (const key of Object.keys(value)) {
    const name = rename(key)
    // Defined, not assigned: a key named __proto__ would change the object instead of becoming a field of it.
    if (name === '__proto__') {
      Object.defineProperty(mapped, name, {
        value: mapKeys(value[key]!, rename),
        enumerable: true,
        writable: true,
        configurable: true
      })
    } else mapped[name] = mapKeys(value[key]!, rename)
  }
  return mapped
}
