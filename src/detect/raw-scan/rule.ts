import { sequence } from '../../std/regex.ts'

/**
 * One rule of the scan: anchors find a place, the pattern is tried there and nowhere else. Patterns see folded text:
 * lower case, decoded, a run of blanks as one blank, so `\s` is one character. No pattern looks further than some two
 * hundred characters; test/detect/linear.test.ts holds each try to 50 us.
 */
export interface RawRule {
  /** `family.raw`; families are those of payload/findings.ts. */
  rule: string
  grade: 'certain' | 'likely'
  /** Words in lower case at whose first character the pattern is tried. */
  anchors: readonly string[]
  /** Made sticky where rules are gathered. Absent: the anchor is enough. */
  pattern?: RegExp
  /** Only in a URL and in headers, where no line breaks, documents and source code stand. */
  onlyInHead?: true
  /** Only where the client put something beyond a bound of the parsers. */
  onlyBeyond?: true
  /**
   * One grade less within 300 characters behind a complete SQL statement (none for `likely`): there a text shows a
   * query instead of breaking into one.
   */
  apartFromSql?: true
  /** Only behind one of these characters, a blank between them left out: looked at before the pattern is tried. */
  precededBy?: string
  /** What stands before the anchor: tried after the pattern, which fails sooner. */
  before?: RegExp
  /** Only inside what is open at this place. */
  inside?: 'tag' | 'template' | 'expression' | 'powershell'
  /** Certain in prose too: a document does not quote it unescaped by accident, and a logger obeys it there as well. */
  inProseToo?: true
}

/** Every first word before every second word. */
export function pairs (first: readonly string[], second: readonly string[]): string[] {
  return first.flatMap((one) => second.map((two) => one + two))
}

/** What must stand directly before a place. */
export function standsBefore (parts: Parameters<typeof sequence>[0]): RegExp {
  return new RegExp(`(?<=${sequence(parts).source})`)
}

/**
 * Where a value begins, in what bodies, URLs and headers are written in. An opening quote has a colon, a comma or a
 * parenthesis before it; the name before an equals sign begins a pair, since shells and scripts write `a=b` too.
 */
export const VALUE_START = sequence([[
  /^/,
  /[:,[{(=]\s?"/,
  /name="[\w.-]{1,40}"\n/,
  /(?:^|[?&])[\w.[\]-]{1,40}=/,
  /<[\w:.-]{1,40}>/,
  /cdata\[/
]])
