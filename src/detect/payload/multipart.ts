import { FILE_NAME_CHARACTERS_MAX, PART_HEAD_CHARACTERS_MAX, PART_NAME_CHARACTERS_MAX } from './bounds.ts'
import type { Inspection } from './inspection.ts'
import { inspectName, inspectValue, leaveOut, parseJson, placeOf } from './inspection.ts'
import { inspectBinary } from './binary.ts'
import { inspectJson } from './json-body.ts'
import { inspectXml } from './xml.ts'

/** `multipart/form-data`: fields are values, file names are judged as such, files by what they claim to be. */
export function inspectMultipart (inspection: Inspection, text: string, contentType: string, partsMax: number): void {
  const boundary = /boundary="?([^";,\s]{1,100})/i.exec(contentType)?.[1] ??
    /^\s{0,4}--([^\r\n]{1,100})/.exec(text)?.[1]
  if (boundary === undefined) return inspectValue(inspection, 'text', 'body', text, '', 0)
  const delimiter = '--' + boundary.trim()
  let at = text.indexOf(delimiter)
  if (at === -1) return inspectValue(inspection, 'text', 'body', text, '', 0)
  for (let count = 0; at !== -1; count++) {
    if (count >= partsMax) return leaveOut(inspection, `body: parts beyond the ${partsMax}th`)
    const from = at + delimiter.length
    if (text.startsWith('--', from)) return
    const next = text.indexOf(delimiter, from)
    inspectPart(inspection, text.slice(from, next === -1 ? text.length : next))
    at = next
  }
}

function inspectPart (inspection: Inspection, part: string): void {
  const split = /\r?\n\r?\n/.exec(part)
  const headEnd = split === null ? part.length : split.index
  if (headEnd > PART_HEAD_CHARACTERS_MAX && split !== null) {
    leaveOut(inspection, `body: a part's head beyond ${PART_HEAD_CHARACTERS_MAX} characters`)
  }
  const head = part.slice(0, Math.min(headEnd, PART_HEAD_CHARACTERS_MAX))
  const content = split === null ? '' : part.slice(split.index + split[0].length).replace(/\r?\n$/, '')
  const name = /[;\s]name=(?:"((?:[^"\\]|\\.){0,400})"|([^;\r\n]{0,400}))/i.exec(head)
  const file = /filename\*?=(?:"((?:[^"\\]|\\.){0,1000})"|([^;\r\n]{0,1000}))/i.exec(head)
  const type = (/content-type:\s{0,4}([^\r\n]{0,200})/i.exec(head)?.[1] ?? '').toLowerCase()
  const field = name?.[1] ?? name?.[2] ?? ''
  const place = placeOf('body', field)
  if (field.length >= PART_NAME_CHARACTERS_MAX) {
    leaveOut(inspection, `body: a field's name beyond ${PART_NAME_CHARACTERS_MAX} characters`)
  }
  if (field !== '') addPartNameSigns(inspection, place, field)
  addHeadSigns(inspection, place, head, type)
  const filename = file?.[1] ?? file?.[2]
  if (filename !== undefined && filename.length >= FILE_NAME_CHARACTERS_MAX) {
    leaveOut(inspection, `body: a file's name beyond ${FILE_NAME_CHARACTERS_MAX} characters`)
  }
  if (filename !== undefined && filename !== '') {
    inspectValue(inspection, 'filename', place + '.filename', filename, 'filename', 1)
  }
  // A form may say in which charset it is (HTML, 4.10.21.5): what reads it there reads other text than we do.
  if (field === '_charset_' && !USUAL_CHARSET.test(content.trim().toLowerCase())) {
    inspection.findings.push({
      rule: 'upload.charset',
      grade: 'likely',
      value: 0.77,
      match: content.slice(0, 30),
      place,
      technique: 'T1027'
    })
  }
  inspectContent(inspection, place, field, content, type, filename !== undefined)
}

const USUAL_CHARSET = /^(?:utf-?8|us-ascii|ascii|iso-8859-1|iso-8859-15|windows-1252|latin1)$/

function addPartNameSigns (inspection: Inspection, place: string, field: string): void {
  inspectName(inspection, 'multipart', place, field)
  if (/[;'"=\\]/.test(field)) {
    inspection.findings.push({
      rule: 'upload.odd-field',
      grade: 'likely',
      value: 0.76,
      match: field.slice(0, 40),
      place,
      technique: 'T1190'
    })
  }
}

/**
 * Charsets and encodings that browsers never use in a part, and that make the reader decode something else
 * than we do.
 */
function addHeadSigns (inspection: Inspection, place: string, head: string, type: string): void {
  const charset = /charset\s{0,2}=\s{0,2}"?'?([\w-]{1,30})/.exec(type)
  if (charset !== null && !USUAL_CHARSET.test(charset[1] as string)) {
    inspection.findings.push({
      rule: 'upload.charset',
      grade: 'likely',
      value: 0.77,
      match: charset[0],
      place,
      technique: 'T1027'
    })
  }
  if (/boundary\s{0,4}=/.test(type) && !type.includes('multipart/')) {
    inspection.findings.push({
      rule: 'upload.part-boundary',
      grade: 'likely',
      value: 0.5,
      match: 'boundary=',
      place,
      technique: 'T1027'
    })
  }
  const transfer = /content-transfer-encoding:\s{0,4}([\w-]{1,30})/i.exec(head)
  if (transfer !== null && !/^(?:binary|7bit|8bit)$/i.test(transfer[1] as string)) {
    inspection.findings.push({
      rule: 'upload.transfer-encoding',
      grade: 'likely',
      value: 0.5,
      match: transfer[0],
      place,
      technique: 'T1027'
    })
  }
}

function inspectContent (
  inspection: Inspection,
  place: string,
  field: string,
  content: string,
  type: string,
  isFile: boolean
): void {
  if (content === '') return
  if (type.includes('json')) {
    const value = parseJson(content)
    if (value !== undefined) return inspectJson(inspection, value, place, false)
  }
  if (type.includes('xml') || type.includes('svg')) return inspectXml(inspection, content, place)
  if (isFile && !type.startsWith('text/') && !type.includes('json')) return inspectBinary(inspection, content, place)
  if ((field === 'operations' || field === 'map') && content.startsWith('{')) {
    const value = parseJson(content)
    if (value !== undefined) return inspectJson(inspection, value, place, true)
  }
  inspectValue(inspection, 'multipart', place, content, field.toLowerCase(), 0)
}
