import { NEKO_ERR_INPUT_INVALID } from '../errors.ts'
import type { CollectionDefinition, Condition, Document, FindOptions, Scalar, Where } from './port.ts'

/**
 * Checks of both adapters before a driver sees anything: names of collections, fields and indexes, conditions and
 * limits. Operators never get through: a condition is a scalar or one of the port's own shapes, copied by key,
 * and a field name cannot hold a `$`.
 */
export const DOCUMENT_BYTES_MAX = 4 * 1024 * 1024
const BATCH_DOCUMENTS_MAX = 1000
const DELETE_DOCUMENTS_MAX = 10_000
const FIRST_MAX = 1000
const IN_MAX = 1000
const ID_CHARACTERS_MAX = 256
const CONDITIONS_MAX = 16
const STRING_CHARACTERS_MAX = 8192

const FIELD = /^[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*$/
const NAME = /^[A-Za-z][A-Za-z0-9_-]{0,47}$/

/** One condition, taken apart: an adapter only has to translate it. */
export type Test =
  | { kind: 'equal', value: Scalar }
  | { kind: 'notEqual', value: Scalar }
  | { kind: 'in', values: Scalar[] }
  | { kind: 'range', bounds: Array<['gt' | 'gte' | 'lt' | 'lte', string | number]> }
  | { kind: 'contains', text: string }

/** @throws NEKO_ERR_INPUT_INVALID */
function checkField (field: string): string {
  if (typeof field !== 'string' || field.length > 64 || !FIELD.test(field)) {
    throw new NEKO_ERR_INPUT_INVALID('a field name is not allowed')
  }
  return field
}

/** @throws NEKO_ERR_INPUT_INVALID A mistake of a programmer: seen at the first start. */
export function checkDefinition (definition: CollectionDefinition): void {
  const names = new Set<string>()
  for (const index of definition.indexes) {
    if (
      !NAME.test(index.name) || names.has(index.name) || index.fields.length === 0 || index.fields.length > 4
    ) {
      throw new NEKO_ERR_INPUT_INVALID(`index ${definition.name}.${index.name} is not well defined`)
    }
    names.add(index.name)
    for (const [field] of index.fields) checkField(field)
  }
  if (!NAME.test(definition.name)) throw new NEKO_ERR_INPUT_INVALID('a collection name is not allowed')
  if (definition.expiryField !== undefined) checkField(definition.expiryField)
}

/** @throws NEKO_ERR_INPUT_INVALID */
export function checkId (id: unknown): string {
  if (typeof id !== 'string' || id === '' || id.length > ID_CHARACTERS_MAX) {
    throw new NEKO_ERR_INPUT_INVALID(`an id must be a text of 1 to ${ID_CHARACTERS_MAX} characters`)
  }
  return id
}

/** @throws NEKO_ERR_INPUT_INVALID */
export function checkIds (ids: string[]): string[] {
  if (ids.length > BATCH_DOCUMENTS_MAX) throw new NEKO_ERR_INPUT_INVALID(`at most ${BATCH_DOCUMENTS_MAX} ids`)
  return ids.map(checkId)
}

/** @throws NEKO_ERR_INPUT_INVALID */
export function checkFirst (first: number): number {
  if (!Number.isInteger(first) || first < 1 || first > FIRST_MAX) {
    throw new NEKO_ERR_INPUT_INVALID(`first must be 1 to ${FIRST_MAX}`)
  }
  return first
}

/** @throws NEKO_ERR_INPUT_INVALID */
export function checkSort (sort: FindOptions['sort']): Array<[string, 1 | -1]> {
  const fields = sort ?? []
  if (fields.length > 2) throw new NEKO_ERR_INPUT_INVALID('a sort takes at most two fields')
  return fields.map(([field, direction]) => [checkField(field), direction === -1 ? -1 : 1])
}

/** @throws NEKO_ERR_INPUT_INVALID */
export function checkBatch (docs: Document[]): void {
  if (docs.length > BATCH_DOCUMENTS_MAX) {
    throw new NEKO_ERR_INPUT_INVALID(`a batch takes at most ${BATCH_DOCUMENTS_MAX} documents`)
  }
  for (const doc of docs) checkId(doc.id)
}

/** @throws NEKO_ERR_INPUT_INVALID */
export function checkDeleteLimit (limit: number): number {
  if (!Number.isInteger(limit) || limit < 1 || limit > DELETE_DOCUMENTS_MAX) {
    throw new NEKO_ERR_INPUT_INVALID(`limit must be 1 to ${DELETE_DOCUMENTS_MAX}`)
  }
  return limit
}

/**
 * Conditions as a list of tests.
 *
 * @throws NEKO_ERR_INPUT_INVALID
 */
export function readWhere (where: Where | undefined): Array<[field: string, test: Test]> {
  const entries = Object.entries(where ?? {})
  if (entries.length > CONDITIONS_MAX) throw new NEKO_ERR_INPUT_INVALID(`at most ${CONDITIONS_MAX} conditions`)
  return entries.flatMap(([field, condition]) =>
    condition === undefined ? [] : [[checkField(field), readCondition(field, condition)] as [string, Test]]
  )
}

function readCondition (field: string, condition: Condition): Test {
  if (isScalar(condition)) return { kind: 'equal', value: condition }
  const bad = new NEKO_ERR_INPUT_INVALID(`the condition on ${field} is not allowed`)
  if (typeof condition !== 'object' || Array.isArray(condition)) throw bad
  const keys = Object.keys(condition)
  const given = condition as Record<string, unknown>
  if (keys.length === 1 && keys[0] === 'ne' && isScalar(given.ne)) return { kind: 'notEqual', value: given.ne }
  if (
    keys.length === 1 && keys[0] === 'in' && Array.isArray(given.in) && given.in.length <= IN_MAX &&
    given.in.every(isScalar)
  ) {
    return { kind: 'in', values: given.in }
  }
  if (keys.length === 1 && keys[0] === 'contains' && isSearch(given.contains)) {
    return { kind: 'contains', text: given.contains }
  }
  const bounds = keys.filter((key) => given[key] !== undefined).map((key) => {
    if (!isRangeKey(key) || !isOrdered(given[key])) throw bad
    return [key, given[key]] as ['gt' | 'gte' | 'lt' | 'lte', string | number]
  })
  if (keys.length === 0) throw bad
  return { kind: 'range', bounds }
}

function isScalar (value: unknown): value is Scalar {
  return value === null || typeof value === 'boolean' || (typeof value === 'number' && Number.isFinite(value)) ||
    (typeof value === 'string' && value.length <= STRING_CHARACTERS_MAX)
}

function isOrdered (value: unknown): value is string | number {
  return isScalar(value) && (typeof value === 'string' || typeof value === 'number')
}

function isRangeKey (key: string): boolean {
  return key === 'gt' || key === 'gte' || key === 'lt' || key === 'lte'
}

function isSearch (value: unknown): value is string {
  return typeof value === 'string' && value.length >= 1 && value.length <= 200
}

/** The scalar at a dotted path through objects; null when there is none, undefined when something else stands there. */
export function valueAt (doc: object, path: string): Scalar | undefined {
  let value: unknown = doc
  for (const key of path.split('.')) {
    if (typeof value !== 'object' || value === null || Array.isArray(value) || !Object.hasOwn(value, key)) return null
    value = (value as Record<string, unknown>)[key]
  }
  if (value === undefined) return null
  return isScalar(value) || typeof value === 'string' ? value as Scalar : undefined
}

/** The document without the adapter's own field, so that what is stored holds one truth about the revision. */
export function withoutRevision<T extends Document> (doc: T): T {
  if (!('revision' in doc)) return doc
  const { revision: _revision, ...rest } = doc as T & { revision: number }
  return rest as unknown as T
}
