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
 * XML without building a tree: the prolog is judged as it stands (entities live there), texts, attributes and
 * CDATA as values.
 */
export function inspectXml (inspection: Inspection, text: string, place: string): void {
  const prologEnd = /<(?:(?![!?])[\w:]|!\[CDATA\[)/.exec(text)?.index ?? text.length
  const prolog = text.slice(0, Math.min(prologEnd, XML_PROLOG_CHARACTERS_MAX))
  if (prologEnd > XML_PROLOG_CHARACTERS_MAX) {
    leaveBeyond(inspection, `${place}: XML prolog beyond ${XML_PROLOG_CHARACTERS_MAX} characters`)
  }
  if (prolog.includes('<!')) inspectValue(inspection, 'xml', place + ' (prolog)', prolog, '', FLAT)
  inspectIncluded(inspection, text, place)
  // Quotes that never close make a tag of all that follows, for each tag anew.
  const budget = { left: 4 * text.length }
  let joined = ''
  let joinedParts = 0
  let at = prologEnd
  for (let count = 0; at < text.length && at !== -1; count++) {
    if (count >= VALUES_MAX) return leaveBeyond(inspection, `${place}: XML beyond ${VALUES_MAX} elements`)
    const cdata = text.startsWith('<![CDATA[', at)
    const end = cdata ? text.indexOf(']]>', at) : endOfTag(text, at, budget)
    const stop = end === -1 ? text.length : end
    if (cdata) {
      joined = add(joined, text.slice(at + 9, stop))
      inspectValue(inspection, 'xml', place, text.slice(at + 9, stop), '', 0)
      joinedParts++
    } else inspectTag(inspection, text.slice(at + 1, stop), place)
    const textFrom = end === -1 ? text.length : end + (cdata ? 3 : 1)
    const next = text.indexOf('<', textFrom)
    const content = text.slice(textFrom, next === -1 ? text.length : next)
    if (content.trim().length > 1) {
      const value = decodeEntities(content)
      inspectValue(inspection, 'xml', place, value, '', 0)
      joined = add(joined, value)
      joinedParts++
    }
    at = next
  }
  if (budget.left <= 0) leaveBeyond(inspection, `${place}: XML tags beyond their bound`)
  // `<![CDATA[<]]>script<![CDATA[>]]>` is one text to the reader.
  if (joined.length > XML_JOINED_CHARACTERS_MAX && joinedParts > 1) {
    leaveBeyond(inspection, `${place}: XML texts as one beyond ${XML_JOINED_CHARACTERS_MAX} characters`)
  }
  if (joinedParts > 1 && joined.includes('<')) inspectValue(inspection, 'xml', place, joined, '', FLAT)
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
  if (first === -1 || text.charCodeAt(at + 1) === 33) return first
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

function add (joined: string, more: string): string {
  return joined.length > XML_JOINED_CHARACTERS_MAX ? joined : joined + more
}

/** The value of an attribute; its name is read backwards from here, so that a long name is read once. */
const ATTRIBUTE = /=\s*(?:"([^"]*)"|'([^']*)')/g
const NAME_CHARACTERS_MAX = 80

function inspectTag (inspection: Inspection, tag: string, place: string): void {
  if (tag.startsWith('/') || tag.startsWith('!')) return
  const name = /^[^\s/>]{1,200}/.exec(tag)?.[0] ?? ''
  if (/^(?:script|iframe|object|embed|applet|svg|img)$/i.test(name)) {
    inspectValue(inspection, 'xml', place, `<${tag}>`, '', FLAT)
  }
  if (name.length > 8) inspectName(inspection, 'xml', place, name)
  if (!tag.includes('=')) return
  ATTRIBUTE.lastIndex = 0
  for (let count = 0; ; count++) {
    const match = ATTRIBUTE.exec(tag)
    if (match === null) return
    if (count >= XML_ATTRIBUTES_MAX) {
      return leaveBeyond(inspection, `${place}: attributes of one element beyond the ${XML_ATTRIBUTES_MAX}th`)
    }
    const before = tag.slice(Math.max(0, match.index - NAME_CHARACTERS_MAX), match.index).trimEnd()
    const attribute = /(?<![\w:.-])[\w:.-]+$/.exec(before)?.[0] ?? ''
    const value = decodeEntities(match[1] ?? match[2] ?? '')
    if (/^xmlns(?::|$)|:schemalocation$/i.test(attribute) && ADDRESSES.test(value)) continue
    inspectValue(inspection, 'xml', `${place}.${attribute.slice(0, 32)}`, value, attribute.toLowerCase(), 0)
  }
}

/** Names of namespaces, and where their schemas are. */
const ADDRESSES = /^[\w:/.#?=~+@-]*(?:\s+[\w+-]*[:/.][\w:/.#?=~+@-]*)*$/
