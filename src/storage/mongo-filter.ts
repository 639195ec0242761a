import type { Filter, Sort } from 'mongodb'
import { type Test, readWhere } from './definition.ts'
import type { Position } from './cursor.ts'
import type { CollectionDefinition, Scalar, Where } from './port.ts'
import type { Record } from './mongo-document.ts'

/**
 * The port's conditions and sorts as MongoDB filters. Pure. Every operator in them is written here: the values of
 * callers become operands, never keys, and arrays are kept out, because MongoDB would match their elements.
 */
type Fields = Array<[field: string, direction: 1 | -1]>

/** Where a field of the port stands in the record. */
export function fieldPath (field: string): string {
  return field === 'id' ? '_id' : field === 'revision' ? 'revision' : `doc.${field}`
}

/** Documents that have not expired; null where the collection knows no expiry. */
export function visibleFilter (definition: CollectionDefinition, nowMs: number): Filter<Record> | null {
  return definition.expiryField === undefined
    ? null
    : { $or: [{ expires: { $exists: false } }, { expires: { $gt: new Date(nowMs) } }] }
}

/**
 * Conditions of the port, and that nothing expired is seen.
 *
 * @throws NEKO_ERR_INPUT_INVALID
 */
export function whereFilter (
  definition: CollectionDefinition,
  where: Where | undefined,
  nowMs: number
): Filter<Record> {
  const parts: Array<Filter<Record>> = readWhere(where).map(([field, test]) => ({
    [fieldPath(field)]: testFilter(field, test)
  }))
  const visible = visibleFilter(definition, nowMs)
  if (visible !== null) parts.push(visible)
  return allOf(parts)
}

/** Filters that must all hold; none hold always. */
export function allOf (parts: Array<Filter<Record>>): Filter<Record> {
  return parts.length === 0 ? {} : parts.length === 1 ? parts[0]! : { $and: parts }
}

function testFilter (field: string, test: Test): object {
  const own = field === 'id' || field === 'revision' ? {} : { $not: { $type: 'array' } }
  switch (test.kind) {
    case 'equal': return { $eq: test.value, ...own }
    case 'in': return { $in: test.values, ...own }
    case 'notEqual':
      return {
        $ne: test.value,
        ...(field === 'id' || field === 'revision' ? {} : { $not: { $type: ['array', 'object'] } })
      }
    case 'contains': return { $regex: test.text.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&'), ...own }
    case 'range':
      return {
        ...Object.fromEntries(test.bounds.map(([operator, value]) => [`$${operator}`, value])),
        ...own
      }
  }
}

/** The sort with the id behind it, so that no two documents stand in one place. */
export function toSort (sort: Fields): Sort {
  const fields = sort.filter(([field]) => field !== 'id').map(([field, direction]) =>
    [fieldPath(field), direction] as [string, 1 | -1]
  )
  return [...fields, ['_id', sort.at(-1)?.[1] ?? 1]]
}

/** Documents behind a cursor: beyond in the first field, or equal there and beyond in the next, and so on. */
export function afterFilter (sort: Fields, position: Position): Filter<Record> {
  const fields: Fields = [...sort.filter(([field]) => field !== 'id'), ['id', sort.at(-1)?.[1] ?? 1]]
  const values: Scalar[] = [...sort.flatMap(([field], i) => field === 'id' ? [] : [position.values[i]!]), position.id]
  const alternatives = fields.flatMap(([field, direction], last) => {
    const beyond = beyondFilter(field, direction, values[last]!)
    if (beyond === null) return []
    return [
      allOf([
        ...fields.slice(0, last).map(([before], i) =>
          ({ [fieldPath(before)]: values[i]! }) as Filter<Record>
        ),
        beyond
      ])
    ]
  })
  return { $or: alternatives }
}

/** Nulls sort first ascending and last descending; null when nothing lies beyond. */
function beyondFilter (field: string, direction: 1 | -1, value: Scalar): Filter<Record> | null {
  const path = fieldPath(field)
  if (direction === 1) {
    return (value === null ? { [path]: { $ne: null } } : { [path]: { $gt: value } }) as Filter<Record>
  }
  if (value === null) return null
  return { $or: [{ [path]: { $lt: value } }, { [path]: null }] } as Filter<Record>
}
