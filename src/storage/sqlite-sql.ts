import type { CollectionDefinition, IndexDefinition, Scalar, Where } from './port.ts'
import { readWhere, type Test } from './definition.ts'
import type { Position } from './cursor.ts'

/**
 * The port's conditions, sorts and indexes as SQL. Pure: text and parameters out, nothing is run here.
 *
 * One table per collection: id, revision, doc (JSON text). Fields are expressions on the text, and an index is on the
 * same expression, letter by letter, or the planner does not use it. Field and collection names were checked
 * (definition.ts) before they are put into SQL; every value travels as a parameter.
 */
export interface Sql { text: string, params: SqlValue[] }
type SqlValue = string | number | null
type Sort = Array<[field: string, direction: 1 | -1]>

/** Quoted; names of collections were checked by checkDefinition. */
export function tableName (definition: CollectionDefinition): string {
  return `"c_${definition.name}"`
}

/** The expression that reads a field of `row`, and that indexes are made on. Field names were checked by checkField. */
export function fieldSql (field: string, row = 'doc'): string {
  if (row === 'doc' && (field === 'id' || field === 'revision')) return field
  return `json_extract(${row},'${jsonPath(field)}')`
}

function jsonPath (field: string): string {
  return '$.' + field.split('.').map((key) => `"${key}"`).join('.')
}

function typeSql (field: string): string {
  return field === 'id' || field === 'revision'
    ? `'${field === 'id' ? 'text' : 'integer'}'`
    : `json_type(doc,'${jsonPath(field)}')`
}

/** Visible now: the parameter is the wall clock. The unary plus keeps the planner from walking the expiry index. */
function visibleSql (definition: CollectionDefinition): string | null {
  if (definition.expiryField === undefined) return null
  const field = fieldSql(definition.expiryField)
  return `(+${field} IS NULL OR +${field} > ?)`
}

/** WHERE clause of visible documents that pass all conditions ('1' when nothing is asked). */
export function whereSql (definition: CollectionDefinition, where: Where | undefined, nowMs: number): Sql {
  const parts: string[] = []
  const params: SqlValue[] = []
  for (const [field, test] of readWhere(where)) {
    const sql = testSql(field, test)
    parts.push(sql.text)
    params.push(...sql.params)
  }
  const visible = visibleSql(definition)
  if (visible !== null) {
    parts.push(visible)
    params.push(nowMs)
  }
  return { text: parts.length === 0 ? '1' : parts.join(' AND '), params }
}

function testSql (field: string, test: Test): Sql {
  const expression = fieldSql(field)
  switch (test.kind) {
    case 'equal': return inSql(field, [test.value])
    case 'in': return inSql(field, test.values)
    case 'notEqual': return notEqualSql(field, test.value)
    case 'contains':
      return { text: `(instr(${expression}, ?) > 0 AND ${typeSql(field)} = 'text')`, params: [test.text] }
    case 'range': return rangeSql(field, test.bounds)
  }
}

const OPERATORS = { gt: '>', gte: '>=', lt: '<', lte: '<=' } as const

/**
 * Text and numbers are compared with their own kind only, as MongoDB does; SQLite would put every text above
 * every number.
 */
function rangeSql (field: string, bounds: Array<['gt' | 'gte' | 'lt' | 'lte', string | number]>): Sql {
  const expression = fieldSql(field)
  const texts = bounds.map(([operator, value]) =>
    `${expression} ${OPERATORS[operator]} ? AND ${kindGuard(field, typeof value === 'string')}`
  )
  return { text: texts.length === 0 ? '1' : `(${texts.join(' AND ')})`, params: bounds.map(([, value]) => value) }
}

function kindGuard (field: string, text: boolean): string {
  return text ? `${typeSql(field)} = 'text'` : `${typeSql(field)} IN ('integer','real')`
}

/** JSON true reads as 1 and an array as its text: the guard keeps them apart from the number and the string. */
function inSql (field: string, values: Scalar[]): Sql {
  const expression = fieldSql(field)
  const groups: Sql[] = []
  if (values.includes(null)) groups.push({ text: `${expression} IS NULL`, params: [] })
  const truths = values.filter((value) => typeof value === 'boolean')
  for (const truth of new Set(truths)) {
    groups.push({ text: `(${expression} = ? AND ${typeSql(field)} = '${truth}')`, params: [truth ? 1 : 0] })
  }
  const plain = values.filter((value) => typeof value === 'string' || typeof value === 'number') as Array<
    string | number
  >
  if (plain.length === 1) groups.push({ text: `(${expression} = ?${guardFor(field, plain)})`, params: plain })
  if (plain.length > 1) {
    groups.push({
      text: `(${expression} IN (SELECT value FROM json_each(?))${guardFor(field, plain)})`,
      params: [JSON.stringify(plain)]
    })
  }
  if (groups.length === 0) return { text: '0', params: [] }
  return {
    text: groups.length === 1 ? groups[0]!.text : `(${groups.map((group) => group.text).join(' OR ')})`,
    params: groups.flatMap((group) => group.params)
  }
}

/** Only where the value could be mistaken: 0 and 1 for booleans, a leading bracket for a container's text. */
function guardFor (field: string, values: Array<string | number>): string {
  return values.some(isMistakable) ? ` AND ${typeSql(field)} IN ('text','integer','real')` : ''
}

function isMistakable (value: Scalar): boolean {
  return value === 0 || value === 1 || (typeof value === 'string' && /^[[{]/.test(value))
}

function notEqualSql (field: string, value: Scalar): Sql {
  const container = `coalesce(${typeSql(field)},'null') NOT IN ('array','object')`
  const same = inSql(field, [value])
  return { text: `(NOT coalesce(${same.text}, 0) AND ${container})`, params: same.params }
}

/** ORDER BY with the id as the last word, in the direction of the last field. */
export function orderSql (sort: Sort): string {
  const parts = sort.filter(([field]) => field !== 'id').map(([field, direction]) =>
    `${fieldSql(field)} ${direction === 1 ? 'ASC' : 'DESC'}`
  )
  return [...parts, `id ${idDirection(sort) === 1 ? 'ASC' : 'DESC'}`].join(', ')
}

function idDirection (sort: Sort): 1 | -1 {
  return sort.at(-1)?.[1] ?? 1
}

/**
 * Rows behind a cursor. `bound` is a plain comparison on the first field, which lets the planner start in the
 * middle of an index; `rest` is exact. Descending over a field that may be null, the nulls come last and `bound`
 * would lose them: they are the second, separate `tail`.
 */
export function afterSql (sort: Sort, position: Position): { head: Sql | null, tail: Sql | null } {
  const fields: Sort = [...sort.filter(([field]) => field !== 'id'), ['id', idDirection(sort)]]
  const values = [...sort.flatMap(([field], i) => field === 'id' ? [] : [sqlValue(position.values[i]!)]), position.id]
  const rest = restSql(fields, values)
  const [first, direction] = fields[0]!
  const value = values[0]!
  const expression = fieldSql(first)
  if (value === null) {
    if (direction === -1) {
      return { head: null, tail: { text: `${expression} IS NULL AND ${rest.text}`, params: rest.params } }
    }
    return { head: rest, tail: null }
  }
  const head = {
    text: `${expression} ${direction === 1 ? '>=' : '<='} ? AND ${rest.text}`,
    params: [value, ...rest.params]
  }
  return { head, tail: direction === -1 && first !== 'id' ? { text: `${expression} IS NULL`, params: [] } : null }
}

function restSql (fields: Sort, values: SqlValue[]): Sql {
  const alternatives = fields.map((_, last) => {
    const parts = fields.slice(0, last + 1).map(([field, direction], i) =>
      i < last ? `+${fieldSql(field)} IS ?` : beyondSql(field, direction, values[i]!)
    )
    return `(${parts.join(' AND ')})`
  })
  const params = fields.flatMap((_, last) => values.slice(0, last).concat(values[last] === null ? [] : [values[last]!]))
  return { text: `(${alternatives.join(' OR ')})`, params }
}

/** Nulls sort first ascending and last descending, in SQLite as in MongoDB. */
function beyondSql (field: string, direction: 1 | -1, value: SqlValue): string {
  const expression = `+${fieldSql(field)}`
  if (direction === 1) return value === null ? `${expression} IS NOT NULL` : `${expression} > ?`
  return value === null ? '0' : `(${expression} < ? OR ${expression} IS NULL)`
}

function sqlValue (value: Scalar): SqlValue {
  return typeof value === 'boolean' ? Number(value) : value
}

/**
 * Statements that create an index. A unique index of several fields is two: a plain one for the planner, and one that
 * folds nulls of the later fields into a value, because SQLite takes every NULL for different from every other.
 */
export function indexSql (
  definition: CollectionDefinition,
  index: IndexDefinition
): Array<{ name: string, text: string }> {
  const table = tableName(definition)
  const name = `i_${definition.name}_${index.name}`
  const columns = index.fields.map(([field, direction]) =>
    `${fieldSql(field)}${direction === -1 ? ' DESC' : ''}`
  ).join(', ')
  const first = fieldSql(index.fields[0]![0])
  if (index.unique !== true) {
    return [{
      name,
      text: `CREATE INDEX "${name}" ON ${table} (${columns}, id${index.fields.at(-1)![1] === -1 ? ' DESC' : ''})`
    }]
  }
  if (index.fields.length === 1) {
    return [{
      name,
      text: `CREATE UNIQUE INDEX "${name}" ON ${table} (${columns}) WHERE ${first} IS NOT NULL`
    }]
  }
  const folded = index.fields.map(([field], i) =>
    i === 0 ? fieldSql(field) : `coalesce(${fieldSql(field)}, x'00')`
  ).join(', ')
  return [
    { name, text: `CREATE INDEX "${name}" ON ${table} (${columns})` },
    {
      name: `${name}__unique`,
      text: `CREATE UNIQUE INDEX "${name}__unique" ON ${table} (${folded}) WHERE ${first} IS NOT NULL`
    }
  ]
}
