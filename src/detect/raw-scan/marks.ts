import { SMUGGLED_BREAK } from './decode-bytes.ts'
import type { RawRule } from './rule.ts'

/**
 * What a text has said so far, as positions: the last selection, the last open tag, the last fence of code. They tell
 * whether a sign stands inside something that is open, and whether a text shows an attack instead of carrying it out.
 * One scan at a time writes them, so they are kept in the module: forgotten before each text, noted while it is read.
 */
export type Mark =
  | 'select'
  | 'from'
  | 'statement'
  | 'tag'
  | 'tag-end'
  | 'template'
  | 'template-end'
  | 'expression'
  | 'fence'
  | 'powershell'

/** What a rule may ask to stand inside of. */
export type Opened = NonNullable<RawRule['inside']>

/** The words that set a mark: anchors like those of the rules. */
export const MARKS: Record<Mark, string[]> = {
  select: ['select '],
  from: [' from '],
  statement: ['insert into ', 'delete from ', ' set ', 'create table ', 'alter table ', ' values (', ' values('],
  tag: ['<'],
  'tag-end': ['>'],
  template: ['{{', '{%', '#{', '%{', '*{', '<%', '@{', '@('],
  'template-end': ['}}', '%}', '%>'],
  fence: ['```'],
  expression: ['${'],
  powershell: ['powershell', 'pwsh ']
}

/** A complete statement this many characters before a sign shows a query instead of breaking into one. */
const STATEMENT_CHARACTERS = 300
/** An opened tag or template reaches this far. */
const OPEN_CHARACTERS: Record<Opened, number> = { tag: 240, template: 160, expression: 120, powershell: 120 }
/** A fence reaches this far: some twenty lines, as long as examples in a text are. */
const FENCE_CHARACTERS = 1_000
/** Prose before a sign: this many plain words in this many characters. */
const PROSE_CHARACTERS = 120
const PROSE_WORDS = 8

const [LINE_FEED, BLANK, QUOTE, AMPERSAND, OPENING_PARENTHESIS, EQUALS, TAG_END, BACKTICK] = [
  10, 32, 34, 38, 40, 61, 62, 96
]

/** Stands for the position of a mark that has not been seen. */
const FAR = -1_000_000
const last: Record<Mark, number> = {
  select: FAR,
  from: FAR,
  statement: FAR,
  tag: FAR,
  'tag-end': FAR,
  template: FAR,
  'template-end': FAR,
  fence: FAR,
  expression: FAR,
  powershell: FAR
}

/** Before each text. */
export function forgetMarks (): void {
  for (const mark of Object.keys(last) as Mark[]) last[mark] = FAR
}

/** The mark's word begins at `start`. */
export function noteMark (mark: Mark, start: number, text: string): void {
  // A selection in parentheses is what an attack puts into a statement.
  if (mark === 'select' && text.charCodeAt(start - 1) === OPENING_PARENTHESIS) return
  last[mark] = start
  if (mark === 'from' && start - last.select <= STATEMENT_CHARACTERS) last.statement = start
}

/** True where what was opened last still reaches, and has not been closed. */
export function isInside (what: Opened, start: number): boolean {
  const opened = last[what]
  if (start - opened > OPEN_CHARACTERS[what]) return false
  if (what === 'tag') return opened >= last['tag-end']
  return what !== 'template' || opened >= last['template-end']
}

export function isBehindStatement (start: number): boolean {
  return start - last.statement <= STATEMENT_CHARACTERS
}

export function isBehindFence (start: number): boolean {
  return start - last.fence <= FENCE_CHARACTERS
}

/** Words of prose before `start` in the same value, or a backtick: a text that quotes. */
export function isQuoted (text: string, start: number): boolean {
  let words = 0
  let letters = 0
  for (let at = start - 1; at >= 0 && at > start - PROSE_CHARACTERS; at--) {
    const code = text.charCodeAt(at)
    if (code >= 97 && code <= 122) {
      letters++
      continue
    }
    if (isValueStart(code)) return false
    if (code === BLANK || code === LINE_FEED) {
      if (letters >= 2 && ++words >= PROSE_WORDS) return true
    } else if (code === BACKTICK && start - at <= 4 && isBlankOrParenthesis(text.charCodeAt(at - 1))) return true
    letters = 0
  }
  return false
}

function isValueStart (code: number): boolean {
  return code === QUOTE || code === EQUALS || code === AMPERSAND || code === TAG_END || code === SMUGGLED_BREAK
}

function isBlankOrParenthesis (code: number): boolean {
  return code === BLANK || code === OPENING_PARENTHESIS
}
