import type { Grade } from '../shapes.ts'

/** The match of one rule in one value, before places are known. */
export interface Sign {
  /** Stable id, `family.name`. */
  rule: string
  grade: Grade
  /**
   * 0-1: what this sign alone would make of the factor. `certain` is 0.9 and more, so that it reaches the
   * block threshold alone.
   */
  value: number
  /** The structure that matched, a piece of the value. */
  match: string
}

/** The field of a subject that is itself a field's name; no field of a client is called so. */
export const NAME_FIELD = '(name)'

/** First characters of serialised objects, which look like any other id: Java in base64 and hex, Python, Ruby, .NET. */
export const STREAM_START = /^(?:rO0AB|KztAA|Cs7QA|aced0005|gASV|BAh[vV1lj]|AAEAAAD)/i

/** A sign with its place, and the technique its family stands for. */
export interface Finding extends Sign {
  place: string
  technique: string | null
  /** The reading in which a detector found it; absent for structure, which has no text of its own. */
  text?: string
}

/** Kinds of places: a rule may mean more in one than in another. */
export type PlaceKind =
  | 'path'
  | 'query'
  | 'form'
  | 'json'
  | 'graphql'
  | 'header'
  | 'agent'
  | 'referer'
  | 'cookie'
  | 'multipart'
  | 'filename'
  | 'xml'
  | 'text'
  | 'name'

/** One value in one reading, as detectors see it. */
export interface Subject {
  kind: PlaceKind
  /** The field's own name, lower case, or an empty string. */
  field: string
  text: string
  /** Lower case, blanks folded to one space, control characters gone. */
  flat: string
  characters: number
  words: number
  /** Long text of several lines or sentences: prose, markdown or code that quotes attacks without being one. */
  document: boolean
  signs: Sign[]
  /** Parts of this value that a detector's own bound left out. */
  leftOut: string[]
}

/** A detector stopped at its bound: said in the receipt, never silent. */
export function leftOut (subject: Subject, what: string): void {
  if (!subject.leftOut.includes(what)) subject.leftOut.push(what)
}

/** Highest value of each grade: only `certain` may reach a standing ban's score of 90. */
const CERTAIN = 0.95
export const LIKELY_MAX = 0.86
export const WEAK_MAX = 0.35

/** A complete attack structure; in a document it drops to likely, since documents quote. */
export function certain (subject: Subject, rule: string, match: string): void {
  if (subject.document) subject.signs.push({ rule, grade: 'likely', value: 0.6, match })
  else subject.signs.push({ rule, grade: 'certain', value: CERTAIN, match })
}

/** A structure that no document quotes by accident either (a live lookup, an entity declaration). */
export function certainAnywhere (subject: Subject, rule: string, match: string): void {
  subject.signs.push({ rule, grade: 'certain', value: CERTAIN, match })
}

/** Attack structure with another reading. `value` in 0.4-0.86; documents take it down by a third. */
export function likely (subject: Subject, rule: string, value: number, match: string): void {
  subject.signs.push({ rule, grade: 'likely', value: subject.document ? value * 0.55 : value, match })
}

/** A sign, which says nothing alone. */
export function weak (subject: Subject, rule: string, value: number, match: string): void {
  subject.signs.push({ rule, grade: 'weak', value: subject.document ? value * 0.4 : value, match })
}

/** Lengths at which detectors cut what they show. */
const CUT_LENGTHS = new Set([20, 30, 40, 50, 60])
const WORD = /\w/
/** A word that was cut is shown whole when this much more does it. */
const WORD_REST_MAX = 12

/**
 * A matched piece as a person can read it: words that were cut are completed, what was left out on either
 * side is an ellipsis.
 */
export function excerptOf ({ text, flat }: Pick<Subject, 'text' | 'flat'>, match: string): string {
  const inText = text.indexOf(match)
  const source = inText === -1 ? flat : text
  const at = inText === -1 ? flat.indexOf(match) : inText
  if (at === -1 || match === '') return match
  const isCut = CUT_LENGTHS.has(match.length)
  const start = wordEdge(source, at, -1)
  const end = wordEdge(source, at + match.length, 1)
  const before = isWithinWord(source, start) || (isCut && start > 0 && end === source.length) ? '…' : ''
  const after = isWithinWord(source, end) || (isCut && end < source.length) ? '…' : ''
  return before + source.slice(start, end) + after
}

/** The nearest edge of a word in that direction, or `at` when there is none near. */
function wordEdge (text: string, at: number, direction: 1 | -1): number {
  for (let moved = 0; moved <= WORD_REST_MAX; moved++) {
    if (!isWithinWord(text, at + direction * moved)) return at + direction * moved
  }
  return at
}

function isWithinWord (text: string, at: number): boolean {
  return at > 0 && at < text.length && WORD.test(text[at - 1] as string) && WORD.test(text[at] as string)
}

/** MITRE ATT&CK technique per family of rules. */
const TECHNIQUES: Record<string, string> = {
  sqli: 'T1190',
  nosqli: 'T1190',
  xss: 'T1059.007',
  cmdi: 'T1059',
  ssti: 'T1190',
  ldapi: 'T1190',
  xpathi: 'T1190',
  xxe: 'T1190',
  traversal: 'T1083',
  lfi: 'T1083',
  rfi: 'T1105',
  ssrf: 'T1190',
  redirect: 'T1566.002',
  crlf: 'T1190',
  mail: 'T1190',
  ssi: 'T1190',
  php: 'T1059',
  java: 'T1190',
  code: 'T1059.007',
  deserial: 'T1190',
  log4shell: 'T1190',
  proto: 'T1190',
  session: 'T1539',
  upload: 'T1505.003',
  graphql: 'T1595.002'
}

/** The ATT&CK technique of a rule's family (the part before the point), or null. */
export function techniqueOf (rule: string): string | null {
  return TECHNIQUES[rule.slice(0, rule.indexOf('.'))] ?? null
}
