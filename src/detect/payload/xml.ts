import { decodeEntities } from './decode.ts'
import { inspectName, inspectValue, leaveOut } from './inspection.ts'
import type { Inspection } from './inspection.ts'
import { VALUES_MAX, XML_ATTRIBUTES_MAX, XML_JOINED_CHARACTERS_MAX, XML_PROLOG_CHARACTERS_MAX } from './bounds.ts'

/**
 * XML without building a tree: the prolog is judged as it stands (entities live there), texts, attributes and
 * CDATA as values.
 */
export function inspectXml (inspection: Inspection, text: string, place: string): void {
  const prologEnd = /<(?:(?![!?])[\w:]|!\[CDATA\[)/.exec(text)?.index ?? text.length
  const prolog = text.slice(0, Math.min(prologEnd, XML_PROLOG_CHARACTERS_MAX))
  if (prologEnd > XML_PROLOG_CHARACTERS_MAX) {
    leaveOut(inspection, `${place}: XML prolog beyond ${XML_PROLOG_CHARACTERS_MAX} characters`)
  }
  if (prolog.includes('<!')) inspectValue(inspection, 'xml', place + ' (prolog)', prolog, '', 2)
  const included = text.includes('XInclude')
    ? text.indexOf('<', Math.max(0, text.indexOf('XInclude') - 1_024))
    : text.indexOf('<xi:')
  if (included !== -1) inspectValue(inspection, 'xml', place, text.slice(included, included + 4_096), '', 2)
  let joined = ''
  let joinedParts = 0
  let at = prologEnd
  for (let count = 0; at < text.length && at !== -1; count++) {
    if (count >= VALUES_MAX) return leaveOut(inspection, `${place}: XML beyond ${VALUES_MAX} elements`)
    const cdata = text.startsWith('<![CDATA[', at)
    const end = cdata ? text.indexOf(']]>', at) : text.indexOf('>', at)
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
  // `<![CDATA[<]]>script<![CDATA[>]]>` is one text to the reader.
  if (joined.length > XML_JOINED_CHARACTERS_MAX && joinedParts > 1) {
    leaveOut(inspection, `${place}: XML texts as one beyond ${XML_JOINED_CHARACTERS_MAX} characters`)
  }
  if (joinedParts > 1 && joined.includes('<')) inspectValue(inspection, 'xml', place, joined, '', 2)
}

function add (joined: string, more: string): string {
  return joined.length > XML_JOINED_CHARACTERS_MAX ? joined : joined + more
}

const ATTRIBUTE = /([\w:.-]{1,80})\s{0,4}=\s{0,4}(?:"([^"]*)"|'([^']*)')/g

function inspectTag (inspection: Inspection, tag: string, place: string): void {
  if (tag.startsWith('/') || tag.startsWith('!')) return
  const name = /^[^\s/>]{1,200}/.exec(tag)?.[0] ?? ''
  if (/^(?:script|iframe|object|embed|applet|svg|img)$/i.test(name)) {
    inspectValue(inspection, 'xml', place, `<${tag}>`, '', 2)
  }
  if (name.length > 8) inspectName(inspection, 'xml', place, name)
  if (!tag.includes('=')) return
  ATTRIBUTE.lastIndex = 0
  for (let count = 0; ; count++) {
    const match = ATTRIBUTE.exec(tag)
    if (match === null) return
    if (count >= XML_ATTRIBUTES_MAX) {
      return leaveOut(inspection, `${place}: attributes of one element beyond the ${XML_ATTRIBUTES_MAX}th`)
    }
    const value = decodeEntities(match[2] ?? match[3] ?? '')
    if (/^xmlns(?::|$)|:schemalocation$/i.test(match[1] as string)) continue
    inspectValue(
      inspection,
      'xml',
      `${place}.${(match[1] as string).slice(0, 32)}`,
      value,
      (match[1] as string).toLowerCase(),
      0
    )
  }
}
