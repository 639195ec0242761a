import {
  CHARACTERS_MAX,
  DECODE_STEPS_MAX,
  NESTED_TEXT_CHARACTERS_MAX,
  NESTED_TEXT_DEPTH_MAX,
  PLACE_CHARACTERS_MAX,
  REMARKS_MAX,
  VALUES_MAX,
  WINDOW_CHARACTERS,
  WINDOW_OVERLAP
} from './bounds.ts'
import { CHAR, scan, seen } from './characters.ts'
import {
  HAS_LOOK_ALIKE,
  decodeBase64,
  decodeEntities,
  decodeEscapes,
  decodePercent,
  decodeUtf7,
  foldWidth
} from './decode.ts'
import { inspectReading } from './inspect-reading.ts'
import { isForbiddenParameter } from '../../std/keys.ts'
import { NAME_FIELD, STREAM_START, techniqueOf } from './findings.ts'
import type { Finding, PlaceKind } from './findings.ts'
import { walkJson } from './json-values.ts'

/** One request's inspection under way: what was found, what was left out, and what is left of the bounds. */
export interface Inspection {
  findings: Finding[]
  notInspected: string[]
  values: number
  characters: number
  /** The request is for a route of ours, which refuses forbidden keys itself (transports/http/own-keys.ts). */
  own: boolean
  /** A page was asked for by its address: a person's browser, not a program and not a page's script. */
  navigates: boolean
}

export function createInspection (own: boolean): Inspection {
  return { findings: [], notInspected: [], values: 0, characters: 0, own, navigates: false }
}

/** Names what was left out, once. */
export function leaveOut (inspection: Inspection, what: string): void {
  const remarks = inspection.notInspected
  if (remarks.length >= REMARKS_MAX || remarks.includes(what)) return
  remarks.push(remarks.length === REMARKS_MAX - 1 ? 'and more' : what)
}

/** Joins a place and a field's name, bounded. */
export function placeOf (prefix: string, name: string): string {
  const place = `${prefix}.${name}`
  return place.length > PLACE_CHARACTERS_MAX ? place.slice(0, PLACE_CHARACTERS_MAX) : place
}

/** A field's name is judged only when it holds more than names hold. */
export function inspectName (inspection: Inspection, kind: PlaceKind, place: string, name: string): void {
  if (inspection.own && isForbiddenParameter(name) && BARE_KEY.test(name)) return noteOwnKey(inspection, place, name)
  scan(name)
  if (
    (seen.characters & ~(CHAR.dash | CHAR.dot | CHAR.bracket | CHAR.colon)) === 0 && !/__|proto/.test(name) &&
    (seen.words === 0 || name.length < 24) && !isTelling(name) && name.length < 64
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

/** Judges one value in every reading a parser may give it. `depth` counts text inside text. */
export function inspectValue (
  inspection: Inspection,
  kind: PlaceKind,
  place: string,
  text: string,
  field: string,
  depth: number
): void {
  if (text.length < 2) return
  if (++inspection.values > VALUES_MAX) return leaveOut(inspection, `values beyond the ${VALUES_MAX}th`)
  if ((inspection.characters += text.length) > CHARACTERS_MAX) {
    return leaveOut(inspection, `text beyond ${CHARACTERS_MAX} characters`)
  }
  scan(text)
  if (seen.characters === 0 && seen.words === 0 && text.length < 16 && !STREAM_START.test(text)) return
  if (text.length <= WINDOW_CHARACTERS) return inspectReadings(inspection, kind, place, text, field, depth)
  if (/^\s*[{[]|^[\w+/=-]{64}/.test(text.slice(0, 80))) {
    leaveOut(inspection, `${place}: text inside text beyond ${NESTED_TEXT_CHARACTERS_MAX} characters`)
  }
  for (let from = 0; from < text.length; from += WINDOW_CHARACTERS - WINDOW_OVERLAP) {
    inspectReadings(inspection, kind, place, text.slice(from, from + WINDOW_CHARACTERS), field, depth)
  }
}

const BASE64_PICTURE = /^data:(?:image\/(?!svg)|audio|video|font|application\/(?:pdf|octet-stream))[\w/+.-]*;base64,/

function inspectReadings (
  inspection: Inspection,
  kind: PlaceKind,
  place: string,
  text: string,
  field: string,
  depth: number
): void {
  if (BASE64_PICTURE.test(text.slice(0, 64))) return
  let reading = text
  for (let step = 0; ; step++) {
    for (const what of inspectReading(inspection.findings, kind, place, reading, field)) {
      leaveOut(inspection, `${place}: ${what}`)
    }
    const next = decodeOnce(reading)
    if (next === reading) break
    if (step >= DECODE_STEPS_MAX) {
      leaveOut(inspection, `${place}: encoded more than ${DECODE_STEPS_MAX} times`)
      break
    }
    reading = next
  }
  if (text.length > NESTED_TEXT_CHARACTERS_MAX || depth >= NESTED_TEXT_DEPTH_MAX) {
    if (/^\s*[{[]["{[]/.test(text.slice(0, 64)) && depth < 2 * NESTED_TEXT_DEPTH_MAX && kind !== 'header') {
      leaveOut(inspection, `${place}: text inside text beyond its bound`)
    }
    return
  }
  inspectNested(inspection, kind, place, reading, field, depth)
}

const ENTITY_HINT = /&(?:#|[a-z]{2,8};|l(?:par|t|brace)|newline|tab|colon)/i
const ESCAPE_HINT = /\\[ux]/i

/** One more step of what a lax chain of parsers decodes; the same text when there is none. */
export function decodeOnce (text: string): string {
  let next = text
  if (next.includes('%')) next = decodePercent(next, false)
  if (next.includes('&') && ENTITY_HINT.test(next)) next = decodeEntities(next)
  if (next.includes('\\') && ESCAPE_HINT.test(next)) next = decodeEscapes(next)
  if (next.includes('+A')) next = decodeUtf7(next)
  if (HAS_LOOK_ALIKE.test(next)) next = foldWidth(next)
  return next
}

/** JSON and base64 inside a string are read as their receivers would. */
function inspectNested (
  inspection: Inspection,
  kind: PlaceKind,
  place: string,
  text: string,
  field: string,
  depth: number
): void {
  const first = text.charCodeAt(0)
  if ((first === 123 || first === 91) && text.length > 6) {
    const value = parseJson(text)
    if (value !== undefined) {
      walkJson(
        value,
        kind,
        place,
        (innerKind, innerPlace, inner, name) =>
          inspectValue(inspection, innerKind, innerPlace, inner, name, depth + 1),
        (innerPlace, name) => inspectName(inspection, 'json', innerPlace, name),
        (what) => leaveOut(inspection, what)
      )
    }
    return
  }
  const decoded = decodeBase64(text)
  if (decoded !== null) inspectValue(inspection, kind, place + ' (base64)', decoded, field, depth + 1)
}

/** JSON as a value, or undefined when it is none. */
export function parseJson (text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    // Not JSON: the text itself is judged.
    return undefined
  }
}
