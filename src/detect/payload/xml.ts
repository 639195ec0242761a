import { decodeEntities } from './decode.ts'
import { inspectName, inspectValue, leaveBeyond } from './inspection.ts'
import type { Inspection } from './inspection.ts'
import {
  FLAT,
  VALUES_MAX,
  WINDOW_OVERLAP,
  XML_ATTRIBUTES_MAX,
  XML_INCLUDED_CHARACTERS_MAX,
  XML_JOINED_CHARACTERS_MAX,
  XML_PROLOG_CHARACTERS_MAX
} from './bounds.ts'

/**
 * XML without building a tree: declarations are judged as they stand (entities live there), texts, attributes, CDATA
 * and comments as values. Markup that is no well-formed XML is HTML or code to another reader, and judged as text.
 */
export function inspectXml (inspection: Inspection, text: string, place: string): void {
  const prologEnd = /<(?:(?![!?])[\w:]|!\[CDATA\[)/.exec(text)?.index ?? text.length
  const prolog = text.slice(0, Math.min(prologEnd, XML_PROLOG_CHARACTERS_MAX))
  if (prologEnd > XML_PROLOG_CHARACTERS_MAX) {
    leaveBeyond(inspection, `${place}: XML prolog beyond ${XML_PROLOG_CHARACTERS_MAX} characters`)
  }
  if (/<!(?!--)/.test(prolog)) inspectValue(inspection, 'xml', place + ' (prolog)', prolog, '', FLAT)
  inspectIncluded(inspection, text, place)
  // Quotes that never close make a tag of all that follows, for each tag anew.
  const budget = { left: 4 * text.length }
  const texts: Texts = { run: '', runParts: 0, joined: '', joinedRuns: 0 }
  let at = text.indexOf('<')
  addText(inspection, texts, at === -1 ? text : text.slice(0, at), place)
  for (let count = 0; at !== -1; count++) {
    if (count >= VALUES_MAX) return leaveBeyond(inspection, `${place}: XML beyond ${VALUES_MAX} elements`)
    const kind = markupAt(text, at)
    const { open, close } = MARKUP[kind]
    const end = kind === 'tag' ? endOfTag(text, at, budget) : text.indexOf(close, at + open.length)
    const inner = text.slice(at + open.length, end === -1 ? text.length : end)
    if (kind === 'tag') endRun(inspection, texts, place)
    if (kind === 'cdata') addText(inspection, texts, inner, place)
    else if (kind === 'comment') inspectComment(inspection, inner, place)
    else if (kind === 'tag' || kind === 'instruction') inspectTag(inspection, inner, kind, place)
    // Declarations before the first element were judged with the prolog.
    else if (kind === 'code' || (kind === 'declaration' && at > prologEnd)) {
      inspectValue(inspection, 'xml', place, open + inner + close, '', FLAT)
    }
    const textFrom = kind === 'text' ? at : end === -1 ? text.length : end + close.length
    const next = text.indexOf('<', textFrom + (kind === 'text' ? 1 : 0))
    if (at >= prologEnd || kind !== 'declaration') {
      addText(inspection, texts, decodeEntities(text.slice(textFrom, next === -1 ? text.length : next)), place)
    }
    at = next
  }
  if (budget.left <= 0) leaveBeyond(inspection, `${place}: XML tags beyond their bound`)
  endRun(inspection, texts, place)
  inspectJoined(inspection, texts, place)
}

function inspectComment (inspection: Inspection, comment: string, place: string): void {
  // Servers run `<!--#exec` and leave other comments alone.
  const text = comment.startsWith('#') ? `<!--${comment}-->` : comment.trim()
  inspectValue(inspection, 'xml', `${place} (comment)`, text, '', 0)
}

type Markup = 'cdata' | 'comment' | 'instruction' | 'code' | 'declaration' | 'tag' | 'text'

/** How each kind of markup opens and closes. `<%` is code to servers that know it; a `<` before no name is text. */
const MARKUP: Record<Markup, { open: string, close: string }> = {
  cdata: { open: '<![CDATA[', close: ']]>' },
  comment: { open: '<!--', close: '-->' },
  instruction: { open: '<?', close: '?>' },
  code: { open: '<%', close: '%>' },
  declaration: { open: '<!', close: '>' },
  tag: { open: '<', close: '>' },
  text: { open: '<', close: '<' }
}

function markupAt (text: string, at: number): Markup {
  const code = text.charCodeAt(at + 1)
  const low = code | 32
  if ((low >= 97 && low <= 122) || code === 47 || code === 95 || code === 58 || code > 127) return 'tag'
  if (code === 63) return 'instruction'
  if (code === 37) return 'code'
  if (code !== 33) return 'text'
  return text.startsWith('<!--', at) ? 'comment' : text.startsWith('<![CDATA[', at) ? 'cdata' : 'declaration'
}

/** What readers take for one text: all that stands between two tags, and the texts of an element with all in it. */
interface Texts {
  run: string
  runParts: number
  joined: string
  joinedRuns: number
}

function addText (inspection: Inspection, texts: Texts, value: string, place: string): void {
  if (value === '') return
  if (texts.run.length <= XML_JOINED_CHARACTERS_MAX) texts.run += value
  if (!/\S/.test(value)) return
  texts.runParts++
  inspectValue(inspection, 'xml', place, value, '', 0)
}

/** A tag ends a run. `<![CDATA[<]]>script<![CDATA[>]]>` is one text to the reader. */
function endRun (inspection: Inspection, texts: Texts, place: string): void {
  if (texts.run === '') return
  if (texts.runParts > 1) {
    leaveBeyondOne(inspection, texts.run, place)
    inspectValue(inspection, 'xml', place, texts.run, '', 0)
  }
  if (texts.joined.length <= XML_JOINED_CHARACTERS_MAX) texts.joined += texts.run
  if (texts.runParts > 0) texts.joinedRuns++
  texts.run = ''
  texts.runParts = 0
}

/**
 * Texts of all elements as one. Without markup in them only what is certain counts: an address and the name of the next
 * element make an odd address.
 */
function inspectJoined (inspection: Inspection, { joined, joinedRuns }: Texts, place: string): void {
  if (joinedRuns < 2) return
  leaveBeyondOne(inspection, joined, place)
  const before = inspection.findings.length
  inspectValue(inspection, 'xml', place, joined, '', FLAT)
  if (joined.includes('<')) return
  const found = inspection.findings.splice(before)
  inspection.findings.push(...found.filter(({ grade }) => grade === 'certain'))
}

function leaveBeyondOne (inspection: Inspection, text: string, place: string): void {
  if (text.length <= XML_JOINED_CHARACTERS_MAX) return
  leaveBeyond(inspection, `${place}: XML texts as one beyond ${XML_JOINED_CHARACTERS_MAX} characters`)
}

/** Text from the first inclusion on: its namespace may stand on an element far before it. */
function inspectIncluded (inspection: Inspection, text: string, place: string): void {
  const mark = text.indexOf('XInclude')
  const from = mark === -1 ? text.indexOf('<xi:') : text.indexOf('<', Math.max(0, mark - 1_024))
  if (from === -1) return
  const end = Math.min(text.length, from + XML_INCLUDED_CHARACTERS_MAX)
  for (let at = from; at < end; at += 4_096) {
    inspectValue(inspection, 'xml', place, text.slice(at, Math.min(end, at + 4_096 + WINDOW_OVERLAP)), '', FLAT)
  }
  if (end === text.length) return
  leaveBeyond(inspection, `${place}: XML inclusions beyond ${XML_INCLUDED_CHARACTERS_MAX} characters`)
}

/** The end of a tag that opens at `at`: a value in quotes may hold `>`. */
function endOfTag (text: string, at: number, budget: { left: number }): number {
  const first = text.indexOf('>', at)
  if (first === -1) return first
  let quote = 0
  for (let end = at + 1; end < text.length && budget.left > 0; end++) {
    budget.left--
    const code = text.charCodeAt(end)
    if (quote !== 0) {
      if (code === quote) quote = 0
    } else if (code === 62) return end
    else if (code === 34 || code === 39) quote = code
  }
  return first
}

/** Elements that run or fetch what they name: judged as markup too. */
const ACTIVE_ELEMENT = /^(?:script|iframe|object|embed|applet|img)$/i
/** A name ends where HTML or XML ends one; each of its characters is one of a name in both. */
const NAME = /^[\w:.\u0080-\uffff-]{1,200}(?=[\s/]|$)/

function inspectTag (inspection: Inspection, tag: string, kind: 'tag' | 'instruction', place: string): void {
  const nameFrom = tag.startsWith('/') ? 1 : 0
  const name = NAME.exec(tag.slice(nameFrom))?.[0] ?? ''
  if (name.length > 8 && nameFrom === 0) inspectName(inspection, 'xml', place, name)
  const rest = tag.slice(nameFrom + name.length)
  const isXml = name !== '' && (rest === '' || inspectAttributes(inspection, rest, kind, place))
  if (isXml && !ACTIVE_ELEMENT.test(name)) return
  const { open, close } = MARKUP[kind]
  inspectValue(inspection, 'xml', place, open + tag + close, '', FLAT)
  // What an instruction or a tag says to another reader may begin behind its name.
  if (!isXml) inspectValue(inspection, 'xml', place, rest.trim(), '', 0)
}

/** The value of an attribute; its name stands before it, so that a long name is read once. */
const ATTRIBUTE = /=\s*(?:"([^"]*)"|'([^']*)')/g
const NAME_CHARACTERS_MAX = 80
const ATTRIBUTE_NAME = /^\s+[\w:.\u0080-\uffff-]+\s*$/
/** What is left of a tag behind its last attribute. */
const TAG_REST: Record<'tag' | 'instruction', RegExp> = { tag: /^\s*\/?$/, instruction: /^\s*$/ }
/** Attributes that HTML takes for handlers, and what makes code of their values. */
const HANDLER = /^on[a-z]{3,24}$/i
const CODE = /[(=`[]|javascript/i

/** Judges the values of attributes. False where the tag holds anything else, or a handler of HTML with code in it. */
function inspectAttributes (
  inspection: Inspection,
  text: string,
  kind: 'tag' | 'instruction',
  place: string
): boolean {
  let isXml = true
  let from = 0
  ATTRIBUTE.lastIndex = 0
  for (let count = 0; ; count++) {
    const match = text.includes('=') ? ATTRIBUTE.exec(text) : null
    if (match === null) {
      const isOver = TAG_REST[kind].test(text.slice(from))
      if (!isOver && from > 0) inspectValue(inspection, 'xml', place, text.slice(from).trim(), '', 0)
      return isXml && isOver
    }
    if (count >= XML_ATTRIBUTES_MAX) {
      leaveBeyond(inspection, `${place}: attributes of one element beyond the ${XML_ATTRIBUTES_MAX}th`)
      return false
    }
    const between = text.slice(from, match.index)
    if (!ATTRIBUTE_NAME.test(between)) {
      isXml = false
      inspectValue(inspection, 'xml', place, between.trim(), '', 0)
    }
    from = ATTRIBUTE.lastIndex
    const before = text.slice(Math.max(0, match.index - NAME_CHARACTERS_MAX), match.index).trimEnd()
    const attribute = /(?<![\w:.-])[\w:.-]+$/.exec(before)?.[0] ?? ''
    const value = decodeEntities(match[1] ?? match[2] ?? '')
    if (HANDLER.test(attribute) && CODE.test(value)) isXml = false
    if (/^xmlns(?::|$)|:schemalocation$/i.test(attribute) && ADDRESSES.test(value)) continue
    inspectValue(inspection, 'xml', `${place}.${attribute.slice(0, 32)}`, value, attribute.toLowerCase(), 0)
  }
}

/** Names of namespaces, and where their schemas are. */
const ADDRESSES = /^[\w:/.#?=~+@-]*(?:\s+[\w+-]*[:/.][\w:/.#?=~+@-]*)*$/
