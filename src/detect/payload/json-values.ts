import { JSON_DEPTH_MAX, VALUES_MAX } from './bounds.ts'
import { decodeEscapes } from './decode.ts'
import type { PlaceKind } from './findings.ts'

export interface JsonVisit {
  onValue: (kind: PlaceKind, place: string, text: string, field: string) => void
  onName: (place: string, name: string) => void
  leaveBeyond: (what: string) => void
}

/** JSON values of any kind that are walked. */
const JSON_VALUES_MAX = VALUES_MAX * 4

/** An object or a list that is being walked: its keys (null: a list), and where we are. */
interface Open { value: object, keys: string[] | null, at: number, place: string, field: string }

/** Visits every string and every key of parsed JSON in its order, without recursion, bounded in depth and count. */
export function walkJson (root: unknown, kind: PlaceKind, place: string, visit: JsonVisit): void {
  const stack: Open[] = []
  let count = 0
  const enter = (value: unknown, inner: string, field: string): boolean => {
    if (++count > JSON_VALUES_MAX) {
      visit.leaveBeyond(`${place}: JSON beyond ${JSON_VALUES_MAX} values`)
      return false
    }
    if (typeof value === 'string') visit.onValue(kind, inner, value, field)
    else if (typeof value === 'object' && value !== null) {
      if (stack.length >= JSON_DEPTH_MAX) visit.leaveBeyond(`${place}: JSON deeper than ${JSON_DEPTH_MAX}`)
      else stack.push({ value, keys: Array.isArray(value) ? null : Object.keys(value), at: 0, place: inner, field })
    }
    return true
  }
  if (!enter(root, place, '')) return
  while (stack.length > 0) {
    const open = stack[stack.length - 1] as Open
    const { keys, value } = open
    if (open.at >= (keys === null ? value as unknown[] : keys).length) {
      stack.pop()
      continue
    }
    if (keys === null) {
      if (!enter((value as unknown[])[open.at++], open.place, open.field)) return
      continue
    }
    const key = keys[open.at++] as string
    const inner = innerPlace(open.place, key)
    visitName(key, inner, open.field, visit)
    if (!enter((value as Record<string, unknown>)[key], inner, key.toLowerCase())) return
  }
}

function innerPlace (place: string, key: string): string {
  return place.length < 48 ? `${place}.${key.slice(0, 32)}` : place
}

function visitName (key: string, inner: string, parent: string, visit: JsonVisit): void {
  if (key.length > 3 || key.charCodeAt(0) === 36) {
    visit.onName(inner, key === 'prototype' && parent === 'constructor' ? 'constructor.prototype' : key)
  }
}

/**
 * True when parsed JSON has fewer keys than its text: JSON.parse keeps the last of two that are the same, other parsers
 * the first.
 */
export function hasRepeatedKey (text: string, value: unknown): boolean {
  return countColons(text) !== countKeys(value)
}

function countKeys (root: unknown): number {
  let count = 0
  const stack = [root]
  while (stack.length > 0) {
    const value = stack.pop()
    if (typeof value !== 'object' || value === null) continue
    if (Array.isArray(value)) {
      for (const one of value) if (typeof one === 'object' && one !== null) stack.push(one)
      continue
    }
    for (const key in value) {
      count++
      const one = (value as Record<string, unknown>)[key]
      if (typeof one === 'object' && one !== null) stack.push(one)
    }
  }
  return count
}

/** Colons outside strings: one for each key. */
function countColons (text: string): number {
  let count = 0
  let inString = false
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code === 34) inString = !inString
    else if (inString) {
      if (code === 92) at++
    } else if (code === 58) count++
  }
  return count
}

/** The closing quote of a string that opens at `at`, or -1. */
function endOfString (text: string, at: number): number {
  const quote = text.charAt(at)
  for (let end = text.indexOf(quote, at + 1); end !== -1; end = text.indexOf(quote, end + 1)) {
    let slashes = 0
    while (text.charCodeAt(end - 1 - slashes) === 92 && end - 1 - slashes > at) slashes++
    if (slashes % 2 === 0) return end
  }
  return -1
}

const BARE = /[\w$.+-]/

/**
 * Visits every string and key of JSON text as it stands, repeated keys included, and of what lenient parsers take for
 * JSON: comments, single quotes, names without quotes, commas too many, strings that never end. One pass.
 */
export function walkJsonText (text: string, kind: PlaceKind, place: string, visit: JsonVisit): void {
  /** Places and fields of what is open; deeper levels share the last one. */
  const places: string[] = []
  const fields: string[] = []
  let inner = place
  let field = ''
  let depth = 0
  let count = 0
  let at = 0
  while (at < text.length) {
    const code = text.charCodeAt(at)
    if (code === 34 || code === 39 || code === 96 || BARE.test(text.charAt(at))) {
      const isQuoted = code === 34 || code === 39 || code === 96
      const end = isQuoted ? endOfString(text, at) : endOfBare(text, at)
      const raw = isQuoted ? text.slice(at + 1, end === -1 ? text.length : end) : text.slice(at, end)
      at = end === -1 ? text.length : isQuoted ? end + 1 : end
      const string = raw.includes('\\') ? decodeJsonEscapes(raw) : raw
      if (++count > JSON_VALUES_MAX) return visit.leaveBeyond(`${place}: JSON beyond ${JSON_VALUES_MAX} values`)
      if (nextCode(text, at) === 58) {
        const parent = depth === 0 ? place : places[Math.min(depth, JSON_DEPTH_MAX) - 1] as string
        inner = innerPlace(parent, string)
        visitName(string, inner, depth === 0 ? '' : fields[Math.min(depth, JSON_DEPTH_MAX) - 1] as string, visit)
        field = string.toLowerCase()
      } else if (isQuoted) visit.onValue(kind, inner, string, field)
      continue
    }
    if (code === 123 || code === 91) {
      if (depth < JSON_DEPTH_MAX) {
        places[depth] = inner
        fields[depth] = field
      }
      depth++
    } else if ((code === 125 || code === 93) && depth > 0) {
      depth--
      inner = depth === 0 ? place : places[Math.min(depth, JSON_DEPTH_MAX) - 1] as string
      field = ''
    } else if (code === 47) {
      at = endOfComment(text, at)
      continue
    }
    at++
  }
}

function endOfBare (text: string, at: number): number {
  let end = at + 1
  while (end < text.length && BARE.test(text.charAt(end))) end++
  return end
}

/** After a comment at `at`, or after the slash when there is none. */
function endOfComment (text: string, at: number): number {
  const next = text.charCodeAt(at + 1)
  if (next !== 42 && next !== 47) return at + 1
  const end = next === 42 ? text.indexOf('*/', at + 2) : text.indexOf('\n', at)
  return end === -1 ? text.length : end + (next === 42 ? 2 : 1)
}

/** The first character from `at` on that is no blank. */
function nextCode (text: string, at: number): number {
  let next = at
  while (text.charCodeAt(next) <= 32) next++
  return text.charCodeAt(next)
}

const LETTERS: Record<string, string> = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v', 0: '\0' }
for (const lineBreak of ['\r\n', '\n', '\r', '\u2028', '\u2029']) LETTERS[lineBreak] = ''

/** A string as JSON and JavaScript read it: a line that ends in a backslash goes on in the next one. */
function decodeJsonEscapes (raw: string): string {
  return raw.split('\\\\').map((piece) =>
    decodeEscapes(piece).replace(/\\(\r\n|[^])/g, (_whole: string, letter: string) => LETTERS[letter] ?? letter)
  ).join('\\')
}
