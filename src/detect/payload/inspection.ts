import {
  CHARACTERS_MAX,
  DECODED_CHARACTERS_MAX,
  ENCODED_TEXTS_MAX,
  FLAT,
  FREE_DECODE_STEPS,
  FREE_NESTED_DEPTH,
  NESTED_TEXT_DEPTH_MAX,
  PLACE_CHARACTERS_MAX,
  REMARKS_MAX,
  VALUES_MAX,
  WINDOW_CHARACTERS,
  WINDOW_OVERLAP
} from './bounds.ts'
import { ENCODED_CHARACTERS_MIN, TELLING, mayBeShortBase64, readEncoded } from './base64.ts'
import { CHAR, scan, seen } from './characters.ts'
import { HAS_LOOK_ALIKE, decodeEntities, decodeEscapes, decodePercent, decodeUtf7, foldWidth } from './decode.ts'
import { beginsAsFile, readFile } from './files.ts'
import { inspectReading } from './inspect-reading.ts'
import { isForbiddenParameter } from '../../std/keys.ts'
import { sequence } from '../../std/regex.ts'
import { NAME_FIELD, STREAM_START, techniqueOf } from './findings.ts'
import type { Finding, PlaceKind } from './findings.ts'
import { hasRepeatedKey, walkJson, walkJsonText } from './json-values.ts'
import type { Beyond } from '../shapes.ts'

/** One request's inspection under way: what was found, what was left out, and what is left of the bounds. */
export interface Inspection {
  findings: Finding[]
  notInspected: string[]
  /** Where something that the client put there lies beyond a bound; the body wins, since it is what is cut off. */
  beyond: Beyond | null
  /** The part of the request that is being read. */
  part: Beyond
  values: number
  characters: number
  /** Characters of readings after the steps of decoding that are free. */
  decoded: number
  /** The request is for a route of ours, which refuses forbidden keys itself (transports/http/own-keys.ts). */
  own: boolean
  /** A page was asked for by its address: a person's browser, not a program and not a page's script. */
  navigates: boolean
}

export function createInspection (own: boolean): Inspection {
  return {
    findings: [],
    notInspected: [],
    beyond: null,
    part: 'head',
    values: 0,
    characters: 0,
    decoded: 0,
    own,
    navigates: false
  }
}

/** Names what was left out on purpose, once. */
export function leaveOut (inspection: Inspection, what: string): void {
  const remarks = inspection.notInspected
  if (remarks.length >= REMARKS_MAX || remarks.includes(what)) return
  remarks.push(remarks.length === REMARKS_MAX - 1 ? 'and more' : what)
}

/** Names what the client put beyond a bound of ours: it was not read, and the score says so. */
export function leaveBeyond (inspection: Inspection, what: string): void {
  if (inspection.beyond !== 'body') inspection.beyond = inspection.part
  leaveOut(inspection, what)
}

/** Joins a place and a field's name, bounded. */
export function placeOf (prefix: string, name: string): string {
  const place = `${prefix}.${name}`
  return place.length > PLACE_CHARACTERS_MAX ? place.slice(0, PLACE_CHARACTERS_MAX) : place
}

/** A field's name is judged only when it holds more than names hold. */
export function inspectName (inspection: Inspection, kind: PlaceKind, place: string, name: string): void {
  if (inspection.own && isForbiddenParameter(name) && BARE_KEY.test(name)) return noteOwnKey(inspection, place, name)
  if (name.length >= 16) inspectEncoded(inspection, kind, place, name, '', 0)
  scan(name)
  if (
    (seen.characters & ~(CHAR.dash | CHAR.dot | CHAR.bracket | CHAR.colon)) === 0 &&
    (seen.words === 0 || name.length < 24) && name.length < 64 && !/__|proto/.test(name) && !isTelling(name)
  ) {
    return
  }
  inspectValue(inspection, kind, place, name, NAME_FIELD, 0)
}

/**
 * Nothing but names, and what parsers nest them by: whoever hides more than a key in one is judged by all
 * detectors.
 */
const BARE_KEY = /^[\w$.[\]-]{1,64}$/

/**
 * Less than a probe is counted from (history.ts): an application with a wrong name in it sends it with every
 * request.
 */
const OWN_KEY = 0.1

/**
 * A forbidden key in our own arguments reaches no store: it is answered 400, counted and recorded. As
 * evidence it is one weak sign, so that whoever sends it learns what is wrong with the request, and that a
 * mistake of a client bans nobody.
 */
function noteOwnKey (inspection: Inspection, place: string, name: string): void {
  const rule = name.includes('$')
    ? 'nosqli.own-key'
    : /proto|constructor/.test(name)
      ? 'proto.own-key'
      : 'nosqli.own-path'
  inspection.findings.push({ rule, grade: 'weak', value: OWN_KEY, match: name, place, technique: techniqueOf(rule) })
}

/** Bare names that say something by themselves: a Java class, a stream header, a setting of PHP. */
function isTelling (name: string): boolean {
  return name.length > 5 && (/\./.test(name) || STREAM_START.test(name) || name.includes('_'))
}

/** Judges one value in every reading a parser may give it. `depth` counts text inside text; FLAT: there is none. */
export function inspectValue (
  inspection: Inspection,
  kind: PlaceKind,
  place: string,
  text: string,
  field: string,
  depth: number
): void {
  if (text.length < 2) return
  if (++inspection.values > VALUES_MAX) return leaveBeyond(inspection, `values beyond the ${VALUES_MAX}th`)
  if ((inspection.characters += text.length) > CHARACTERS_MAX) {
    return leaveBeyond(inspection, `text beyond ${CHARACTERS_MAX} characters`)
  }
  scan(text)
  if (seen.characters === 0 && seen.words === 0 && text.length < 16 && !STREAM_START.test(text)) {
    if (!mayBeShortBase64(text)) return
    // One plain word: no detector looks at it, but for what a name may ask for behind `__`.
    if (field !== NAME_FIELD || !text.includes('__')) {
      if (depth < FLAT) inspectEncoded(inspection, kind, place, text, field, depth)
      return
    }
  }
  if (text.startsWith('data:') && isFileAddress(inspection, place, text)) return
  if (text.length <= WINDOW_CHARACTERS) return inspectReadings(inspection, kind, place, text, field, depth)
  for (let from = 0; from < text.length; from += WINDOW_CHARACTERS - WINDOW_OVERLAP) {
    inspectReadings(inspection, kind, place, text.slice(from, from + WINDOW_CHARACTERS), field, depth)
  }
  if (depth < FLAT) inspectJsonText(inspection, kind, place, text, depth)
}

const FILE_ADDRESS = sequence([
  /^data:(?:image\/(?!svg)|audio\/|video\/|font\/|application\/(?:pdf|octet-stream|zip|x-font|font|vnd))[\w.+-]{0,80}/,
  /(?:;[\w-]{1,40}=[\w."-]{0,80}){0,4};base64,/
])
/** Base64 of the first bytes, where a file says what it is. */
const FILE_HEAD_CHARACTERS = 1_024

/** Padding ends it: what follows is another text, which lenient decoders read and which this file does not hold. */
const ONE_BASE64 = /^[A-Za-z0-9+/\s]*(?:=[=\s]*)?$/

/**
 * A picture in a `data:` address: only where all that follows is base64, and what it holds begins as such a file does.
 * What stands in the file is read as in an uploaded one.
 */
function isFileAddress (inspection: Inspection, place: string, text: string): boolean {
  const head = FILE_ADDRESS.exec(text)?.[0]
  if (head === undefined) return false
  const start = Buffer.from(text.slice(head.length, head.length + FILE_HEAD_CHARACTERS), 'base64').toString('latin1')
  if (!beginsAsFile(start, head) || !ONE_BASE64.test(text.slice(head.length))) return false
  const content = Buffer.from(text.slice(head.length), 'base64').toString('latin1')
  inspectFile(inspection, content, place)
  return true
}

/**
 * Pictures and other files: code that a server would run where it finds it, and text among the bytes where it is an
 * attack without another reading, since files quote addresses and markup. The receipt says that the rest was not read.
 * `isDeclared`: they were sent as what they begin as.
 */
export function inspectFile (inspection: Inspection, text: string, place: string, isDeclared = true): void {
  leaveOut(inspection, `${place}: a file, read for marks of code only`)
  const { marks, texts, cut } = readFile(text, isDeclared)
  for (const mark of marks) inspectValue(inspection, 'multipart', place, mark, '', FLAT)
  const before = inspection.findings.length
  for (const piece of texts) inspectValue(inspection, 'multipart', place, piece, '', FLAT)
  keepCertain(inspection, before)
  if (cut) leaveBeyond(inspection, `${place}: a file's text beyond its bound`)
}

/** Of the findings from `from` on, those without another reading. */
function keepCertain (inspection: Inspection, from: number): void {
  if (inspection.findings.length === from) return
  const recent = inspection.findings.splice(from)
  for (const finding of recent) if (finding.grade === 'certain') inspection.findings.push(finding)
}

/** Bytes of no known kind: their text is judged, the rest is no text to anybody. */
export function inspectBytes (inspection: Inspection, text: string, place: string): void {
  leaveOut(inspection, `${place}: bytes, read for their text only`)
  const { marks, texts, cut } = readFile(text, false)
  for (const piece of [...marks, ...texts]) inspectValue(inspection, 'text', place, piece, '', 0)
  if (cut) leaveBeyond(inspection, `${place}: text among bytes beyond its bound`)
}

function inspectReadings (
  inspection: Inspection,
  kind: PlaceKind,
  place: string,
  text: string,
  field: string,
  depth: number
): void {
  let reading = text
  let isJson = false
  for (let step = 0; ; step++) {
    for (const what of inspectReading(inspection.findings, kind, place, reading, field)) {
      leaveBeyond(inspection, `${place}: ${what}`)
    }
    const { characters } = seen
    // `{"a":"\u0022"}` is JSON as it stands, and none once its escapes are read.
    if (
      depth < FLAT && (characters & JSON_MARKS) !== 0 && inspectJsonText(inspection, kind, place, reading, depth)
    ) {
      isJson = true
    }
    const next = (characters & ENCODING_MARKS) === 0 ? reading : decodeOnce(reading)
    if (next === reading) break
    if (step >= FREE_DECODE_STEPS && !mayDecode(inspection, next.length)) {
      leaveBeyond(inspection, `${place}: encoded too often`)
      break
    }
    reading = next
  }
  if (!isJson && depth < FLAT && reading.length >= ENCODED_CHARACTERS_MIN) {
    inspectEncoded(inspection, kind, place, reading, field, depth)
  }
}

const JSON_MARKS = CHAR.brace | CHAR.bracket
/** Without one of these, `decodeOnce` has nothing to decode. */
const ENCODING_MARKS = CHAR.percent | CHAR.ampersand | CHAR.backslash | CHAR.plus | CHAR.control | CHAR.nonAscii

/** Takes decoded characters from what the request has left. */
function mayDecode (inspection: Inspection, characters: number): boolean {
  inspection.decoded += characters
  return inspection.decoded <= DECODED_CHARACTERS_MAX
}

const ENTITY_HINT = /&(?:#|[a-z]{2,8};|l(?:par|t|brace)|newline|tab|colon)/i
const ESCAPE_HINT = /\\[ux]/i

/** One more step of what a lax chain of parsers decodes; the same text when there is none. */
export function decodeOnce (text: string): string {
  // Alone, so that JSON behind it is seen before its own escapes are read.
  if (text.includes('%')) {
    const plain = decodePercent(text, false)
    if (plain !== text) return plain
  }
  let next = text
  if (next.includes('&') && ENTITY_HINT.test(next)) next = decodeEntities(next)
  if (next.includes('\\') && ESCAPE_HINT.test(next)) next = decodeEscapes(next)
  if (next.includes('+A')) next = decodeUtf7(next)
  // Text in UTF-16 that is read byte by byte.
  if (next.includes('\0')) next = next.replaceAll('\0', '')
  if (HAS_LOOK_ALIKE.test(next)) next = foldWidth(next)
  return next
}

/** Texts in base64 or in hex that a value is or holds, each as a value of its own. */
export function inspectEncoded (
  inspection: Inspection,
  kind: PlaceKind,
  place: string,
  text: string,
  field: string,
  depth: number
): void {
  let telling = 0
  for (const one of readEncoded(text)) {
    // Ids and plain words are of no cost, and lists of them are long.
    if (one.grade !== 'file' && TELLING.test(one.text) && ++telling > ENCODED_TEXTS_MAX) {
      return leaveBeyond(inspection, `${place}: base64 beyond the ${ENCODED_TEXTS_MAX}th text`)
    }
    if (!mayNest(inspection, place, one.text, depth)) return
    const before = inspection.findings.length
    if (one.grade === 'file') {
      inspectFile(inspection, one.text, `${place} (base64)`, false)
      continue
    }
    // Of JSON its strings are judged; the text around them is what a session or a token is made of.
    if (!inspectJsonText(inspection, kind, `${place} (base64)`, one.text, depth)) {
      inspectValue(inspection, kind, `${place} (base64)`, one.text, field, depth + 1)
    }
    if (one.grade === 'doubtful') keepCertain(inspection, before)
  }
}

/** Text inside text: the first levels are free, deeper ones are bounded by their characters. */
function mayNest (inspection: Inspection, place: string, text: string, depth: number): boolean {
  if (depth < FREE_NESTED_DEPTH || (depth < NESTED_TEXT_DEPTH_MAX && mayDecode(inspection, text.length))) return true
  leaveBeyond(inspection, `${place}: text inside text beyond its bound`)
  return false
}

const JSON_START = /^[\s\ufeff]{0,64}[{[]/

/** Judges a text that is JSON, as its receiver would read it; false when it is none. */
export function inspectJsonText (
  inspection: Inspection,
  kind: PlaceKind,
  place: string,
  text: string,
  depth: number
): boolean {
  if (text.length < 7 || text.length > CHARACTERS_MAX || !JSON_START.test(text)) return false
  const value = parseJson(text)
  if (value === undefined || !mayNest(inspection, place, text, depth)) return false
  const visit = {
    onValue: (innerKind: PlaceKind, innerPlace: string, inner: string, name: string) =>
      inspectValue(inspection, innerKind, innerPlace, inner, name, depth + 1),
    onName: (innerPlace: string, name: string) => inspectName(inspection, 'json', innerPlace, name),
    leaveBeyond: (what: string) => leaveBeyond(inspection, what)
  }
  if (hasRepeatedKey(text, value)) walkJsonText(text, kind, place, visit)
  else walkJson(value, kind, place, visit)
  return true
}

/** JSON as a value, or undefined when it is none. */
export function parseJson (text: string): unknown {
  try {
    return JSON.parse(text.charCodeAt(0) === 0xfeff ? text.slice(1) : text)
  } catch {
    // Not JSON: the text itself is judged.
    return undefined
  }
}
