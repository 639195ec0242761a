/**
 * The texts that parsers may make of the same bytes. UTF-8 (Latin-1 where it is none) is always one; another charset is
 * another where the bytes, their mark or the content type say so. Only texts that differ are given.
 */
import { isUtf8 } from 'node:buffer'
import { asBuffer } from '../bytes.ts'
import { DECODED_CHARACTERS_MAX } from './bounds.ts'
import { decodeBytes, decodePercentBytes, decodeUtf7Text } from './decode.ts'

interface Texts {
  /** The ordinary text first. */
  texts: string[]
  /** Of declared charsets: what escapes in a form stand for in them. */
  charsets: string[]
  /** Charsets that were declared and that nothing here reads. */
  unread: string[]
}

/** Charsets whose text is the ordinary one. */
const ORDINARY = /^(?:utf-?8|us-ascii|ascii)$/
/** What most clients send, of which nothing else is to be read. */
const IN_UTF8 = /^[a-z]{1,20}\/[a-z.+-]{1,60}; ?charset=utf-8$/
const CHARSET = /utf-?(?:16|32|7)[\w-]{0,12}|ucs-?[24]\w{0,12}|charset\s{0,8}\*?=\s{0,8}["']{0,2}[\w.:+-]{1,40}/g

/** `contentTypes`: all of them, lower case. Bytes are at most BODY_BYTES_MAX. */
export function textsOf (bytes: Uint8Array, contentTypes: string): Texts {
  const buffer = asBuffer(bytes)
  const found: Texts = { texts: [], charsets: [], unread: [] }
  addOrdinary(found, buffer)
  const looks = lookOf(bytes)
  if (looks !== null) {
    // Read byte by byte, it is the same text with zeros in it.
    found.texts = found.texts.map((text) => text.replace(/^(?:\xff\xfe|\xfe\xff)/, '').replaceAll('\0', ''))
    addText(found, decodeCharset(buffer, looks))
  }
  if (/charset|utf|ucs/.test(contentTypes) && !IN_UTF8.test(contentTypes)) addDeclared(found, buffer, contentTypes)
  const inside = charsetOfXml(buffer)
  if (inside !== null) addDeclared(found, buffer, `charset=${inside}`)
  return found
}

function addOrdinary (found: Texts, buffer: Buffer): void {
  if (isUtf8(buffer)) {
    found.texts.push(withoutMark(buffer.toString('utf8')))
    return
  }
  const latin = buffer.toString('latin1')
  found.texts.push(latin)
  // Most parsers put a sign for each byte that is wrong; lax ones read overlong forms too.
  addText(found, latin.length <= DECODED_CHARACTERS_MAX ? decodeBytes(latin) : buffer.toString('utf8'))
}

function withoutMark (text: string): string {
  return text.charCodeAt(0) === 0xfeff ? text.slice(1) : text
}

function addText (found: Texts, text: string | null): void {
  if (text === null) return
  const plain = withoutMark(text)
  if (!found.texts.includes(plain)) found.texts.push(plain)
}

/** The charset that the first bytes show: a mark, or the zeros between ASCII characters (RFC 4627, section 3). */
function lookOf (bytes: Uint8Array): string | null {
  const [a, b, c, d] = bytes
  if (a === undefined || b === undefined) return null
  if (a === 0xff && b === 0xfe) return c === 0 && d === 0 ? 'utf-32le' : 'utf-16le'
  if (a === 0xfe && b === 0xff) return 'utf-16be'
  if (c === undefined || d === undefined) return null
  if (a === 0 && b === 0 && (c === 0xfe || c === 0) && d !== 0) return 'utf-32be'
  if (a !== 0 && b === 0 && c === 0 && d === 0) return 'utf-32le'
  if (a === 0 && b !== 0 && c === 0 && d !== 0) return 'utf-16be'
  if (a !== 0 && b === 0 && c !== 0 && d === 0) return 'utf-16le'
  return null
}

/** `<?xm` in the code pages of mainframes. */
const EBCDIC_XML = Buffer.from('4c6fa794', 'hex')
const XML_HEAD_BYTES = 256
const XML_ENCODING = /^\s{0,64}<\?xml\s[^>]{0,200}?\bencoding\s{0,8}=\s{0,8}["']\s{0,8}([\w.:+-]{1,40})/i

/** The charset that an XML document names in its own declaration, or shows by it (XML 1.0, appendix F). */
function charsetOfXml (buffer: Buffer): string | null {
  const letter = buffer[0] as number
  if (letter === 0x4c && buffer.indexOf(EBCDIC_XML) === 0) return 'ibm037'
  // A less-than sign, a blank or a mark of UTF-8: no other body is looked at.
  if (letter !== 0x3c && letter !== 0xef && letter > 32) return null
  const head = buffer.toString('latin1', letter === 0xef ? 3 : 0, XML_HEAD_BYTES)
  return XML_ENCODING.exec(head)?.[1]?.toLowerCase() ?? null
}

function addDeclared (found: Texts, buffer: Buffer, contentTypes: string): void {
  for (const match of contentTypes.match(CHARSET) ?? []) {
    const charset = match.replace(/^charset[\s*]*=[\s"']*/, '')
    if (ORDINARY.test(charset) || found.charsets.includes(charset)) continue
    const text = decodeCharset(buffer, charset)
    if (text === null) {
      found.unread.push(charset.slice(0, 20))
      continue
    }
    found.charsets.push(charset)
    addText(found, text)
    if (/^utf-?16$|^ucs-?2$/.test(charset)) addText(found, decodeCharset(buffer, 'utf-16be'))
    if (/^utf-?32$|^ucs-?4$/.test(charset)) addText(found, decodeCharset(buffer, 'utf-32be'))
  }
}

/** Bytes in a charset, or null for one that is not known. */
function decodeCharset (buffer: Buffer, charset: string): string | null {
  if (/^(?:utf-?16|ucs-?2)(?:-?le)?$|^ucs-?2/.test(charset)) return buffer.toString('utf16le')
  if (/^utf-?16-?be$/.test(charset)) {
    return Buffer.from(buffer.subarray(0, buffer.length & ~1)).swap16().toString('utf16le')
  }
  if (/^(?:utf-?32|ucs-?4)/.test(charset)) return decodeUtf32(buffer, charset.endsWith('be'))
  if (/^(?:unicode-?1-?1-?)?utf-?7/.test(charset)) return decodeUtf7Text(buffer.toString('latin1'))
  if (/^(?:ibm|cp|ccsid|ebcdic|x-ebcdic|csibm)[\w-]{0,20}$/.test(charset) && !isAsciiPage(charset)) {
    return decodeEbcdic(buffer)
  }
  try {
    return new TextDecoder(charset).decode(buffer)
  } catch {
    // A label that the Encoding Standard does not know.
    return null
  }
}

/** Code pages of DOS and Windows agree with ASCII; those of mainframes do not. */
function isAsciiPage (charset: string): boolean {
  return /(?:437|65001|7[37]\d|8[56]\d|866|874|93[26]|949|950|125\d)$/.test(charset)
}

function decodeUtf32 (buffer: Buffer, bigEndian: boolean): string {
  let text = ''
  for (let at = 0; at + 3 < buffer.length; at += 4) {
    const point = bigEndian ? buffer.readUInt32BE(at) : buffer.readUInt32LE(at)
    text += point <= 0x10ffff ? String.fromCodePoint(point) : '\ufffd'
  }
  return text
}

/** Letters, digits and signs of code page 037 by their bytes; pages 500 and 1047 differ in brackets only. */
const EBCDIC = new Map<number, string>()
for (const [from, letters] of [
  [0x05, '\t'], [0x0d, '\r'], [0x15, '\n'], [0x25, '\n'], [0x40, ' '], [0x4a, '['], [0x4b, '.<(+|&'], [0x5a, '!$*);'],
  [0x60, '-/'], [0x6b, ',%_>?'], [0x79, '`:#@\'="'], [0x81, 'abcdefghi'], [0x91, 'jklmnopqr'], [0xa1, '~stuvwxyz'],
  [0xb0, '^'], [0xba, '[]'], [0xc0, '{ABCDEFGHI'], [0xd0, '}JKLMNOPQR'], [0xe0, '\\'], [0xe2, 'STUVWXYZ'],
  [0xf0, '0123456789']
] as Array<[number, string]>) {
  for (let at = 0; at < letters.length; at++) EBCDIC.set(from + at, letters[at] as string)
}

function decodeEbcdic (buffer: Buffer): string {
  let text = ''
  for (const byte of buffer) text += EBCDIC.get(byte) ?? String.fromCharCode(byte & 0x1f)
  return text
}

const PIECE = /[^&=]+/g

/** A form whose escapes are bytes of a charset: written anew in ASCII, so that it can be read as any form. */
export function formInCharset (text: string, charset: string): string {
  return text.replace(PIECE, (piece) => {
    if (!piece.includes('%')) return piece
    const decoded = decodeCharset(Buffer.from(decodePercentBytes(piece), 'latin1'), charset)
    return decoded === null ? piece : encodeURIComponent(decoded.toWellFormed())
  })
}
