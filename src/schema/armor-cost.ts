import {
  getNamedType,
  getNullableType,
  isCompositeType,
  isInterfaceType,
  isListType,
  isObjectType,
  Kind,
  type ArgumentNode,
  type DocumentNode,
  type FieldNode,
  type FragmentDefinitionNode,
  type GraphQLNamedType,
  type GraphQLSchema,
  type OperationDefinitionNode,
  type SelectionSetNode
} from 'graphql'

/**
 * The cost of an operation before it runs: one point for each object it could return, with fragments written out and
 * list sizes multiplied. Values of an object (its scalars and enums) come with it.
 *
 * A page's size is known where its connection is (`first`), and used one level below (`nodes`, `edges`), perhaps in a
 * fragment: so the cost of a selection set is kept as a line, `fixed + perItem * size`, and each fragment is worked out
 * once, whoever spreads it.
 */
/** `first` when it is absent (connection.ts), */
const PAGE_DEFAULT = 20
/** objects of a list that takes no `first`: they are part of their parent's document in the store, */
const LIST_DEFAULT = 5
/** and of the whole introspection, which reads no store. */
const INTROSPECTION_POINTS = 50

interface Line { fixed: number, perItem: number }

type Variables = Readonly<Record<string, unknown>>

/** Points of the document's one operation, at least 1. The document has passed validation. */
export function costOf (schema: GraphQLSchema, document: DocumentNode, variables: Variables): number {
  let operation: OperationDefinitionNode | undefined
  const fragments = new Map<string, FragmentDefinitionNode>()
  for (const definition of document.definitions) {
    if (definition.kind === Kind.OPERATION_DEFINITION) operation = definition
    else if (definition.kind === Kind.FRAGMENT_DEFINITION) fragments.set(definition.name.value, definition)
  }
  if (operation === undefined) return 1
  const root = schema.getRootType(operation.operation)
  const known = new Map<string, Line>()
  const defaults = defaultsOf(operation)

  function set (node: SelectionSetNode, type: GraphQLNamedType | null | undefined): Line {
    const sum: Line = { fixed: 0, perItem: 0 }
    for (const selection of node.selections) {
      const part = selection.kind === Kind.FIELD
        ? field(selection, type)
        : selection.kind === Kind.INLINE_FRAGMENT
          ? set(
            selection.selectionSet,
            selection.typeCondition === undefined ? type : schema.getType(selection.typeCondition.name.value)
          )
          : fragment(selection.name.value)
      sum.fixed += part.fixed
      sum.perItem += part.perItem
    }
    return sum
  }

  function fragment (name: string): Line {
    const before = known.get(name)
    if (before !== undefined) return before
    const node = fragments.get(name)
    const line = node === undefined ? NOTHING : set(node.selectionSet, schema.getType(node.typeCondition.name.value))
    known.set(name, line)
    return line
  }

  function field (node: FieldNode, type: GraphQLNamedType | null | undefined): Line {
    const name = node.name.value
    if (name === '__schema' || name === '__type') return { fixed: INTROSPECTION_POINTS, perItem: 0 }
    const definition = isObjectType(type) || isInterfaceType(type) ? type.getFields()[name] : undefined
    if (definition === undefined) return NOTHING
    const below = getNamedType(definition.type)
    // A root's value is work of its own.
    if (!isCompositeType(below) || node.selectionSet === undefined) return type === root ? ONE : NOTHING
    const inner = set(node.selectionSet, below)
    const pages = definition.args.some((argument) => argument.name === 'first')
    const size = pages ? pageSizeOf(node.arguments) : PAGE_DEFAULT
    const each = 1 + inner.fixed + inner.perItem * size
    if (!isListType(getNullableType(definition.type))) return { fixed: each, perItem: 0 }
    if (type?.name.endsWith('Connection') === true) return { fixed: 0, perItem: each }
    return { fixed: each * (pages ? size : listSizeOf(node.arguments) ?? LIST_DEFAULT), perItem: 0 }
  }

  function pageSizeOf (given: readonly ArgumentNode[] | undefined): number {
    const value = given?.find((argument) => argument.name.value === 'first')?.value
    if (value?.kind === Kind.INT) return bounded(Number(value.value))
    if (value?.kind === Kind.VARIABLE) return bounded(variables[value.name.value] ?? defaults.get(value.name.value))
    return PAGE_DEFAULT
  }

  /** A list that goes in comes out (`assess`). */
  function listSizeOf (given: readonly ArgumentNode[] | undefined): number | null {
    for (const { value } of given ?? []) {
      if (value.kind === Kind.LIST) return value.values.length
      if (value.kind === Kind.VARIABLE) {
        const list = variables[value.name.value]
        if (Array.isArray(list)) return list.length
      }
    }
    return null
  }

  return root === undefined ? 1 : Math.max(1, set(operation.selectionSet, root).fixed)
}

/**
 * The cost of an operation after it ran, counted on its result: one point for each object, at least 1, at
 * most what it was charged. Counting ends there, so that it costs no more than the answer that was paid for.
 */
export function usedPoints (data: unknown, charged: number): number {
  let points = 0
  const count = (value: unknown, isRoot: boolean): void => {
    if (points >= charged) return
    if (Array.isArray(value)) {
      for (const item of value) count(item, isRoot)
    } else if (typeof value === 'object' && value !== null) {
      points++
      for (const name in value) count((value as Record<string, unknown>)[name], false)
    } else if (isRoot) points++
  }
  for (const value of Object.values(data ?? {})) count(value, true)
  return Math.min(charged, Math.max(1, points))
}

const NOTHING: Line = Object.freeze({ fixed: 0, perItem: 0 })
const ONE: Line = Object.freeze({ fixed: 1, perItem: 0 })

/** A value that is no page size is refused by the resolver; here it must not lower the cost. */
function bounded (first: unknown): number {
  return typeof first === 'number' && Number.isInteger(first) && first > 0 ? first : PAGE_DEFAULT
}

function defaultsOf (operation: OperationDefinitionNode): Map<string, number> {
  const defaults = new Map<string, number>()
  for (const { variable, defaultValue } of operation.variableDefinitions ?? []) {
    if (defaultValue?.kind === Kind.INT) defaults.set(variable.name.value, Number(defaultValue.value))
  }
  return defaults
}
