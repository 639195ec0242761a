/**
 * The shape of a sign's text: what an allowance holds in place of the text, so that a false alarm lets its twins
 * through and an attack lets nothing through but itself. Pure.
 *
 * A sign of mere form (`O'Brien (Smith` looks like broken syntax) in a text of nothing but names stands for every text
 * of the same form: other words, the same punctuation. Whatever names a family of attacks, holds an operator or a word
 * that some language reads, stands for its exact text: the neighbours of an attack (another table, another tautology)
 * are attacks. A certain sign has a shape of its own, so that nothing that was allowed for less covers it, and a sign
 * that later rules call certain is allowed no more.
 */
import { scan, seen } from './payload/characters.ts'
import type { Grade } from './shapes.ts'

const CERTAIN = '!'
const EXACT = '='
const TWINS = '~'

/** The shape of the text in which a rule found something. */
export function shapeOf ({ rule, grade }: { rule: string, grade: Grade }, text: string): string {
  if (grade === 'certain') return CERTAIN + digestOf(text)
  const form = OF_FORM.has(rule) ? formOf(text) : null
  return form === null ? EXACT + digestOf(text) : TWINS + form
}

/** For a person: the form that all twins have, or null where the shape is one exact text. */
export function formOfShape (shape: string): string | null {
  return shape.startsWith(TWINS) ? shape.slice(1) : null
}

/** Signs that name no attack: quotes and brackets that do not pair. */
const OF_FORM: ReadonlySet<string> = new Set(['shape.odd', 'shape.broken-syntax'])
/** Longer than a name, a title and an address in one field. */
const NAMES_CHARACTERS_MAX = 160
const TOKEN = /(\p{L}[\p{L}\p{M}]*)|(\d+)|( +)|['\u2019\u2018,.&()-]/uy
/** What no list of names has: a call, a comment, an operator, a file's ending, a host's name. */
const NOT_OF_NAMES = /[w0]\(|\)\(|&&|(?<! )&|&(?! )|(?<![w0])-|-(?![w0])|(?<![w0])\.|\.(?=[w0('])/
/** `Mary-Jane O'Brien` is a twin of `O'Brien`. */
const ONE_NAME = /w(?:(?: |-|\. )w)+/g

/** A text of names with `w` for each of them and `0` for each number; null when it holds anything else. */
function formOf (text: string): string | null {
  if (text.length > NAMES_CHARACTERS_MAX) return null
  scan(text)
  if (seen.words !== 0) return null
  let form = ''
  TOKEN.lastIndex = 0
  while (TOKEN.lastIndex < text.length) {
    const token = TOKEN.exec(text)
    if (token === null) return null
    form += token[1] !== undefined ? 'w' : token[2] !== undefined ? '0' : token[3] !== undefined ? ' ' : token[0]
  }
  return NOT_OF_NAMES.test(form) ? null : form.replace(ONE_NAME, 'w')
}

let hash: typeof import('node:crypto')['hash'] | null = null

/**
 * 132 bits: whoever guesses an allowance must not find another text for it. Loaded when the first is needed, since it
 * takes a thread 5 ms.
 */
function digestOf (text: string): string {
  hash ??= process.getBuiltinModule('node:crypto').hash
  return hash('sha256', text, 'base64url').slice(0, 22)
}
