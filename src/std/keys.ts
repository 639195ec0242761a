/**
 * Keys that a database or JavaScript would read as more than a name: `$where`, `a.b`, `__proto__`. In NEKO's own
 * arguments, variables, bodies and query strings they are never meant well; in other people's data (the headers of a
 * request to assess) they are one signal among others, and are not looked at here.
 */

/** Deeper JSON is none of ours; shallower than any recursion minds. */
export const JSON_DEPTH_MAX = 32

const PROTOTYPE_KEYS = new Set(['__proto__', 'constructor', 'prototype'])

/** True for a name of JavaScript's own on every object. */
export function isPrototypeKey (key: string): boolean {
  return PROTOTYPE_KEYS.has(key)
}

/** True for a key that begins with `$`, contains `.`, or reaches for the prototype. */
function isForbiddenKey (key: string): boolean {
  return key.charCodeAt(0) === 36 || key.includes('.') || PROTOTYPE_KEYS.has(key)
}

/**
 * True for a name of a query string that one of the usual parsers would nest into a forbidden key (`a[$ne]`,
 * `a[b.c]`).
 */
export function isForbiddenParameter (name: string): boolean {
  return isForbiddenKey(name) || (name.includes('[') && name.split(/[[\]]/).some(isForbiddenKey))
}

export type KeyFault = { kind: 'forbidden', key: string } | { kind: 'deep' } | null

/**
 * Looks at every key of a JSON value, level by level and without recursion: a body of 100,000 brackets must not
 * overflow the stack. `skip` names places whose content is other people's data (`requests` of a body to assess).
 */
export function faultOfKeys (value: unknown, skip: (key: string, depth: number) => boolean = () => false): KeyFault {
  let level: object[] = isObject(value) ? [value] : []
  for (let depth = 1; level.length > 0; depth++) {
    if (depth > JSON_DEPTH_MAX) return { kind: 'deep' }
    const below: object[] = []
    for (const node of level) {
      if (Array.isArray(node)) {
        for (const item of node) if (isObject(item)) below.push(item)
        continue
      }
      // Own keys only: JSON.parse makes `__proto__` one of them.
      for (const key of Object.keys(node)) {
        if (isForbiddenKey(key)) return { kind: 'forbidden', key: key.slice(0, 64) }
        const item = (node as Record<string, unknown>)[key]
        if (isObject(item) && !skip(key, depth)) below.push(item)
      }
    }
    level = below
  }
  return null
}

function isObject (value: unknown): value is object {
  return typeof value === 'object' && value !== null
}
