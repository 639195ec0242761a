import { CHAR, scan, seen } from './characters.ts'
import { detectCode, detectFilename } from './detectors/code.ts'
import { detectCommand } from './detectors/command.ts'
import { detectInjection, detectName } from './detectors/injection.ts'
import { detectPath } from './detectors/path.ts'
import { detectRemote } from './detectors/remote.ts'
import { RUN_MIN, detectShape } from './detectors/shape.ts'
import { detectSql } from './detectors/sql.ts'
import { detectTemplate } from './detectors/template.ts'
import { detectXss } from './detectors/xss.ts'
import { NAME_FIELD, STREAM_START, excerptOf, techniqueOf } from './findings.ts'
import type { Finding, PlaceKind, Sign, Subject } from './findings.ts'
import { WORD } from './words.ts'

/** Characters that need a detector; without one of them only words, paths and URLs are left to look at. */
const TELLING = CHAR.quote | CHAR.doubleQuote | CHAR.backtick | CHAR.less | CHAR.greater | CHAR.paren |
  CHAR.brace | CHAR.bracket | CHAR.dollar |
  CHAR.semicolon | CHAR.pipe | CHAR.ampersand | CHAR.backslash | CHAR.percent | CHAR.hash | CHAR.equals |
  CHAR.star | CHAR.lineBreak | CHAR.control |
  CHAR.bang | CHAR.caret
const AGENT_ORDINARY = CHAR.paren | CHAR.semicolon | CHAR.bracket | CHAR.slash | CHAR.dot | CHAR.comma |
  CHAR.dash | CHAR.colon | CHAR.plus | CHAR.space | CHAR.at | CHAR.question
/** Attacks that an agent of ordinary characters may still carry. */
const AGENT_TELLING = /\/etc\/|\/bin\/|\.\.\/|\/proc\/|\.ssh\/|\(\) ?[{:]|\.ini\b|\.(?:htaccess|bash_history)/
const TELLING_WORDS = WORD.sqlStatement | WORD.sqlFunction | WORD.sqlName | WORD.shell | WORD.shellWordlike |
  WORD.windows | WORD.java | WORD.script | WORD.prototype | WORD.php

/** A literal and a logical word: the start of a comparison without symbols. */
const LITERAL_LOGIC = /^(?:\d|null|true|false)\w{0,12} {1,4}(?:x?or|and)\b/i

const NOTHING: readonly string[] = []

/**
 * Runs the detectors whose characters and words are there over one reading of one value. Returns what their
 * bounds left out.
 */
export function inspectReading (
  findings: Finding[],
  kind: PlaceKind,
  place: string,
  text: string,
  field: string
): readonly string[] {
  scan(text)
  const { characters, words } = seen
  if (
    kind === 'agent' && (characters & ~AGENT_ORDINARY) === 0 &&
    ((words & (WORD.shell | WORD.php)) === 0 || !/^[\w-]+ +-{1,2}\w/.test(text)) && !AGENT_TELLING.test(text)
  ) {
    return NOTHING
  }
  if ((characters & TELLING) === 0 && kind !== 'path' && kind !== 'filename') {
    const paths = (characters & (CHAR.slash | CHAR.colon)) !== 0 || text.includes('..') || text.includes('--')
    if (
      !paths && (words & TELLING_WORDS) === 0 &&
      ((words & WORD.sqlLogic) === 0 || !LITERAL_LOGIC.test(text)) && (characters & CHAR.dot) === 0 &&
      !STREAM_START.test(text) && field !== NAME_FIELD && !text.endsWith('?') && !beginsAsRun(text)
    ) {
      return NOTHING
    }
  }
  const subject = subjectOf(kind, field, text, characters, words)
  if (kind === 'filename') detectFilename(subject)
  if (field === NAME_FIELD) detectName(subject)
  runDetectors(subject)
  for (const sign of strongestPerRule(subject.signs)) {
    findings.push({
      ...sign,
      match: excerptOf(subject, sign.match),
      place,
      technique: techniqueOf(sign.rule),
      text
    })
  }
  return subject.leftOut
}

/** One character over and over: all that long text without any sign is looked at for (detectors/shape.ts). */
function beginsAsRun (text: string): boolean {
  if (text.length < RUN_MIN) return false
  for (let at = 1; at < RUN_MIN; at++) if (text.charCodeAt(at) !== text.charCodeAt(0)) return false
  return true
}

const RANK = { certain: 2, likely: 1, weak: 0 } as const

/** One sign of each rule, as the factor counts them: the excerpt of each sign is a search of the whole text. */
function strongestPerRule (signs: Sign[]): Sign[] {
  if (signs.length < 2) return signs
  const strongest = new Map<string, Sign>()
  for (const sign of signs) {
    const known = strongest.get(sign.rule)
    const rank = known === undefined ? 1 : RANK[sign.grade] - RANK[known.grade] || sign.value - known.value
    if (rank > 0) strongest.set(sign.rule, sign)
  }
  return [...strongest.values()]
}

function runDetectors (subject: Subject): void {
  const { characters } = subject
  const telling = (characters & TELLING) !== 0
  if (subject.kind !== 'agent' || telling) detectSql(subject)
  if (
    telling || (subject.words & (WORD.scheme | WORD.script)) !== 0 ||
    ((characters & CHAR.colon) !== 0 && subject.text.includes('\t'))
  ) {
    detectXss(subject)
  }
  detectCommand(subject)
  if (telling) {
    detectTemplate(subject)
    detectInjection(subject)
  }
  detectPath(subject)
  detectRemote(subject)
  detectCode(subject)
  detectShape(subject)
}

function subjectOf (kind: PlaceKind, field: string, text: string, characters: number, words: number): Subject {
  const lower = text.toLowerCase()
  const folded = (characters & (CHAR.lineBreak | CHAR.control | CHAR.nonAscii)) !== 0 ||
    lower.includes('  ') || lower.includes('\t')
  const flat = folded
    ? lower.replace(/[\u0000\u00ad\u200b-\u200f\ufeff]+/g, '').replace(
      /[\u0001-\u0020\u00a0\u1680\u2000-\u200a\u3000]+/g,
      ' '
    )
    : lower
  return {
    kind,
    field,
    text,
    flat,
    characters,
    words,
    document: isDocument(kind, text, characters),
    signs: [],
    leftOut: []
  }
}

/** Places of arguments: one line in them is one, however long it is. */
const ARGUMENTS: ReadonlySet<PlaceKind> = new Set(['graphql', 'query', 'form', 'header', 'cookie'])
const DOCUMENT_CHARACTERS_MIN = 80
const ONE_LINE_CHARACTERS_MIN = 160
/** Characters that are looked at. */
const DOCUMENT_CHARACTERS_MAX = 600
/** Blanks in a row that indent a line, or part one paragraph from the next; more are padding. */
const INDENT_MAX = 24
const WIDE_BLANK = /[\s\u200b-\u200f]/

/**
 * Several lines of mostly letters and blanks: a person's text or code, which quotes what attacks do. Padding makes
 * none: blanks before a text and long rows of them are not counted.
 */
function isDocument (kind: PlaceKind, text: string, characters: number): boolean {
  if (text.length < DOCUMENT_CHARACTERS_MIN || (characters & CHAR.space) === 0) return false
  if (kind === 'path' || kind === 'name' || kind === 'agent' || kind === 'referer' || kind === 'filename') return false
  let length = 0
  let letters = 0
  let breaks = 0
  let blanks = 0
  let row = INDENT_MAX
  for (let at = 0; at < text.length && length < DOCUMENT_CHARACTERS_MAX; at++) {
    const code = text.charCodeAt(at)
    const isWide = code > 127 && WIDE_BLANK.test(text.charAt(at))
    if (code !== 32 && code !== 10 && !isWide) row = 0
    else if (++row > INDENT_MAX) continue
    length++
    const low = code | 32
    if ((low >= 97 && low <= 122) || (code > 127 && !isWide)) letters++
    else if (code === 32) blanks++
    else if (code === 10) breaks++
  }
  if (breaks < 2 && ARGUMENTS.has(kind)) return false
  if (length < DOCUMENT_CHARACTERS_MIN || (breaks < 2 && length < ONE_LINE_CHARACTERS_MIN)) return false
  return (breaks >= 2 || blanks > length / 9) && (letters + blanks) / length > 0.72 && blanks > length / 14 &&
    letters > length / 3
}
