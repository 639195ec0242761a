import {
  getDirectiveValues,
  Kind,
  parse,
  type DocumentNode,
  type FragmentDefinitionNode,
  type GraphQLObjectType,
  type GraphQLSchema,
  type SelectionSetNode
} from 'graphql'
import { BoundedMap } from '../std/bounded-map.ts'
import { ARMOR } from './armor.ts'

/**
 * How long an answer may be kept, and for whom: from the @cached directives of its root fields, of which the strictest
 * counts. A document with a root field that has none, with anything but one query, or that nobody can read, has no
 * policy: its answer is not kept.
 *
 * Pure, but for what it remembers of documents that it read.
 */
export interface AnswerPolicy {
  /** Above 0. */
  freshForMs: number
  /** Every root field says the same to all callers of the same role and scopes. */
  isShared: boolean
}

/** Times that @cached names, in seconds; 0: not kept. CACHE_TTL and its siblings, and two that nobody sets. */
type CacheSeconds = Readonly<Record<CacheTime, number>>
type CacheTime = 'STANDARD' | 'SHORT' | 'MEDIUM' | 'LONG' | 'STATS' | 'STATIC'

interface PolicyReader {
  /** @param isAnonymous the caller shows no credential */
  (document: string, isAnonymous: boolean): AnswerPolicy | null
}

/** Some 4 MiB at most. */
const REMEMBERED_MAX = 500
const REMEMBERED_CHARACTERS_MAX = 8 * 1024

/** @param dedupeSeconds for how long an anonymous caller gets the same answer to any other query; 0: not at all */
export function createPolicyReader (
  schema: GraphQLSchema,
  seconds: CacheSeconds,
  dedupeSeconds: number
): PolicyReader {
  const byField = policiesOf(schema, seconds)
  const remembered = new BoundedMap<string, Found>(REMEMBERED_MAX)
  const deduped = dedupeSeconds === 0 ? null : { freshForMs: dedupeSeconds * 1000, isShared: false }
  // Most documents that nobody keeps are not parsed for it.
  const named = new RegExp(`\\b(?:${[...byField.keys()].join('|')})\\b`)

  function read (text: string): Found {
    try {
      return policyOf(parse(text, { maxTokens: ARMOR.tokens, noLocation: true }), byField)
    } catch {
      // It is refused by whoever executes it.
      return NO_QUERY
    }
  }

  return (document, isAnonymous) => {
    const isDeduped = isAnonymous && deduped !== null
    if (document.length > REMEMBERED_CHARACTERS_MAX || (!isDeduped && !named.test(document))) return null
    let found = remembered.get(document)
    if (found === undefined) remembered.set(document, found = read(document))
    return found.policy ?? (isDeduped && found.isQuery ? deduped : null)
  }
}

interface Found { readonly isQuery: boolean, readonly policy: AnswerPolicy | null }

const NO_QUERY: Found = { isQuery: false, policy: null }

function policiesOf (schema: GraphQLSchema, seconds: CacheSeconds): ReadonlyMap<string, AnswerPolicy> {
  const directive = schema.getDirective('cached')
  if (!directive) throw new Error('the base SDL lacks @cached')
  const whole = { freshForMs: seconds.STATIC * 1000, isShared: true }
  const policies = new Map<string, AnswerPolicy>([['__schema', whole], ['__type', whole], ['__typename', whole]])
  for (const field of Object.values((schema.getQueryType() as GraphQLObjectType).getFields())) {
    const values = field.astNode == null ? undefined : getDirectiveValues(directive, field.astNode)
    if (values === undefined) continue
    const { time, shared } = values as { time: CacheTime, shared: boolean }
    policies.set(field.name, { freshForMs: seconds[time] * 1000, isShared: shared })
  }
  return policies
}

function policyOf (document: DocumentNode, byField: ReadonlyMap<string, AnswerPolicy>): Found {
  const operations = document.definitions.filter((definition) => definition.kind === Kind.OPERATION_DEFINITION)
  const [operation] = operations
  if (operations.length !== 1 || operation === undefined || operation.operation !== 'query') return NO_QUERY
  const fragments = new Map<string, FragmentDefinitionNode>()
  for (const one of document.definitions) if (one.kind === Kind.FRAGMENT_DEFINITION) fragments.set(one.name.value, one)
  const names = rootNames(operation.selectionSet, fragments)
  return { isQuery: true, policy: strictestOf([...names].map((name) => byField.get(name))) }
}

/** Null where one of them has none. */
function strictestOf (policies: ReadonlyArray<AnswerPolicy | undefined>): AnswerPolicy | null {
  const strictest = { freshForMs: Infinity, isShared: true }
  for (const policy of policies) {
    if (policy === undefined || policy.freshForMs <= 0) return null
    strictest.freshForMs = Math.min(strictest.freshForMs, policy.freshForMs)
    strictest.isShared &&= policy.isShared
  }
  return policies.length === 0 ? null : strictest
}

/** Also those that @skip may leave out: a policy is that of the document, whatever its variables are. */
function rootNames (set: SelectionSetNode, fragments: ReadonlyMap<string, FragmentDefinitionNode>): Set<string> {
  const names = new Set<string>()
  const spread = new Set<string>()
  const visit = ({ selections }: SelectionSetNode): void => {
    for (const selection of selections) {
      if (selection.kind === Kind.FIELD) names.add(selection.name.value)
      else if (selection.kind === Kind.INLINE_FRAGMENT) visit(selection.selectionSet)
      else if (!spread.has(selection.name.value)) {
        spread.add(selection.name.value)
        const fragment = fragments.get(selection.name.value)
        if (fragment !== undefined) visit(fragment.selectionSet)
      }
    }
  }
  visit(set)
  return names
}
