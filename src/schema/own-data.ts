import {
  BREAK,
  getNullableType,
  isInputObjectType,
  isListType,
  Kind,
  parse,
  typeFromAST,
  TypeInfo,
  visit,
  visitWithTypeInfo,
  type DocumentNode,
  type GraphQLField,
  type GraphQLInputType,
  type GraphQLNamedType,
  type GraphQLSchema,
  type StringValueNode,
  type TypeNode
} from 'graphql'
import { hasRepeatedKey } from '../detect/payload/json-values.ts'
import type { Scope } from '../identity/shapes.ts'
import type { EraseData } from '../transaction/own-data.ts'
import { faultOfKeys } from '../std/keys.ts'
import { ARMOR } from './armor.ts'
import { accessReader } from './authorize.ts'

/**
 * Tells the data of a GraphQL request from its structure: the texts of arguments, and those of variables that feed
 * arguments. What is left when they are taken out is the request that its sender composed: names, aliases, comments,
 * directives, keys, and whatever else a body holds.
 *
 * Owns: which fields a caller may write data into. Never does: score, decide, or execute. In: a body and its caller's
 * scopes. Out: the same body with empty texts in place of its data; null where any part of the operation is not the
 * caller's to use, and so nothing in it is data.
 */
/** Their values are tried by strangers, whoever's credential came along. */
const NEVER_DATA: ReadonlySet<string> = new Set(['Mutation.login', 'Mutation.refreshToken'])

/** Never throws. */
export function createDataEraser (schema: GraphQLSchema): EraseData {
  const isCovered = coverageOf(schema)

  return function eraseData ({ text, type }, scopes) {
    try {
      if (type === 'graphql') return eraseDocument(text, scopes)?.query ?? null
      const request: unknown = JSON.parse(text)
      if (!isObject(request) || typeof request.query !== 'string') return null
      // Of repeated keys each parser takes another; deep JSON and names of JavaScript's own are refused anyway.
      if (faultOfKeys(request) !== null || hasRepeatedKey(text, request)) return null
      const erased = eraseDocument(request.query, scopes)
      if (erased === null) return null
      const variables = isObject(request.variables)
        ? eraseVariables(request.variables, erased.variables)
        : request.variables
      return JSON.stringify({ ...request, query: erased.query, variables })
    } catch {
      return null
    }
  }

  function eraseDocument (
    source: string,
    scopes: readonly Scope[]
  ): { query: string, variables: Map<string, TypeNode> } | null {
    const document = parse(source, { maxTokens: ARMOR.tokens })
    if (!isOneOperation(document)) return null
    const found = findData(schema, document, (parent, field) => isCovered(parent, field, scopes))
    return found === null ? null : { query: withoutTexts(source, found.texts), variables: found.variables }
  }

  function eraseVariables (values: Record<string, unknown>, types: ReadonlyMap<string, TypeNode>): object {
    return Object.fromEntries(Object.entries(values).map(([name, value]) => {
      const node = types.get(name)
      if (node === undefined) return [name, value]
      return [name, eraseValue(value, typeFromAST(schema, node) as GraphQLInputType | undefined)]
    }))
  }
}

type IsCovered = (parent: GraphQLNamedType, field: GraphQLField<unknown, unknown>, scopes: readonly Scope[]) => boolean

/**
 * Whether a caller of these scopes may write data into a field. Fields that anybody may ask are data for callers who
 * may read. A field of a team would be one for the team's members alone: it needs the caller here, not only scopes.
 */
function coverageOf (schema: GraphQLSchema): IsCovered {
  const roots: unknown[] = [schema.getQueryType(), schema.getMutationType(), schema.getSubscriptionType()]
  const accessOf = accessReader(schema)
  return (parent, field, scopes) => {
    const access = accessOf(field)
    if (access === null) return !roots.includes(parent) || field.name === '__typename'
    if (NEVER_DATA.has(`${parent.name}.${field.name}`)) return false
    if (access === 'public') return scopes.includes('read')
    return access.scope === '' || scopes.includes(access.scope as Scope)
  }
}

/** Of two operations the server would run neither. */
function isOneOperation ({ definitions }: DocumentNode): boolean {
  const operations = definitions.filter(({ kind }) => kind === Kind.OPERATION_DEFINITION)
  const fragments = definitions.filter(({ kind }) => kind === Kind.FRAGMENT_DEFINITION)
  return operations.length === 1 && fragments.length === definitions.length - 1
}

/** The texts of a document that are data, and the variables whose values are; null when anything in it is unknown. */
function findData (
  schema: GraphQLSchema,
  document: DocumentNode,
  isCovered: (parent: GraphQLNamedType, field: GraphQLField<unknown, unknown>) => boolean
): { texts: StringValueNode[], variables: Map<string, TypeNode> } | null {
  const info = new TypeInfo(schema)
  const texts: StringValueNode[] = []
  const types = new Map<string, TypeNode>()
  const defaults = new Map<string, StringValueNode[]>()
  const fed = new Set<string>()
  const steering = new Set<string>()
  let defined: string | null = null
  let isOfDirective = false
  let isKnown = true
  const require = (holds: boolean): typeof BREAK | undefined => {
    isKnown &&= holds
    return holds ? undefined : BREAK
  }
  visit(document, visitWithTypeInfo(info, {
    Field () {
      const parent = info.getParentType()
      const field = info.getFieldDef()
      return require(parent != null && field != null && isCovered(parent, field))
    },
    Argument: () => require(info.getArgument() != null),
    ObjectField: () => require(info.getInputType() != null),
    Directive: {
      enter () {
        isOfDirective = true
        return require(info.getDirective() != null)
      },
      leave () { isOfDirective = false }
    },
    VariableDefinition: {
      enter ({ variable: { name }, type }) {
        defined = name.value
        types.set(name.value, type)
        defaults.set(name.value, [])
      },
      leave () { defined = null }
    },
    Variable ({ name }) {
      if (isOfDirective) steering.add(name.value)
      else if (defined === null) fed.add(name.value)
    },
    StringValue (node) {
      if (isOfDirective) return
      if (defined === null) texts.push(node)
      else defaults.get(defined)!.push(node)
    }
  }))
  if (!isKnown) return null
  const variables = new Map([...types].filter(([name]) => fed.has(name) && !steering.has(name)))
  for (const name of variables.keys()) texts.push(...defaults.get(name)!)
  return { texts, variables }
}

function withoutTexts (source: string, texts: readonly StringValueNode[]): string {
  let erased = ''
  let at = 0
  for (const { loc } of texts.toSorted((a, b) => a.loc!.start - b.loc!.start)) {
    erased += `${source.slice(at, loc!.start)}""`
    at = loc!.end
  }
  return erased + source.slice(at)
}

/** Keys stay, and so do values at keys that the type does not know. Depth is bounded by `faultOfKeys`. */
function eraseValue (value: unknown, given: GraphQLInputType | undefined): unknown {
  const type = getNullableType(given)
  if (type === undefined) return value
  if (isListType(type)) {
    return Array.isArray(value)
      ? value.map((item) => eraseValue(item, type.ofType as GraphQLInputType))
      : eraseValue(value, type.ofType as GraphQLInputType)
  }
  if (!isInputObjectType(type)) return typeof value === 'string' ? '' : value
  if (!isObject(value)) return value
  const fields = type.getFields()
  return Object.fromEntries(Object.entries(value).map(([key, item]) =>
    [key, Object.hasOwn(fields, key) ? eraseValue(item, fields[key]!.type) : item]))
}

function isObject (value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
