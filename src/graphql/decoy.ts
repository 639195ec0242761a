import { Kind, parse } from 'graphql'

/**
 * Fields that no schema of ours has, so that no client learns of them: who asks for one guesses at what an admin API
 * might be called. They answer plausibly, and whoever touched one is a honeypot capture.
 */
const BAIT: Readonly<Record<string, unknown>> = {
  systemConfig: null,
  adminUsers: [],
  internalTokens: [],
  debugQuery: null,
  __internal: null
}
const NAMES = new RegExp(`\\b(${Object.keys(BAIT).join('|')})\\b`)

/** The bait for a document whose root selects nothing but decoys, by response name; null for every other document. Costs one regular expression. */
export function decoyAnswer (query: string): Record<string, unknown> | null {
  if (!NAMES.test(query)) return null
  try {
    // Names come from outside: `__proto__` is one like any other here.
    const answer = Object.create(null) as Record<string, unknown>
    for (const definition of parse(query, { maxTokens: 1000, noLocation: true }).definitions) {
      if (definition.kind !== Kind.OPERATION_DEFINITION || definition.operation !== 'query') return null
      for (const selection of definition.selectionSet.selections) {
        if (selection.kind !== Kind.FIELD || !Object.hasOwn(BAIT, selection.name.value)) return null
        answer[selection.alias?.value ?? selection.name.value] = BAIT[selection.name.value]
      }
    }
    return answer
  } catch {
    return null
  }
}
