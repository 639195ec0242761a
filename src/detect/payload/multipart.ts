import {
  BOUNDARIES_MAX,
  FILE_NAME_CHARACTERS_MAX,
  FILE_NAMES_MAX,
  FLAT,
  PART_HEAD_CHARACTERS_MAX,
  PART_NAME_CHARACTERS_MAX
} from './bounds.ts'
import { beginsAsFile, isBinary, isMostlyReadable } from './files.ts'
import { inspectBytes, inspectFile, inspectName, inspectValue, leaveBeyond, placeOf } from './inspection.ts'
import type { Inspection } from './inspection.ts'
import { inspectJsonBody } from './json-body.ts'
import { inspectTextInBytes } from './text-in-bytes.ts'
import { inspectXml } from './xml.ts'

/**
 * The boundaries that a content type names, or the one that the text begins with. Of several, parsers take the first or
 * the last. At most BOUNDARIES_MAX.
 */
export function boundariesOf (inspection: Inspection, contentType: string, text: string): string[] {
  const named = [...contentType.matchAll(/boundary\*?=["']?([^"';,\s]{1,100})/gi)].map((match) => match[1] as string)
  const shown = /^\s{0,4}--([^\r\n]{1,100})/.exec(text)?.[1]?.trim()
  if (shown !== undefined && !named.some((one) => shown.startsWith(one))) named.push(shown)
  const boundaries = [...new Set(named)]
  if (boundaries.length > BOUNDARIES_MAX) leaveBeyond(inspection, `body: boundaries beyond the ${BOUNDARIES_MAX}rd`)
  return firstAndLast(boundaries, BOUNDARIES_MAX)
}

function firstAndLast (all: string[], most: number): string[] {
  return all.length <= most ? all : [...all.slice(0, most - 1), all.at(-1) as string]
}

/**
 * `multipart/form-data`: fields are values, file names are judged as such, files by what they begin as. What stands
 * before the first part and after the last is no part to most parsers, and text to some. False where there is no part.
 */
export function inspectMultipart (inspection: Inspection, text: string, boundary: string, partsMax: number): boolean {
  const delimiter = '--' + boundary
  let at = nextDelimiter(text, delimiter, 0)
  if (at === -1) return false
  inspectOutside(inspection, text.slice(0, at))
  for (let count = 0; at !== -1; count++) {
    if (count >= partsMax) {
      leaveBeyond(inspection, `body: parts beyond the ${partsMax}th`)
      return true
    }
    const from = at + delimiter.length
    const next = nextDelimiter(text, delimiter, from)
    const part = text.slice(from, next === -1 ? text.length : next)
    if (part.startsWith('--')) inspectOutside(inspection, part.slice(2))
    else inspectPart(inspection, part)
    at = next
  }
  return true
}

/** A delimiter begins its line (RFC 2046, 5.1.1): within one it is part of a value. */
function nextDelimiter (text: string, delimiter: string, from: number): number {
  let at = text.indexOf(delimiter, from)
  while (at > 0 && text.charCodeAt(at - 1) !== 10 && text.charCodeAt(at - 1) !== 13) {
    at = text.indexOf(delimiter, at + 1)
  }
  return at
}

function inspectOutside (inspection: Inspection, text: string): void {
  if (/\S/.test(text)) inspectValue(inspection, 'text', 'body', text.trim(), '', 0)
}

function inspectPart (inspection: Inspection, part: string): void {
  const split = /\r?\n\r?\n/.exec(part)
  // A part without a head is one to nobody; its text may be a value to somebody.
  if (split === null) inspectOutside(inspection, part)
  const headEnd = split === null ? part.length : split.index
  if (headEnd > PART_HEAD_CHARACTERS_MAX && split !== null) {
    leaveBeyond(inspection, `body: a part's head beyond ${PART_HEAD_CHARACTERS_MAX} characters`)
  }
  const head = part.slice(0, Math.min(headEnd, PART_HEAD_CHARACTERS_MAX))
  const content = split === null ? '' : part.slice(split.index + split[0].length, endOfContent(part))
  const name = /[;\s]name=(?:"((?:[^"\\]|\\.){0,400})"|([^;\r\n]{0,400}))/i.exec(head)
  const allFiles = fileNamesOf(head)
  if (allFiles.length > FILE_NAMES_MAX) {
    leaveBeyond(inspection, `body: names of one file beyond the ${FILE_NAMES_MAX}th`)
  }
  const files = firstAndLast(allFiles, FILE_NAMES_MAX)
  const type = (/content-type:\s{0,4}([^\r\n]{0,200})/i.exec(head)?.[1] ?? '').toLowerCase()
  const field = name?.[1] ?? name?.[2] ?? ''
  const place = placeOf('body', field)
  if (field.length >= PART_NAME_CHARACTERS_MAX) {
    leaveBeyond(inspection, `body: a field's name beyond ${PART_NAME_CHARACTERS_MAX} characters`)
  }
  if (field !== '') addPartNameSigns(inspection, place, field)
  addHeadSigns(inspection, place, head, type)
  for (const filename of files) {
    if (filename.length >= FILE_NAME_CHARACTERS_MAX) {
      leaveBeyond(inspection, `body: a file's name beyond ${FILE_NAME_CHARACTERS_MAX} characters`)
    }
    if (filename !== '') inspectValue(inspection, 'filename', place + '.filename', filename, 'filename', FLAT)
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
  inspectContent(inspection, place, field, decodeTransfer(head, content), type, files)
}

const FILE_NAME = /filename\*?=(?:"((?:[^"\\]|\\.){0,1000})"|([^;\r\n]{0,1000}))/gi

function fileNamesOf (head: string): string[] {
  const names: string[] = []
  FILE_NAME.lastIndex = 0
  for (let match = FILE_NAME.exec(head); match !== null; match = FILE_NAME.exec(head)) {
    names.push(match[1] ?? match[2] as string)
  }
  return names
}

/** Where a part's content ends: before the line break that belongs to the next delimiter. */
function endOfContent (part: string): number {
  return part.endsWith('\r\n') ? part.length - 2 : part.endsWith('\n') ? part.length - 1 : part.length
}

/** Quoted-printable is forbidden in forms, and read by parsers that come from mail. Base64 is read as in any value. */
function decodeTransfer (head: string, content: string): string {
  if (!/transfer-encoding:\s{0,4}quoted-printable/i.test(head)) return content
  return content.replace(/=\r?\n/g, '').replace(/=([\da-f]{2})/gi, (_whole: string, hex: string) =>
    String.fromCharCode(parseInt(hex, 16))
  )
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
  fileNames: readonly string[]
): void {
  if (content === '') return
  const isFile = fileNames.length > 0
  const isDeclaredFile = isFile && !type.startsWith('text/')
  if (beginsAsFile(content, isDeclaredFile ? `${type} ${fileNames.join(' ')}` : false)) {
    inspectFile(inspection, content, place)
    // Without a file's name it is the value of a field to most parsers.
    if (!isFile) inspectTextInBytes(inspection, 'multipart', place, content, field.toLowerCase())
    return
  }
  if (type.includes('json') || ((field === 'operations' || field === 'map') && content.startsWith('{'))) {
    return inspectJsonBody(inspection, content, place, !type.includes('json'))
  }
  if (type.includes('xml') || type.includes('svg')) return inspectXml(inspection, content, place)
  if (isBinary(content)) {
    inspectBytes(inspection, content, place)
    if (!isMostlyReadable(content)) {
      if (!isFile) inspectTextInBytes(inspection, 'multipart', place, content, field.toLowerCase())
      return
    }
  }
  inspectValue(inspection, 'multipart', place, content, field.toLowerCase(), 0)
}
