/** A tokenizer of HTML tags as lenient browsers read them: one pass, no tree. Comments and text are skipped. */

export interface HtmlAttribute { name: string, value: string }
export interface HtmlTag {
  /** Lower case; `/script` for an end tag, `!doctype` and `?xml` for declarations. */
  name: string
  attributes: HtmlAttribute[]
  /** Index of `<`. */
  start: number
  /** Index after `>`, or the end of the text. */
  end: number
  closed: boolean
  /** True when the tag has more attributes than were read. */
  cut: boolean
}

/** Tags read of one value. */
export const TAGS_MAX = 2_000
export const ATTRIBUTES_MAX = 40

export function tokenizeHtml (text: string): HtmlTag[] {
  const tags: HtmlTag[] = []
  let at = text.indexOf('<')
  while (at !== -1 && tags.length < TAGS_MAX) {
    const tag = readTag(text, at)
    if (tag !== null) tags.push(tag)
    at = text.indexOf('<', tag === null ? at + 1 : Math.max(tag.start + 1, tag.end))
  }
  return tags
}

function isBlank (code: number): boolean {
  // Browsers take form feeds, vertical tabs, slashes and NUL between attributes; old ones took more.
  return code <= 32 || code === 47 || code === 160
}

function readTag (text: string, start: number): HtmlTag | null {
  let at = start + 1
  while (text.charCodeAt(at) <= 32 && at < start + 8) at++
  const closing = text.charAt(at) === '/' ? '/' : ''
  if (closing !== '') at++
  const from = at
  while (at < text.length && at < from + 40 && isNameCode(text.charCodeAt(at))) at++
  if (at === from) return null
  const tag: HtmlTag = {
    name: closing + text.slice(from, at).replaceAll('\0', '').toLowerCase(),
    attributes: [],
    start,
    end: at,
    closed: false,
    cut: false
  }
  readAttributes(text, at, tag)
  return tag
}

function isNameCode (code: number): boolean {
  const low = code | 32
  return (low >= 97 && low <= 122) || (code >= 48 && code <= 58) || code === 45 || code === 95 ||
    code === 33 || code === 63 || code === 37 || code === 0
}

function readAttributes (text: string, from: number, tag: HtmlTag): void {
  let at = from
  while (at < text.length && tag.attributes.length < ATTRIBUTES_MAX) {
    const code = text.charCodeAt(at)
    if (isBlank(code) || code === 34 || code === 39) { at++; continue }
    if (code === 62) {
      tag.closed = true
      tag.end = at + 1
      return
    }
    if (code === 60) break
    at = readAttribute(text, at, tag)
  }
  tag.cut = tag.attributes.length >= ATTRIBUTES_MAX
  tag.end = Math.min(at, text.length)
}

function readAttribute (text: string, from: number, tag: HtmlTag): number {
  let at = from
  while (
    at < text.length && at < from + 64 && !isBlank(text.charCodeAt(at)) && !'=><"\''.includes(text.charAt(at))
  ) at++
  const name = text.slice(from, at).toLowerCase()
  if (at === from) at++
  let ahead = at
  while (ahead < at + 16 && text.charCodeAt(ahead) <= 32) ahead++
  if (text.charAt(ahead) !== '=') {
    tag.attributes.push({ name, value: '' })
    return at
  }
  ahead++
  const blanksFrom = ahead
  while (ahead < blanksFrom + 16 && text.charCodeAt(ahead) <= 32) ahead++
  return readValue(text, ahead, name, tag)
}

/** Blanks and `>`; other control characters belong to a value without quotes. */
function endsValue (code: number): boolean {
  return code === 62 || code === 32 || (code >= 9 && code <= 13)
}

function readValue (text: string, from: number, name: string, tag: HtmlTag): number {
  const quote = text.charAt(from)
  let end: number
  let value: string
  if (quote === '"' || quote === "'" || quote === '`') {
    const close = text.indexOf(quote, from + 1)
    end = close === -1 ? text.length : close + 1
    value = text.slice(from + 1, close === -1 ? text.length : close)
  } else {
    end = from
    while (end < text.length && !endsValue(text.charCodeAt(end))) end++
    value = text.slice(from, end)
  }
  tag.attributes.push({ name, value: value.length > 4096 ? value.slice(0, 4096) : value })
  return end
}
