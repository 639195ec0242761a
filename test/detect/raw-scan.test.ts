/* eslint-disable no-template-curly-in-string -- expressions of other languages are what is tested */
import fc from 'fast-check'
import { test } from 'tap'
import { techniqueOf } from '../../src/detect/payload/findings.ts'
import { scanRaw } from '../../src/detect/raw-scan/raw-scan.ts'
import type { RawSign } from '../../src/detect/raw-scan/raw-scan.ts'
import { ORDINARY_TEXTS, RAW_ATTACKS } from './raw-scan-attacks.ts'
import { scaled } from '../scale.ts'

interface Carried { url: string, headers: string[], body: Buffer | null }
type Container = (text: string) => Carried

const posted = (contentType: string, body: string | Buffer): Carried => ({ url: '/items', headers: ['Host', 'shop.example', 'Content-Type', contentType], body: Buffer.from(body) })
const json = (text: string): string => JSON.stringify({ title: 'a title', note: text, count: 3 })
const entities = (text: string): string => text.replace(/[^\w ]/g, (character) => `&#${character.charCodeAt(0)};`)
const markup = (text: string): string => text.replace(/[&<>"]/g, (character) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[character] as string)
const percent = (text: string): string => text.replace(/[^\w]/g, (character) => '%' + character.charCodeAt(0).toString(16).padStart(2, '0'))
const unicode = (text: string): string => text.replace(/[^\w ]/g, (character) => '\\u' + character.charCodeAt(0).toString(16).padStart(4, '0'))
const mixed = (text: string): string => text.replace(/[a-z]/gi, (letter, at) => at % 2 === 0 ? letter.toUpperCase() : letter.toLowerCase())
const utf16 = (text: string, big: boolean): Buffer => big ? Buffer.from(text, 'utf16le').swap16() : Buffer.from(text, 'utf16le')

/** How a text travels: the ordinary ways first, then those that hide it. */
const CONTAINERS: Record<string, Container> = {
  JSON: (text) => posted('application/json', json(text)),
  'JSON, indented': (text) => posted('application/json', JSON.stringify({ a: { b: [{ note: text }] } }, null, 2)),
  'JSON with escapes': (text) => posted('application/json', `{"note":"${unicode(text)}"}`),
  'JSON in a JSON string': (text) => posted('application/json', JSON.stringify({ data: json(text) })),
  'JSON, percent-encoded': (text) => posted('application/json', json(percent(text))),
  'JSON, character references': (text) => posted('application/json', json(entities(text))),
  'JSON of UTF-16': (text) => posted('application/json; charset=utf-16', utf16(json(text), false)),
  'JSON of UTF-16, big endian': (text) => posted('application/json', utf16(json(text), true)),
  form: (text) => posted('application/x-www-form-urlencoded', 'a=1&note=' + encodeURIComponent(text) + '&b=2'),
  'form with plus': (text) => posted('application/x-www-form-urlencoded', new URLSearchParams({ note: text }).toString()),
  'form, encoded twice': (text) => posted('application/x-www-form-urlencoded', 'note=' + percent(percent(text))),
  'GraphQL variables': (text) => posted('application/json', JSON.stringify({ query: 'query Q($a: String) { find(a: $a) { id } }', variables: { a: text } })),
  'GraphQL document': (text) => posted('application/graphql', `{ find(a: ${JSON.stringify(text)}) { id } }`),
  XML: (text) => posted('application/xml', `<?xml version="1.0"?><a><b>1</b><note>${markup(text)}</note></a>`),
  'XML section': (text) => posted('text/xml', `<a><note><![CDATA[${text}]]></note></a>`),
  multipart: (text) => posted('multipart/form-data; boundary=xyz', `--xyz\r\nContent-Disposition: form-data; name="note"\r\n\r\n${text}\r\n--xyz--\r\n`),
  text: (text) => posted('text/plain', text),
  query: (text) => ({ url: '/items?page=2&q=' + encodeURIComponent(text), headers: [], body: null }),
  'query, encoded throughout': (text) => ({ url: '/items?q=' + percent(text), headers: [], body: null }),
  'query, encoded twice': (text) => ({ url: '/items?q=' + percent(percent(text)), headers: [], body: null }),
  header: (text) => ({ url: '/', headers: ['Host', 'shop.example', 'X-Note', text], body: null }),
  'JSON after 60 KB': (text) => posted('application/json', JSON.stringify({ a: 'lorem ipsum dolor sit amet '.repeat(2_300), note: text })),
  'JSON before 60 KB': (text) => posted('application/json', JSON.stringify({ note: text, a: 'lorem ipsum dolor sit amet '.repeat(2_300) })),
  'JSON after 5,000 values': (text) => posted('application/json', JSON.stringify([...Array.from({ length: 5_000 }, (_, i) => i), text])),
  'form after 60 KB of open tags': (text) => posted('application/x-www-form-urlencoded', 'a=' + '{%{%'.repeat(15_000) + '&note=' + encodeURIComponent(text)),
  'mixed case': (text) => posted('application/json', json(mixed(text))),
  base64: (text) => posted('application/json', json(Buffer.from(`{"count":3,"note":${JSON.stringify(text)}}`).toString('base64'))),
  'base64, wrapped': (text) => posted('text/plain', (Buffer.from(`{"pad":"${'x'.repeat(80)}","note":${JSON.stringify(text)}}`).toString('base64').match(/.{1,76}/g) as string[]).join('\r\n')),
  'base64 of UTF-16': (text) => posted('application/json', json(utf16(`note=${text}`, false).toString('base64')))
}

/** What a container cannot carry: the letters' case is part of a serialised object's base64; a header has no line breaks. */
function isCarried (container: string, attack: string): boolean {
  if (container === 'mixed case') return !attack.startsWith('rO0')
  if (container.startsWith('base64')) return !attack.startsWith('rO0')
  return true
}

/** Families whose rules overlap: either name is right. */
const SAME: Record<string, string[]> = {
  traversal: ['lfi'],
  lfi: ['traversal', 'ssrf'],
  cmdi: ['traversal', 'lfi'],
  ssti: ['java', 'code', 'php', 'log4shell'],
  java: ['ssti'],
  php: ['code', 'ssti', 'cmdi'],
  rfi: ['php'],
  xxe: ['lfi'],
  deserial: ['cmdi', 'code'],
  ssrf: ['lfi'],
  xpathi: ['sqli'],
  sqli: ['xpathi', 'cmdi'],
  xss: ['sqli']
}

for (const [family, attacks] of Object.entries(RAW_ATTACKS)) {
  test(`${family}: a plain attack is certain in every container`, (t) => {
    for (const attack of attacks) {
      for (const [name, carry] of Object.entries(CONTAINERS)) {
        if (!isCarried(name, attack)) continue
        const sign = scanRaw(carry(attack))
        const found = sign?.rule.split('.')[0] ?? ''
        if (sign?.grade !== 'certain' || (found !== family && !(SAME[family] ?? []).includes(found))) {
          t.fail(`${JSON.stringify(attack)} as ${name}: ${JSON.stringify(sign)}`)
        }
      }
    }
    t.ok(attacks.length > 0)
    t.end()
  })
}

test('a comment in place of each blank hides no SQL', (t) => {
  for (const attack of RAW_ATTACKS.sqli as string[]) {
    for (const comment of ['/**/', '/*x*/', '/*!50000*/', '\t', '\n', '%0a', '  ']) {
      const sign = scanRaw(posted('application/json', json(attack.replaceAll(' ', comment))))
      if (sign?.grade !== 'certain') t.fail(`${attack} with ${JSON.stringify(comment)}: ${JSON.stringify(sign)}`)
    }
  }
  t.pass()
  t.end()
})

test('ordinary text is never certain, whatever it travels in', (t) => {
  for (const text of ORDINARY_TEXTS) {
    for (const [name, carry] of Object.entries(CONTAINERS)) {
      if (name === 'header' || name.startsWith('query')) continue
      const sign = scanRaw(carry(text))
      if (sign?.grade === 'certain') t.fail(`${JSON.stringify(text)} as ${name}: ${JSON.stringify(sign)}`)
    }
  }
  t.ok(ORDINARY_TEXTS.length > 20)
  t.end()
})

test('prose that quotes an attack is likely, and the same attack alone is certain', (t) => {
  const quoted = 'In the lesson on injection the teacher wrote down the classic nobody\' or 1=1-- - and asked what it does.'
  t.equal(scanRaw(posted('application/json', json(quoted)))?.grade, 'likely')
  t.equal(scanRaw(posted('application/json', json("nobody' or 1=1-- -")))?.grade, 'certain')
  t.end()
})

test('a sign says where it stands, what matched and a family that is known', (t) => {
  const at = (sign: RawSign | null): unknown[] => [sign?.place, sign?.rule, sign?.grade]
  t.same(at(scanRaw({ url: '/?q=%3Cscript%3Ealert(1)', headers: [], body: null })), ['url', 'xss.raw', 'certain'])
  t.same(at(scanRaw({ url: '/', headers: ['X-A', 'b', 'User-Agent', '${jndi:ldap://x.example}'], body: null })), ['header.user-agent', 'log4shell.raw', 'certain'])
  t.same(at(scanRaw(posted('application/json', json('{{7*7}}')))), ['body', 'ssti.raw', 'certain'])
  t.equal(scanRaw({ url: '/', headers: [], body: null }), null)
  for (const attack of Object.values(RAW_ATTACKS).flat()) {
    const sign = scanRaw(posted('text/plain', attack)) as RawSign
    t.ok(techniqueOf(sign.rule) !== null && sign.match.length > 0 && sign.match.length <= 60, sign.rule)
  }
  t.end()
})

test('the strongest sign is named, wherever the weaker one stands', (t) => {
  const likely = 'SELECT 1 UNION SELECT a, b FROM c'
  t.equal(scanRaw({ url: '/?q=' + encodeURIComponent(likely), headers: [], body: Buffer.from(json("x' or '1'='1")) })?.grade, 'certain')
  t.end()
})

test('a Java object stream is known as bytes and as base64', (t) => {
  const stream = Buffer.concat([Buffer.from('aced0005737200', 'hex'), Buffer.alloc(40, 7)])
  t.equal(scanRaw(posted('application/octet-stream', stream))?.rule, 'deserial.raw')
  t.equal(scanRaw(posted('text/plain', 'x ' + stream.toString('base64')))?.rule, 'deserial.raw')
  t.end()
})

test('nothing throws, over any bytes, targets and headers', (t) => {
  const pieces = fc.array(fc.oneof(fc.constantFrom(...Object.values(RAW_ATTACKS).flat(), '%', '%u', '\\u', '\\x', '&#', '&#x', '&lt;', '/*', '*/', '\0', '{{', '${', '<', "'"), fc.string({ maxLength: 6, unit: 'binary' })), { maxLength: 20 }).map((parts) => parts.join(''))
  fc.assert(fc.property(fc.uint8Array({ maxLength: 400 }), pieces, fc.array(fc.string({ unit: 'binary', maxLength: 40 }), { maxLength: 5 }), (body, text, headers) => {
    const sign = scanRaw({ url: text, headers, body })
    const cut = Buffer.from(text)
    for (let length = Math.max(0, cut.length - 12); length <= cut.length; length++) scanRaw({ url: '/', headers, body: cut.subarray(0, length) })
    return sign === null || sign.match.length <= 60
  }), { numRuns: scaled(800, 3_000) })
  t.pass()
  t.end()
})
