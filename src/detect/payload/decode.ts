/**
 * Decoders: what a parser behind us would make of the bytes. Every one is linear, total, and returns its
 * input when nothing applies.
 */
import { captured, sequence } from '../../std/regex.ts'

const HEX = new Int8Array(128).fill(-1)
for (let digit = 0; digit < 10; digit++) HEX[48 + digit] = digit
for (let digit = 0; digit < 6; digit++) { HEX[65 + digit] = 10 + digit; HEX[97 + digit] = 10 + digit }

function hexAt (text: string, at: number): number {
  const code = text.charCodeAt(at)
  return code < 128 ? HEX[code] as number : -1
}

/** `count` hex digits at `at`, or -1. */
function hexNumber (text: string, at: number, count: number): number {
  let number = 0
  for (let step = 0; step < count; step++) {
    const digit = hexAt(text, at + step)
    if (!(digit >= 0)) return -1
    number = number * 16 + digit
  }
  return number
}

/**
 * Percent decoding as lenient servers do it: invalid sequences stay, `%uXXXX` counts, bytes are UTF-8 where valid
 * (overlong forms of ASCII included), else Latin-1.
 */
export function decodePercent (text: string, plusIsSpace: boolean): string {
  if (!text.includes('%')) return plusIsSpace && text.includes('+') ? text.replaceAll('+', ' ') : text
  let out = ''
  let from = 0
  const source = plusIsSpace && text.includes('+') ? text.replaceAll('+', ' ') : text
  let at = source.indexOf('%')
  while (at !== -1) {
    out += source.slice(from, at)
    const next = source.charCodeAt(at + 1) | 32
    if (next === 117 && hexNumber(source, at + 2, 4) >= 0) {
      out += String.fromCharCode(hexNumber(source, at + 2, 4))
      from = at + 6
    } else {
      const bytes = byteRun(source, at)
      out += bytes === '' ? '%' : decodeBytes(bytes)
      from = at + (bytes === '' ? 1 : bytes.length * 3)
    }
    at = source.indexOf('%', from)
  }
  return out + source.slice(from)
}

/** Escapes as the bytes they stand for, one character each; blanks for `+`, as in a form. */
export function decodePercentBytes (text: string): string {
  return text.replaceAll('+', ' ').replace(/%([\da-f]{2})/gi, (_whole: string, hex: string) =>
    String.fromCharCode(parseInt(hex, 16))
  )
}

/** Consecutive `%XX` from `at` as a binary string. */
function byteRun (text: string, at: number): string {
  let bytes = ''
  while (text.charCodeAt(at) === 37) {
    const byte = hexNumber(text, at + 1, 2)
    if (byte < 0) break
    bytes += String.fromCharCode(byte)
    at += 3
  }
  return bytes
}

/** UTF-8 by hand, since overlong forms (`C0 AE`, a dot) are what a lax decoder accepts and an attacker sends. */
export function decodeBytes (bytes: string): string {
  let out = ''
  let from = 0
  for (let at = 0; at < bytes.length;) {
    const first = bytes.charCodeAt(at)
    if (first < 0xc0 || first >= 0xf8) {
      at++
      continue
    }
    const extra = first < 0xe0 ? 1 : first < 0xf0 ? 2 : 3
    let point = first & (0x3f >> extra)
    let used = 1
    while (used <= extra && (bytes.charCodeAt(at + used) & 0xc0) === 0x80) {
      point = point << 6 | bytes.charCodeAt(at + used++) & 0x3f
    }
    if (used <= extra || point > 0x10ffff) {
      at++
      continue
    }
    out += bytes.slice(from, at) + String.fromCodePoint(point)
    at += used
    from = at
  }
  return from === 0 ? bytes : out + bytes.slice(from)
}

const NAMED: Record<string, string> = {
  lt: '<',
  gt: '>',
  quot: '"',
  apos: "'",
  amp: '&',
  lpar: '(',
  rpar: ')',
  colon: ':',
  tab: '\t',
  newline: '\n',
  lbrace: '{',
  lcub: '{',
  rbrace: '}',
  rcub: '}',
  dollar: '$',
  sol: '/',
  bsol: '\\',
  period: '.',
  comma: ',',
  equals: '=',
  nbsp: ' ',
  semi: ';',
  grave: '`',
  num: '#',
  excl: '!',
  lsqb: '[',
  rsqb: ']',
  percnt: '%',
  plus: '+',
  lowbar: '_',
  ast: '*',
  commat: '@',
  quest: '?'
}
const ENTITY = sequence([
  /&/,
  [
    /#(?:x([0-9a-f]{1,8})|([0-9]{1,8}))/,
    sequence([
      captured([
        /lt|gt|quot|apos|amp|lpar|rpar|colon|tab|newline|lbrace|lcub|rbrace|rcub|dollar|sol|bsol|period|comma/,
        /equals|nbsp|semi|grave|num|excl|lsqb|rsqb|percnt|plus|lowbar|ast|commat|quest/
      ]),
      /(?=;|[^a-z0-9]|$)/
    ])
  ],
  /;?/
], 'gi')

/** HTML and XML character references, with or without their semicolon, as browsers read them. */
export function decodeEntities (text: string): string {
  if (!text.includes('&')) return text
  return text.replace(ENTITY, (whole: string, hex?: string, decimal?: string, name?: string) => {
    if (name !== undefined) return NAMED[name.toLowerCase()] ?? whole
    const point = hex !== undefined ? parseInt(hex, 16) : parseInt(decimal as string, 10)
    return point <= 0x10ffff ? String.fromCodePoint(point) : whole
  })
}

const ESCAPE = /\\(?:u\{([0-9a-f]{1,6})\}|u([0-9a-f]{4})|x([0-9a-f]{2}))/gi

/** `\u0041`, `\u{41}` and `\x41`, as scripts, JSON in text and CSS-less languages read them. */
export function decodeEscapes (text: string): string {
  if (!text.includes('\\')) return text
  return text.replace(ESCAPE, (whole: string, braced?: string, four?: string, two?: string) => {
    const point = parseInt(braced ?? four ?? two as string, 16)
    return point <= 0x10ffff ? String.fromCodePoint(point) : whole
  })
}

/** UTF-7 runs (`+ADw-`), read by old mail and browsers; only runs that decode to ASCII count. */
export function decodeUtf7 (text: string): string {
  if (!text.includes('+A')) return text
  return text.replace(/\+(A[A-Za-z0-9+/]{2,31})-/g, (whole: string, run: string) => {
    let out = ''
    const bytes = Buffer.from(run, 'base64')
    for (let at = 0; at + 1 < bytes.length; at += 2) {
      if (bytes[at] !== 0) return whole
      out += String.fromCharCode(bytes[at + 1] as number)
    }
    return out
  })
}

/** A whole text in UTF-7 (RFC 2152): runs may end without their dash, and stand for any character. */
export function decodeUtf7Text (text: string): string {
  return text.replace(/\+([A-Za-z0-9+/]*)-?/g, (_whole: string, run: string) => {
    if (run === '') return '+'
    const bytes = Buffer.from(run, 'base64')
    return Buffer.from(bytes.subarray(0, bytes.length & ~1)).swap16().toString('utf16le')
  })
}

/** Look-alikes of ASCII: fullwidth letters, curly quotes and brackets, enclosed digits and letters, dots, slashes. */
const LOOK_ALIKE = '[\\uff01-\\uff5e\\u2018\\u2019\\u201c\\u201d\\u02b9\\u02bc\\u2032\\u3008\\u300a\\u2039' +
  '\\u2460-\\u2473\\u24b6-\\u24ea\\u3002\\u2024\\u2025\\u2044\\u2215\\u2216\\u29f8]'
const LOOK_ALIKES = new RegExp(`${LOOK_ALIKE}+`, 'g')
/** True for text that `foldWidth` would change. */
export const HAS_LOOK_ALIKE = new RegExp(LOOK_ALIKE)

/**
 * Fullwidth and look-alike ASCII (NFKC folding done by many stacks), curly quotes and enclosed digits of host
 * names.
 */
export function foldWidth (text: string): string {
  return text.replace(LOOK_ALIKES, (run) => {
    let out = ''
    for (let at = 0; at < run.length; at++) out += plainLetter(run.charCodeAt(at))
    return out
  })
}

function plainLetter (code: number): string {
  if (code >= 0xff01 && code <= 0xff5e) return String.fromCharCode(code - 0xfee0)
  if (code >= 0x2460 && code <= 0x2473) return String(code - 0x245f)
  if (code >= 0x24d0 && code <= 0x24e9) return String.fromCharCode(code - 0x24d0 + 97)
  if (code >= 0x24b6 && code <= 0x24cf) return String.fromCharCode(code - 0x24b6 + 97)
  if (code === 0x24ea) return '0'
  if (code === 0x3002 || code === 0x2024) return '.'
  if (code === 0x2025) return '..'
  if (code === 0x2044 || code === 0x2215 || code === 0x29f8) return '/'
  if (code === 0x2216) return '\\'
  if (code === 0x3008 || code === 0x300a || code === 0x2039) return '<'
  return code === 0x201c || code === 0x201d ? '"' : "'"
}
