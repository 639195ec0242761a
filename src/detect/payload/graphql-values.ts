import { sequence } from '../../std/regex.ts'
import { readGraphql } from './graphql-document.ts'
import type { GraphqlReading } from './graphql-document.ts'
import { isSpace, readComment, stringsOfTokens } from './graphql-tokens.ts'
import { inspectName, inspectValue, leaveBeyond, placeOf } from './inspection.ts'
import type { Inspection } from './inspection.ts'
import { walkJsonText } from './json-values.ts'

/** GraphQL requests: literals go to the detectors, shapes are judged here. */

/** How a definition begins; a description may stand before one. */
const DEFINITION = /^(?:\{|"|(?:query|mutation|subscription|fragment)\b)/

/** True when a text begins like a document, blanks and comments skipped. */
export function looksLikeGraphql (text: string): boolean {
  let at = 0
  for (let code = text.charCodeAt(0); code === 35 || isSpace(code); code = text.charCodeAt(at)) {
    at = code === 35 ? readComment(text, at) : at + 1
  }
  return DEFINITION.test(text.slice(at, at + 16))
}

/** Judges a document; false when the text is none, and is to be judged as a plain value. */
export function inspectGraphql (
  inspection: Inspection,
  place: string,
  text: string,
  way: 'post' | 'link' | 'batch'
): boolean {
  if (!looksLikeGraphql(text)) return false
  const reading = readGraphql(text)
  if (reading === null) {
    inspectQuoted(inspection, place, text)
    return false
  }
  for (const literal of reading.literals) {
    inspectValue(
      inspection,
      'graphql',
      placeOf(place, literal.name),
      literal.value,
      literal.name.toLowerCase(),
      0
    )
  }
  for (const comment of reading.comments) inspectComment(inspection, `${place} (comment)`, comment)
  if (reading.cut) leaveBeyond(inspection, `${place}: GraphQL beyond the lexer's bound`)
  if (reading.repeats > GUESSES_MAX && countGuesses(text) > GUESSES_MAX) {
    inspection.findings.push({
      rule: 'graphql.guess-flood',
      grade: 'likely',
      value: 0.8,
      match: `one credential asked for ${reading.repeats} times`,
      place,
      technique: 'T1110'
    })
  }
  addShapeSigns(inspection, place, reading, way)
  return !reading.open
}

/** A line that was put out of use looks like broken code or a command line: in it, all other rules count. */
function inspectComment (inspection: Inspection, place: string, comment: string): void {
  const strings = stringsOfTokens(comment)
  const before = inspection.findings.length
  inspectValue(inspection, 'text', place, comment, '', 0)
  if (strings === null) return
  const found = inspection.findings.splice(before)
  inspection.findings.push(...found.filter(({ rule }) => !LOOKS_LIKE_CODE.test(rule)))
  for (const string of strings) inspectValue(inspection, 'graphql', place, string, '', 0)
}

const LOOKS_LIKE_CODE = /^shape\.|^cmdi\.command-line$/

/** A document that is none to us may be one to a laxer lexer: whatever stands between quotes is judged by itself. */
function inspectQuoted (inspection: Inspection, place: string, text: string): void {
  walkJsonText(text, 'graphql', place, {
    onValue: (kind, inner, value, field) => inspectValue(inspection, kind, inner, value, field, 0),
    onName: (inner, name) => inspectName(inspection, 'json', inner, name),
    leaveBeyond: (what) => leaveBeyond(inspection, what)
  })
}

/**
 * Bounds far above what clients send: the DEV corpus's widest benign operation repeats a field 16 times,
 * nests 12 deep and uses 2 directives on one field; floods there begin at 60 repeats and batches of 30. What
 * our own endpoint allows (30 aliases, batches of 10) lies below them, so that who asks for a little more is
 * told the limit.
 */
const REPEATS_MAX = 32
const DIRECTIVES_MAX = 8
const DEPTH_MAX = 20
const RECURSION_MAX = 4
const INTROSPECTION_RECURSION_MAX = 12
const BATCH_SAME_MAX = 12
/**
 * An editor that is reloaded ten times in a minute asks ten times: with all that haste says of itself (0.36)
 * it must stay below a challenge.
 */
const OWN_INTROSPECTION = 0.05
/** Logins, codes and coupons tried in one request; a person has one of each. */
const GUESSES_MAX = 2
const GUESSED = sequence([
  [
    /log_?in|sign_?in|authenticate|tokenauth|token_?create|verify\w{0,24}/,
    /check_?(?:otp|code|pin|coupon|password)|redeem\w{0,16}|reset_?password|apply_?coupon/,
    /confirm_?(?:otp|code|email)/
  ],
  /\s{0,4}\(/
], 'gi')

function countGuesses (text: string): number {
  return text.match(GUESSED)?.length ?? 0
}

function addShapeSigns (
  inspection: Inspection,
  place: string,
  reading: GraphqlReading,
  way: 'post' | 'link' | 'batch'
): void {
  const add = (rule: string, value: number, match: string): void => {
    inspection.findings.push({
      rule,
      grade: value >= 0.4 ? 'likely' : 'weak',
      value,
      match,
      place,
      technique: rule === 'graphql.introspection' ? 'T1595.002' : 'T1499.003'
    })
  }
  if (reading.repeats > REPEATS_MAX) {
    add(
      'graphql.field-flood',
      reading.repeats > 3 * REPEATS_MAX ? 0.84 : 0.78,
      `one field ${reading.repeats} times`
    )
  }
  if (reading.directives > DIRECTIVES_MAX) {
    add('graphql.directive-flood', 0.8, `${reading.directives} directives on one field`)
  }
  // The query that every tool sends asks for the type of a type of a type, nine deep: nothing but `ofType` in itself.
  const asksTypes = reading.introspection !== 'none' && reading.deepTypes &&
    reading.recursion <= INTROSPECTION_RECURSION_MAX
  if (reading.recursion > RECURSION_MAX && !asksTypes) {
    add('graphql.recursion', 0.8, `a field nested ${reading.recursion} times in itself`)
  } else if (reading.depth > DEPTH_MAX && !asksTypes) add('graphql.depth', 0.78, `${reading.depth} levels`)
  if (reading.cyclic) add('graphql.fragment-cycle', 0.82, 'a fragment that reaches itself')
  // Tools introspect one operation at a time, by POST or by link; hidden in a batch is how scanners look.
  if (reading.introspection !== 'none' && reading.recursion > 2 && !reading.deepTypes) {
    add('graphql.introspection-cycle', 0.8, `fields of types of fields, ${reading.recursion} times`)
  }
  // No page and no tool puts a schema's question into the address bar.
  if (reading.introspection === 'none') return
  const hidden = way === 'batch' || (way === 'link' && inspection.navigates)
  // Our own endpoint answers it to whoever develops against it, and to nobody in production.
  add(
    'graphql.introspection',
    hidden ? 0.76 : inspection.own ? OWN_INTROSPECTION : reading.introspection === 'schema' ? 0.35 : 0.3,
    '__' + reading.introspection
  )
}

/** Batches: the same operation many times is brute force or load, unequal ones are a page. */
export function addBatchSigns (inspection: Inspection, place: string, documents: string[]): void {
  if (documents.length <= GUESSES_MAX) return
  const counts = new Map<string, number>()
  let most = 0
  for (const document of documents) {
    const count = (counts.get(document) ?? 0) + 1
    counts.set(document, count)
    if (count > most) most = count
  }
  const bound = most > GUESSES_MAX && documents.some((document) => countGuesses(document) > 0)
    ? GUESSES_MAX
    : BATCH_SAME_MAX
  if (most > bound) {
    inspection.findings.push({
      rule: 'graphql.batch-flood',
      grade: 'likely',
      value: most > 2 * BATCH_SAME_MAX ? 0.82 : 0.78,
      match: `one operation ${most} times in a batch`,
      place,
      technique: 'T1110'
    })
  }
}
