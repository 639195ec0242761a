import {
  Kind,
  type DirectiveNode,
  type DocumentNode,
  type FragmentDefinitionNode,
  type OperationDefinitionNode,
  type SelectionSetNode,
  type ValueNode
} from 'graphql'
import {
  NEKO_ERR_INPUT_INVALID,
  NEKO_ERR_KEY_FORBIDDEN,
  NEKO_ERR_QUERY_TOO_DEEP,
  NEKO_ERR_QUERY_TOO_LARGE
} from '../errors.ts'
import { isPrototypeKey } from '../std/keys.ts'

/**
 * Bounds and forbidden forms of a document, checked between its parse and its validation.
 *
 * Owns: the bounds of a document's text and shape. Never does: know the schema or the caller. In: a source, then its
 * document. Out: nothing, or a refusal.
 *
 * Why before validation: graphql-js compares every pair of fields that could overlap, and fragments that
 * spread each other in a circle overflow its stack there. Why by sums per fragment: a document of fifty
 * fragments that each spread the next twice has 2^50 fields when it is written out; each fragment is measured
 * once, so that counting takes linear time. Equal fields count each, because they are compared before they
 * merge. What passed is cached by mercurius under its text: a cached document passed here once, and the
 * bounds do not change while the process lives.
 */
export const ARMOR = Object.freeze({
  /** Of the lexer: refused while parsing. */
  tokens: 1000,
  depth: 8,
  aliases: 30,
  rootFields: 10,
  directives: 50,
  /** With fragments written out: what a small document of many fragments can become. */
  fields: 1000,
  /** Lists and objects within literals. */
  literalDepth: 16,
  /** The standard introspection query has 15; it does not count as depth. */
  introspectionDepth: 20
})

/** Sums of a selection set with its fragments written out. */
interface Measure {
  depth: number
  introspectionDepth: number
  aliases: number
  directives: number
  fields: number
  /** Fields at its own level. */
  siblings: number
}

const NOTHING: Measure = Object.freeze({
  depth: 0,
  introspectionDepth: 0,
  aliases: 0,
  directives: 0,
  fields: 0,
  siblings: 0
})

/**
 * mercurius parses a source that is no GraphQL as JSON: an AST that skipped the lexer's bound.
 * @throws NEKO_ERR_INPUT_INVALID for whatever JSON could be
 */
export function refuseJsonSource (source: string): void {
  if (/^\s*(?:\{\s*["}]|["[\d-]|(?:null|true|false)\b)/.test(source)) {
    throw new NEKO_ERR_INPUT_INVALID('query must be a GraphQL document as text')
  }
}

/**
 * Runs once per distinct document, before validation.
 * @throws NEKO_ERR_INPUT_INVALID, NEKO_ERR_KEY_FORBIDDEN, NEKO_ERR_QUERY_TOO_DEEP, NEKO_ERR_QUERY_TOO_LARGE
 */
export function refuseDocument (document: DocumentNode): void {
  const { operation, fragments } = partsOf(document)
  const measureOf = createMeter(fragments)
  // Fragments that nothing spreads are validated too.
  for (const [name, { typeCondition }] of fragments) {
    const part = measureOf.fragment(name)
    // A fragment on a type of the introspection can be spread nowhere else.
    refuseMeasure(
      typeCondition.name.value.startsWith('__') ? { ...part, depth: 0, introspectionDepth: part.depth } : part
    )
  }
  const measure = measureOf.set(operation.selectionSet)
  measure.directives += directivesOf(operation.directives) +
    (operation.variableDefinitions ?? []).reduce((sum, { directives, defaultValue }) => {
      if (defaultValue !== undefined) refuseLiteral(defaultValue, 1)
      return sum + directivesOf(directives)
    }, 0)
  refuseMeasure(measure)
  if (measure.siblings > ARMOR.rootFields) {
    throw new NEKO_ERR_QUERY_TOO_LARGE(`${shown(measure.siblings)} root fields, ${ARMOR.rootFields}`)
  }
}

/**
 * One operation per document: mercurius' compiled queries are kept by source text alone, so that of two
 * operations in one document the second would get the first one's data.
 */
function partsOf (
  document: DocumentNode
): { operation: OperationDefinitionNode, fragments: Map<string, FragmentDefinitionNode> } {
  const fragments = new Map<string, FragmentDefinitionNode>()
  let operation: OperationDefinitionNode | null = null
  for (const definition of document.definitions) {
    if (definition.kind === Kind.FRAGMENT_DEFINITION) {
      if (fragments.has(definition.name.value)) throw new NEKO_ERR_INPUT_INVALID('Two fragments have one name')
      fragments.set(definition.name.value, definition)
    } else if (definition.kind !== Kind.OPERATION_DEFINITION) {
      throw new NEKO_ERR_INPUT_INVALID('A document holds an operation and fragments, no definitions of types')
    } else if (operation !== null) throw new NEKO_ERR_INPUT_INVALID('A document may hold one operation')
    else operation = definition
  }
  if (operation === null) throw new NEKO_ERR_INPUT_INVALID('The document holds no operation')
  return { operation, fragments }
}

function createMeter (
  fragments: Map<string, FragmentDefinitionNode>
): { set (node: SelectionSetNode): Measure, fragment (name: string): Measure } {
  const known = new Map<string, Measure | null>()

  function fragment (name: string): Measure {
    const before = known.get(name)
    if (before === null) throw new NEKO_ERR_INPUT_INVALID('A fragment spreads itself')
    if (before !== undefined) return before
    const node = fragments.get(name)
    // Validation says which one is missing.
    if (node === undefined) return NOTHING
    known.set(name, null)
    const measure = set(node.selectionSet)
    measure.directives += directivesOf(node.directives)
    known.set(name, measure)
    return measure
  }

  // Recursion is bounded by the lexer: a thousand tokens nest some five hundred sets.
  function set (node: SelectionSetNode): Measure {
    const sum = { ...NOTHING }
    for (const selection of node.selections) {
      sum.directives += directivesOf(selection.directives)
      if (selection.kind === Kind.FRAGMENT_SPREAD) add(sum, fragment(selection.name.value))
      else if (selection.kind === Kind.INLINE_FRAGMENT) add(sum, set(selection.selectionSet))
      else {
        const name = selection.name.value
        if (selection.alias !== undefined) {
          sum.aliases++
          // A key of the answer, which compiled queries write as a literal.
          if (isPrototypeKey(selection.alias.value)) throw new NEKO_ERR_KEY_FORBIDDEN()
        }
        refuseArguments(selection.arguments)
        sum.fields++
        sum.siblings++
        const below = selection.selectionSet === undefined ? NOTHING : set(selection.selectionSet)
        nest(sum, below, name === '__schema' || name === '__type')
      }
    }
    return sum
  }

  return { set, fragment }
}

/** A spread: its fields stand among the others. */
function add (sum: Measure, part: Measure): void {
  sum.depth = Math.max(sum.depth, part.depth)
  sum.introspectionDepth = Math.max(sum.introspectionDepth, part.introspectionDepth)
  sum.siblings += part.siblings
  sum.aliases += part.aliases
  sum.directives += part.directives
  sum.fields += part.fields
}

/** A field: its selections stand one level lower. Below introspection fields depth is counted apart. */
function nest (sum: Measure, below: Measure, isIntrospection: boolean): void {
  if (isIntrospection) sum.introspectionDepth = Math.max(sum.introspectionDepth, below.depth + 1)
  else {
    sum.depth = Math.max(sum.depth, below.depth + 1)
    sum.introspectionDepth = Math.max(sum.introspectionDepth, below.introspectionDepth)
  }
  sum.aliases += below.aliases
  sum.directives += below.directives
  sum.fields += below.fields
}

function refuseMeasure ({ depth, introspectionDepth, aliases, directives, fields }: Measure): void {
  if (depth > ARMOR.depth || introspectionDepth > ARMOR.introspectionDepth) {
    throw new NEKO_ERR_QUERY_TOO_DEEP(String(ARMOR.depth))
  }
  if (aliases > ARMOR.aliases) throw new NEKO_ERR_QUERY_TOO_LARGE(`${shown(aliases)} aliases, ${ARMOR.aliases}`)
  if (directives > ARMOR.directives) {
    throw new NEKO_ERR_QUERY_TOO_LARGE(`${shown(directives)} directives, ${ARMOR.directives}`)
  }
  if (fields > ARMOR.fields) throw new NEKO_ERR_QUERY_TOO_LARGE(`${shown(fields)} fields, ${ARMOR.fields}`)
}

function directivesOf (directives: readonly DirectiveNode[] = []): number {
  for (const directive of directives) refuseArguments(directive.arguments)
  return directives.length
}

function refuseArguments (given: ReadonlyArray<{ name: { value: string }, value: ValueNode }> = []): void {
  for (const argument of given) {
    if (isPrototypeKey(argument.name.value)) throw new NEKO_ERR_KEY_FORBIDDEN()
    refuseLiteral(argument.value, 1)
  }
}

function refuseLiteral (value: ValueNode, depth: number): void {
  if (value.kind !== Kind.LIST && value.kind !== Kind.OBJECT) return
  if (depth > ARMOR.literalDepth) throw new NEKO_ERR_QUERY_TOO_DEEP(`${ARMOR.literalDepth} in literals`)
  if (value.kind === Kind.LIST) for (const item of value.values) refuseLiteral(item, depth + 1)
  else {
    for (const field of value.fields) {
      if (isPrototypeKey(field.name.value)) throw new NEKO_ERR_KEY_FORBIDDEN()
      refuseLiteral(field.value, depth + 1)
    }
  }
}

function shown (count: number): string {
  return count > 1e6 ? 'over a million' : String(count)
}
