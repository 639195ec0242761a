import { readFileSync, readdirSync } from 'node:fs'
import { test } from 'tap'
import { decodeEntities, foldWidth } from '../../src/detect/payload/decode.ts'
import { decodePass } from '../../src/detect/raw-scan/decode-bytes.ts'
import { fold } from '../../src/detect/raw-scan/fold.ts'
import { scanRaw } from '../../src/detect/raw-scan/raw-scan.ts'

const PAYLOAD = new URL('../../src/detect/payload/', import.meta.url)
const FORM = 'application/x-www-form-urlencoded'
const INJECTION = 'note=1+union+select+null,2'

/** The text as the raw scan reads it before it looks for signs. */
function read (text: string): string {
  const bytes = Buffer.from(text)
  const pass = { plusIsBlank: false, lineBreaksAreOrdinary: true, hasControlEscapes: false }
  const { length } = decodePass(bytes, bytes.length, bytes, pass)
  const folded = Buffer.alloc(bytes.length)
  return folded.toString('latin1', 0, fold(bytes, length, folded))
}

/** Ways to write one character beyond Latin-1. */
const WRITTEN: Record<string, (character: string) => string> = {
  'UTF-8': (character) => character,
  'UTF-8, percent-encoded': (character) => encodeURIComponent(character),
  'a percent escape of two bytes': (character) => '%u' + hexOf(character, 4),
  'an escape': (character) => '\\u' + hexOf(character, 4),
  'an escape in braces': (character) => `\\u{${hexOf(character, 5)}}`,
  'a hexadecimal reference': (character) => `&#x${hexOf(character, 4)};`,
  'a decimal reference': (character) => `&#${character.charCodeAt(0)};`
}

function hexOf (character: string, digits: number): string {
  return character.charCodeAt(0).toString(16).padStart(digits, '0')
}

function lookAlikes (): string[] {
  const characters = Array.from({ length: 0x10000 }, (_, point) => String.fromCharCode(point))
  return characters.filter((character) => foldWidth(character) !== character && !'\u201c\u201d'.includes(character))
}

test('every character reference that the scorer knows is read by the raw scan too', (t) => {
  const source = readdirSync(PAYLOAD).filter((name) => name.endsWith('.ts')).map((name) => readFileSync(new URL(name, PAYLOAD), 'utf8')).join('\n')
  const names = [...new Set(source.match(/\b[a-z]{2,12}\b/g))].filter((name) => decodeEntities(`&${name};`) !== `&${name};`)
  t.ok(names.length >= 33, `${names.length} names`)
  for (const name of names) {
    for (const written of [name, name.toUpperCase()]) {
      t.equal(read(`a&${written};b`), read(`a${decodeEntities(`&${name};`)}b`), written)
    }
  }
  t.end()
})

test('a look-alike is folded however it is written', (t) => {
  const known = lookAlikes()
  t.ok(known.length > 150, `${known.length} look-alikes`)
  for (const character of known) {
    for (const [way, write] of Object.entries(WRITTEN)) {
      const expected = read(`a${foldWidth(character)}b`)
      if (read(`a${write(character)}b`) !== expected) t.fail(`U+${hexOf(character, 4)} as ${way}: ${read(`a${write(character)}b`)}`)
    }
  }
  t.end()
})

test('an attack in look-alikes is certain however they are written', (t) => {
  for (const [way, write] of Object.entries(WRITTEN)) {
    const quote = (text: string): string => text.replace(/['/]/g, (character) => write(character === '/' ? '\u29f8' : '\u2019'))
    for (const attack of ["x' or '1'='1", 'x/../../etc/passwd']) {
      const sign = scanRaw({ url: '/', headers: ['Content-Type', 'application/json'], body: Buffer.from(`{"note":"${quote(attack)}"}`) })
      t.equal(sign?.grade, 'certain', `${attack} in ${way}`)
    }
  }
  t.end()
})

test('curly double quotes are how prose quotes: an attack between them is likely, not certain', (t) => {
  for (const [way, write] of Object.entries(WRITTEN)) {
    const prose = `In the lesson on injection the teacher wrote down ${write('\u201c')}nobody' or 1=1-- -${write('\u201d')} and asked.`
    const sign = scanRaw({ url: '/', headers: ['Content-Type', 'application/json'], body: Buffer.from(`{"note":"${prose}"}`) })
    t.equal(sign?.grade, 'likely', way)
  }
  t.end()
})

test('a plus is a blank when any of several content types is a form', (t) => {
  for (const types of [[FORM], [FORM, 'text/plain'], ['text/plain', FORM], ['text/plain', 'a/b', FORM.toUpperCase()], [''], []]) {
    const headers = types.flatMap((type) => ['Content-Type', type])
    t.equal(scanRaw({ url: '/', headers, body: Buffer.from(INJECTION) })?.grade, 'certain', JSON.stringify(types))
  }
  t.end()
})

test('a plus in a body that is no form stays one', (t) => {
  const headers = ['Content-Type', 'text/plain', 'Content-Type', 'application/json']
  t.equal(scanRaw({ url: '/', headers, body: Buffer.from(INJECTION) }), null)
  t.end()
})
