/**
 * Keys that a database or JavaScript would read as more than a name: `$where`, `a.b`, `__proto__`. In NEKO's own
 * arguments, variables, bodies and query strings they are never meant well; in other people's data (the headers of a
 * request to assess) they are one signal among others, and are not looked at here.
 */

/** Deeper JSON is none of ours; shallower than any recursion minds. */
export const JSON_DEPTH_MAX = 32

/** Brackets, commas and colons of one text: a hundred requests of fifty headers to assess have some 16,000. */
export const JSON_MARKS_MAX = 50_000

const QUOTE = 0x22
const BACKSLASH = 0x5c
const COMMA = 0x2c
const COLON = 0x3a
/** The closing ones stand two further on. */
const BRACKET = 0x5b
const BRACE = 0x7b

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

/**
 * What is wrong with the shape of a JSON text that is too large to be parsed on trust: 2 MiB of brackets or of distinct
 * keys hold up a process for 30-200 ms, while as much text takes 2. Strings are passed over: what they hold costs
 * nothing. Linear, and without building anything.
 */
export function faultOfShape (text: string): 'deep' | 'wide' | null {
  let depth = 0
  let marks = 0
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at)
    if (unit === QUOTE) {
      while (++at < text.length && text.charCodeAt(at) !== QUOTE) if (text.charCodeAt(at) === BACKSLASH) at++
      continue
    }
    const isOpening = unit === BRACE || unit === BRACKET
    if (isOpening && ++depth > JSON_DEPTH_MAX) return 'deep'
    if (unit === BRACE + 2 || unit === BRACKET + 2) depth--
    if ((isOpening || unit === COMMA || unit === COLON) && ++marks > JSON_MARKS_MAX) return 'wide'
  }
  return null
}

function isObject (value: unknown): value is object {
  return typeof value === 'object' && value !== null
}
