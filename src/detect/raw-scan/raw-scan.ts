import { BODY_BYTES_MAX } from '../payload/bounds.ts'
import type { Observation } from '../shapes.ts'
import { CLASS_BITS, createAnchors, HIT } from './anchors.ts'
import { decodeBase64Runs, NARROW, WIDE } from './base64-runs.ts'
import { decodePass, SMUGGLED_BREAK } from './decode-bytes.ts'
import type { Decoded, DecodingPass } from './decode-bytes.ts'
import { fold } from './fold.ts'
import { forgetMarks, isBehindFence, isBehindStatement, isInside, isQuoted, MARKS, noteMark } from './marks.ts'
import type { Mark, Opened } from './marks.ts'
import { CODE_RULES } from './rules-code.ts'
import { DATABASE_RULES } from './rules-database.ts'
import { SCRIPT_RULES } from './rules-script.ts'
import { SYSTEM_RULES } from './rules-system.ts'

/**
 * A linear scan of all raw bytes of a request for the strongest signs. It judges what nobody may take apart: a request
 * that is answered in a hurry, and what lies beyond the bounds of the parsers. It knows no fields and no documents, so
 * its rules are few and narrow; the scorer's word, where there is one, is better.
 *
 * Bytes are decoded at most DECODE_PASSES_MAX times and folded once, then one table step per byte finds the anchors of
 * all rules, and a pattern of bounded length is tried at each. Nothing depends on what stood earlier in the text but a
 * few positions, so time grows with the text and not with what it is made of.
 */
export interface RawSign {
  /** `family.raw`. */
  rule: string
  grade: 'certain' | 'likely'
  /** `url`, `header.<name>` or `body`. */
  place: string
  /** Folded text from the sign's first character on: what matched, in 12 to 60 characters where the text has them. */
  match: string
}

/** Times one text is decoded; parsers in the wild stack two or three. */
const DECODE_PASSES_MAX = 4
const MATCH_CHARACTERS_MIN = 12
const MATCH_CHARACTERS_MAX = 60
/** Buffers up to this size are kept between calls. */
const KEPT_BYTES = 65_536

/** One rule as it is tried. Every field is always there, so that all rules are of one hidden class. */
interface TriedRule {
  rule: string
  isCertain: boolean
  pattern: RegExp | null
  /** 1 for each byte that may stand before the anchor, or null. */
  precededBy: Uint8Array | null
  before: RegExp | null
  inside: Opened | null
  onlyInHead: boolean
  onlyBeyond: boolean
  apartFromSql: boolean
  inProseToo: boolean
  anchors: string[]
}

/** What to do where a word ends. */
interface Ending { length: number, mark: Mark | null, rules: TriedRule[] }

const RULES: TriedRule[] = [...DATABASE_RULES, ...SCRIPT_RULES, ...CODE_RULES, ...SYSTEM_RULES].map((rule) => ({
  rule: rule.rule,
  isCertain: rule.grade === 'certain',
  pattern: sticky(rule.pattern),
  precededBy: rule.precededBy === undefined ? null : bytesOf(rule.precededBy),
  before: sticky(rule.before),
  inside: rule.inside ?? null,
  onlyInHead: rule.onlyInHead === true,
  onlyBeyond: rule.onlyBeyond === true,
  apartFromSql: rule.apartFromSql === true,
  inProseToo: rule.inProseToo === true,
  // Anchors know one blank, whatever kind of line break a pattern then asks for.
  anchors: [...new Set(rule.anchors.map((word) => word.replace(/\s/g, ' ')))]
}))

function sticky (pattern: RegExp | undefined): RegExp | null {
  return pattern === undefined ? null : new RegExp(pattern.source, 'y')
}

function bytesOf (characters: string): Uint8Array {
  const bytes = new Uint8Array(256)
  for (let at = 0; at < characters.length; at++) bytes[characters.charCodeAt(at)] = 1
  return bytes
}

const WORDS = [...new Set([...Object.values(MARKS).flat(), ...RULES.flatMap(({ anchors }) => anchors)])]
const ANCHORS = createAnchors(WORDS)
const ENDINGS: Ending[][] = ANCHORS.ending.map((numbers) => numbers.map((number) => {
  const word = WORDS[number] as string
  const mark = (Object.keys(MARKS) as Mark[]).find((mark) => MARKS[mark].includes(word)) ?? null
  return { length: word.length, mark, rules: RULES.filter(({ anchors }) => anchors.includes(word)) }
}))

const LINE_FEED = 10
const WIDE_ALPHABET = [WIDE]
const BOTH_ALPHABETS = [WIDE, NARROW]
const first = Buffer.allocUnsafeSlow(KEPT_BYTES)
const second = Buffer.allocUnsafeSlow(KEPT_BYTES)
const third = Buffer.allocUnsafeSlow(KEPT_BYTES)

/** What a text stands in decides how it is read. */
type TextKind = 'url' | 'header' | 'form' | 'body'
const PASSES: Record<TextKind | 'base64' | 'nested', DecodingPass> = {
  url: { plusIsBlank: true, lineBreaksAreOrdinary: false, hasControlEscapes: false },
  header: { plusIsBlank: false, lineBreaksAreOrdinary: false, hasControlEscapes: false },
  form: { plusIsBlank: true, lineBreaksAreOrdinary: true, hasControlEscapes: true },
  body: { plusIsBlank: false, lineBreaksAreOrdinary: false, hasControlEscapes: true },
  base64: { plusIsBlank: false, lineBreaksAreOrdinary: false, hasControlEscapes: true },
  nested: { plusIsBlank: false, lineBreaksAreOrdinary: false, hasControlEscapes: false }
}

/**
 * The strongest sign in the raw bytes of a request, read without taking it apart; null when there is none. Of a body
 * the first BODY_BYTES_MAX bytes (payload/bounds.ts) are read: no body that reaches a scorer is longer. `isBeyond`: the
 * client put something beyond a bound of the parsers, so nothing that stands before a sign makes it a quotation.
 */
export function scanRaw (
  observation: Pick<Observation, 'url' | 'headers' | 'body'>,
  { isBeyond }: { isBeyond: boolean } = { isBeyond: false }
): RawSign | null {
  takesQuotations = !isBeyond
  let found = scanText(Buffer.from(observation.url, 'latin1'), 'url', 'url')
  if (found?.grade === 'certain') return found
  // All content types: of several, some parsers take the first and some the last.
  let contentTypes = ''
  for (let at = 0; at + 1 < observation.headers.length; at += 2) {
    const name = (observation.headers[at] as string).toLowerCase()
    const value = observation.headers[at + 1] as string
    if (name === 'content-type') contentTypes += ' ' + value.toLowerCase()
    const sign = scanText(Buffer.from(value, 'latin1'), `header.${name}`, 'header')
    if (sign?.grade === 'certain') return sign
    found ??= sign
  }
  if (observation.body === null) return found
  const isForm = contentTypes.trim() === '' || contentTypes.includes('urlencoded')
  const sign = scanText(observation.body.subarray(0, BODY_BYTES_MAX), 'body', isForm ? 'form' : 'body')
  return sign?.grade === 'certain' ? sign : found ?? sign
}

/** One text: decoded, folded and searched, and so the base64 in it. */
function scanText (bytes: Uint8Array, place: string, kind: TextKind): RawSign | null {
  if (bytes.length === 0) return null
  const [text, folded, decoded] = buffersFor(bytes.length)
  const length = decodeMore(text, decodePass(bytes, bytes.length, text, PASSES[kind]))
  const stream = isStream(bytes, 0) ? streamSign(place) : null
  if (stream !== null) return stream
  let found = search(folded, fold(text, length, folded), place, kind === 'url' || kind === 'header')
  if (found?.grade === 'certain') return found
  // In a URL and a form base64 stands between slashes of a path and pluses of words; elsewhere in a string of its own.
  for (const alphabet of PASSES[kind].plusIsBlank ? BOTH_ALPHABETS : WIDE_ALPHABET) {
    const decodedLength = decodeBase64Runs(text, length, decoded, alphabet)
    if (decodedLength === 0) continue
    const sign = searchDecoded(decoded, decodedLength, folded, place)
    if (sign?.grade === 'certain') return sign
    found ??= sign
  }
  return found
}

/** What stood in base64: it may be written in escapes once more, and may hold an object instead of text. */
function searchDecoded (decoded: Buffer, length: number, target: Buffer, place: string): RawSign | null {
  let line = 0
  while (line < length) {
    if (isStream(decoded, line)) return streamSign(place)
    const lineEnd = decoded.indexOf(LINE_FEED, line)
    if (lineEnd === -1) break
    line = lineEnd + 1
  }
  const plainLength = decodeMore(decoded, decodePass(decoded, length, decoded, PASSES.base64))
  return search(target, fold(decoded, plainLength, target), place, false)
}

/** Further passes, in place, for what was encoded more than once; the number of bytes that are left. */
function decodeMore (text: Buffer, first: Decoded): number {
  let decoded = first
  for (let passes = 1; passes < DECODE_PASSES_MAX && decoded.hasDecoded; passes++) {
    decoded = decodePass(text, decoded.length, text, PASSES.nested)
  }
  return decoded.length
}

/** Java's stream header, AC ED 00 05, and the tag of an object, string or block. */
function isStream (bytes: Uint8Array, at: number): boolean {
  return bytes[at] === 0xac && bytes[at + 1] === 0xed && bytes[at + 2] === 0 && bytes[at + 3] === 5 &&
    (bytes[at + 4] as number) >= 0x70 && (bytes[at + 4] as number) <= 0x7e
}

function streamSign (place: string): RawSign {
  return { rule: 'deserial.raw', grade: 'certain', place, match: 'ac ed 00 05' }
}

function buffersFor (length: number): [Buffer, Buffer, Buffer] {
  if (length <= KEPT_BYTES) return [first, second, third]
  return [Buffer.allocUnsafeSlow(length), Buffer.allocUnsafeSlow(length), Buffer.allocUnsafeSlow(length)]
}

/** Whether a sign in a text that shows an attack counts for less: the same for all texts of one scan. */
let takesQuotations = true

/** The strongest sign in folded text. */
function search (bytes: Buffer, length: number, place: string, inHead: boolean): RawSign | null {
  const text = bytes.toString('latin1', 0, length)
  forgetMarks()
  const { next, classes } = ANCHORS
  let likely: RawSign | null = null
  let state = 0
  for (let at = 0; at < length; at++) {
    const step = next[state << CLASS_BITS | (classes[bytes[at] as number] as number)] as number
    state = step & (HIT - 1)
    if (step < HIT) continue
    const endings = ENDINGS[state] as Ending[]
    for (let number = 0; number < endings.length; number++) {
      const { length: wordLength, mark, rules } = endings[number] as Ending
      const start = at + 1 - wordLength
      if (mark !== null) noteMark(mark, start, text)
      for (let tried = 0; tried < rules.length; tried++) {
        const rule = rules[tried] as TriedRule
        if (!isTried(rule, bytes, start, inHead, likely !== null) || !matches(rule, text, start)) continue
        const grade = gradeOf(rule, text, start, inHead)
        if (grade === null) continue
        const sign = { rule: rule.rule, grade, place, match: matchOf(rule, text, start) }
        if (grade === 'certain') return sign
        likely ??= sign
      }
    }
  }
  return likely
}

/** What costs next to nothing, before the pattern. */
function isTried (rule: TriedRule, bytes: Buffer, start: number, inHead: boolean, hasLikely: boolean): boolean {
  if (hasLikely && !rule.isCertain) return false
  if ((rule.onlyInHead && !inHead) || (rule.onlyBeyond && takesQuotations)) return false
  if (rule.precededBy !== null && !isPreceded(rule.precededBy, bytes, start)) return false
  return rule.inside === null || isInside(rule.inside, start)
}

function matches ({ pattern, before }: TriedRule, text: string, start: number): boolean {
  return isAt(pattern, text, start) && isAt(before, text, start)
}

/** True when the sticky pattern matches there, or when there is none. */
function isAt (pattern: RegExp | null, text: string, start: number): boolean {
  if (pattern === null) return true
  pattern.lastIndex = start
  return pattern.test(text)
}

function matchOf ({ pattern }: TriedRule, text: string, start: number): string {
  if (pattern !== null) pattern.lastIndex = start
  const length = pattern?.exec(text)?.[0].length ?? 0
  return text.slice(start, start + Math.min(Math.max(length, MATCH_CHARACTERS_MIN), MATCH_CHARACTERS_MAX))
}

/** True at the start of the text and behind an allowed byte; one blank between is left out. */
function isPreceded (allowed: Uint8Array, bytes: Buffer, start: number): boolean {
  if (start === 0) return true
  const before = bytes[start - 1] as number
  if (before !== 32 && before !== 10 && before !== SMUGGLED_BREAK) return allowed[before] === 1
  return start < 2 || allowed[bytes[start - 2] as number] === 1
}

/** The rule's grade here: less where a text shows an attack instead of carrying it out, null for no sign at all. */
function gradeOf (rule: TriedRule, text: string, start: number, inHead: boolean): RawSign['grade'] | null {
  if (!takesQuotations) return rule.isCertain ? 'certain' : 'likely'
  if (rule.apartFromSql && isBehindStatement(start)) return rule.isCertain ? 'likely' : null
  if (!rule.isCertain) return 'likely'
  if (rule.inProseToo || inHead) return 'certain'
  return isBehindFence(start) || isQuoted(text, start) ? 'likely' : 'certain'
}
