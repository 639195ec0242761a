/**
 * Files by their first bytes, and the text that stands in them. What calls itself a picture is one only when it begins
 * as pictures do and goes on in bytes: `GIF89a'; DROP TABLE` is text. Text is given byte by byte (Latin-1).
 */
import { anyOf } from '../../std/regex.ts'
import {
  FILE_MARKERS_MAX,
  FILE_MARKER_CHARACTERS,
  FILE_TEXTS_MAX,
  FILE_TEXT_CHARACTERS_MIN,
  VALUES_MAX
} from './bounds.ts'

/** Pictures, sound, film, fonts, archives and programs. Source: the signatures of file(1). */
const MAGIC = anyOf([
  /^\x89PNG\r\n\x1a\n|^GIF8[79]a|^\xff\xd8\xff|^BM[^]{4}\0\0\0\0|^II\*\0|^MM\0\*|^\0\0[\x01\x02]\0/,
  /^8BPS|^\0\0\0\x0cj[PX]|^\xff\x0a/,
  /^RIFF[^]{4}(?:WEBP|WAVE|AVI )|^[^]{4}ftyp|^ID3[\x02-\x04]|^\xff[\xe2-\xff]|^OggS|^fLaC|^MThd|^#!AMR|^FORM/,
  /^\x1aE\xdf\xa3|^FLV\x01|^\0\0\x01[\xb0-\xbf]|^0&\xb2u|^wOF[F2]|^\0\x01\0\0|^OTTO|^true\0|^ttcf/,
  /^PK[\x01\x03\x05][\x02\x04\x06]|^\xd0\xcf\x11\xe0|^\x1f\x8b|^BZh\d|^7z\xbc\xaf|^Rar!|^\xfd7zXZ|^\x28\xb5\x2f\xfd/,
  /^SQLite format 3\0|^\x7fELF|^MZ[^]{2}|^\0asm/
])
/** Formats that are text for long stretches: files only where they were sent as files of such a format. */
const TEXT_MAGIC = /^%PDF-\d\.\d[\s%]|^%!PS-|^\{\\rtf\d/
/** Content types and names of files of these formats. */
const TEXT_FORMAT = /\b(?:application|text)\/[\w.+-]*(?:pdf|postscript|rtf)\b|\.(?:pdf|e?ps|ai|rtf)\b/i

/**
 * True for bytes that begin as a file of a known kind. `declared`: the content type or name under which they were sent
 * as a file, true where neither is known, false where they were not sent as a file.
 */
export function beginsAsFile (text: string, declared: string | boolean, binary = isBinary(text)): boolean {
  if (binary && MAGIC.test(text)) return true
  if (declared === false || !TEXT_MAGIC.test(text)) return false
  return declared === true || TEXT_FORMAT.test(declared)
}

/** More than two in a hundred of the first characters are no text. */
export function isBinary (text: string): boolean {
  const length = Math.min(text.length, 512)
  let left = Math.floor(length / 50)
  for (let at = 0; at < length; at++) {
    const code = text.charCodeAt(at)
    if ((code < 9 || (code > 13 && code < 32 && code !== 27)) && --left < 0) return true
  }
  return false
}

/** Three in four characters are text: a few bytes between them keep no handler from using it as such. */
export const READABLE_SHARE_MIN = 0.75

export function isMostlyReadable (text: string): boolean {
  let left = Math.floor(text.length * (1 - READABLE_SHARE_MIN))
  for (let at = 0; at < text.length; at++) if (!isReadable(text.charCodeAt(at)) && --left < 0) return false
  return true
}

/** Three bytes at least. */
export const MARKERS = ['<?php', '<?=', '<script', '<%@', '\u00ac\u00ed\u0000\u0005']

interface FileText {
  /** Code that a server would run where it finds it, from its mark on. */
  marks: string[]
  /** Text among the bytes, in pieces. */
  texts: string[]
  /** True when there is more of either than the bounds allow. */
  cut: boolean
}

/**
 * What is to be read in a file. Linear. `isDeclared`: it was sent as what it begins as, so that what a document says is
 * for people.
 */
export function readFile (text: string, isDeclared: boolean): FileText {
  const found: FileText = { marks: [], texts: [], cut: false }
  for (const marker of MARKERS) {
    let at = text.indexOf(marker)
    for (let count = 0; at !== -1; count++) {
      if (count >= FILE_MARKERS_MAX) {
        found.cut = true
        break
      }
      found.marks.push(text.slice(at, at + FILE_MARKER_CHARACTERS))
      at = text.indexOf(marker, at + FILE_MARKER_CHARACTERS)
    }
  }
  const isDocument = TEXT_MAGIC.test(text)
  // A document of many pages is text between as many streams.
  if (!isDocument || !isDeclared) addTexts(found, text, isDocument ? DOCUMENT_TEXTS_MAX : FILE_TEXTS_MAX)
  return found
}

/** Half of the values of a request. */
const DOCUMENT_TEXTS_MAX = VALUES_MAX / 2

/**
 * A piece that is long enough holds every sixteenth character at least once: the others of most bytes are never looked
 * at.
 */
function addTexts (found: FileText, text: string, textsMax: number): void {
  let after = 0
  for (let at = FILE_TEXT_CHARACTERS_MIN - 1; at < text.length;) {
    if (!isReadable(text.charCodeAt(at))) {
      at += FILE_TEXT_CHARACTERS_MIN
      continue
    }
    let from = at
    while (from > after && isReadable(text.charCodeAt(from - 1))) from--
    let to = at + 1
    while (to < text.length && isReadable(text.charCodeAt(to))) to++
    if (to - from >= FILE_TEXT_CHARACTERS_MIN) {
      if (found.texts.length >= textsMax) {
        found.cut = true
        return
      }
      found.texts.push(text.slice(from, to))
    }
    after = to
    at = to + FILE_TEXT_CHARACTERS_MIN
  }
}

/** Of the first 256 characters those of ASCII text. */
const READABLE = new Uint8Array(256)
READABLE.fill(1, 32, 127)
READABLE[9] = READABLE[10] = READABLE[13] = 1

/** ASCII text; beyond Latin-1 it is text that was decoded already. */
export function isReadable (code: number): boolean {
  return code < 256 ? READABLE[code] === 1 : code !== 0xfffd
}
