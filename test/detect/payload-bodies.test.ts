import { test } from 'tap'
import { inspect } from './payload-observation.ts'

const SQL = "x' UNION SELECT a, b FROM c-- "
const JSON_TYPE = ['content-type', 'application/json']

function graphql (query: string, variables?: unknown): number {
  return inspect({ url: '/graphql', headers: JSON_TYPE, body: JSON.stringify({ query, variables }) }).value
}

test('GraphQL is judged by its values: literals, variables, batches and GET, never by its syntax', (t) => {
  t.equal(graphql('query ($id: ID!) { user(id: $id) { name ... on Admin { roles(first: 10) { edges { node { id } } } } } }', { id: '7' }), 0)
  t.ok(graphql(`{ user(name: "${SQL}") { id } }`) >= 0.75)
  t.ok(graphql('query ($n: String) { user(name: $n) { id } }', { n: SQL }) >= 0.75)
  t.ok(graphql('mutation { note(text: """\n<script>alert(1)</script>\n""") { id } }') >= 0.75)
  t.ok(graphql('{ a(x: "\\u003cscript\\u003ealert(1)\\u003c/script\\u003e") { id } }') >= 0.75)
  t.ok(inspect({ url: '/graphql?query=' + encodeURIComponent(`{ user(name: "${SQL}") { id } }`) }).value >= 0.75)
  t.ok(inspect({ url: '/graphql?query=%7Ba%7D&variables=' + encodeURIComponent(JSON.stringify({ n: SQL })) }).value >= 0.75)
  t.ok(inspect({ url: '/graphql', headers: JSON_TYPE, body: JSON.stringify([{ query: '{ a }' }, { query: '{ b }', variables: { n: SQL } }]) }).value >= 0.75)
  t.ok(inspect({ url: '/graphql', headers: ['content-type', 'application/graphql'], body: `{ user(name: "${SQL}") { id } }` }).value >= 0.75)
  t.end()
})

test('GraphQL abuse shows in the shape: floods, depth, cycles, equal batches; introspection alone is weak', (t) => {
  t.ok(graphql('{ ' + Array.from({ length: 100 }, (_, at) => `a${at}: ping`).join(' ') + ' }') >= 0.75)
  t.ok(graphql('{ ' + '__typename '.repeat(200) + '}') >= 0.75)
  t.ok(graphql('{ ping ' + '@x'.repeat(50) + ' }') >= 0.75)
  t.ok(graphql('{ posts { author { '.repeat(8) + 'id' + ' } }'.repeat(8) + ' }') >= 0.75 || graphql('{ ' + 'posts { author { '.repeat(8) + 'id' + ' } }'.repeat(8) + ' }') >= 0.75)
  t.ok(graphql('{ ...A } fragment A on Q { ...B } fragment B on Q { ...A }') >= 0.75)
  t.ok(inspect({ url: '/graphql', headers: JSON_TYPE, body: JSON.stringify(Array.from({ length: 20 }, () => ({ query: 'mutation { login }' }))) }).value >= 0.75)
  t.ok(graphql('{ __schema { types { name } } }') < 0.4)
  t.equal(graphql('{ a: user(id: 1) { id } b: user(id: 2) { id } }'), 0)
  t.end()
})

test('multipart fields, file names and parts are read; pictures are not', (t) => {
  const part = (head: string, content: string): string => `--b\r\nContent-Disposition: form-data; ${head}\r\n\r\n${content}\r\n--b--\r\n`
  const headers = ['content-type', 'multipart/form-data; boundary=b']
  t.ok(inspect({ headers, body: part('name="q"', SQL) }).value >= 0.75)
  t.ok(inspect({ headers, body: part('name="f"; filename="shell.php"', 'x') }).value >= 0.75)
  t.ok(inspect({ headers, body: part('name="f"; filename="a.png"\r\nContent-Type: image/png', '\x89PNG <?php system($_GET["c"]); ?>') }).value >= 0.75)
  t.equal(inspect({ headers, body: part('name="f"; filename="cv.pdf"\r\nContent-Type: application/pdf', '%PDF-1.7 (obj) <</A 1>> \' or 1=1') }).value, 0)
  t.end()
})

test('XML is judged by its prolog, texts and attributes', (t) => {
  const headers = ['content-type', 'application/xml']
  t.ok(inspect({ headers, body: '<?xml version="1.0"?><!DOCTYPE r [<!ENTITY e SYSTEM "file:///etc/hostname">]><r>&e;</r>' }).value >= 0.75)
  t.ok(inspect({ headers, body: `<r><a b="${SQL.replaceAll("'", '&apos;')}"/></r>` }).value >= 0.75)
  t.ok(inspect({ headers, body: `<r><![CDATA[${SQL}]]></r>` }).value >= 0.75)
  t.equal(inspect({ headers, body: '<?xml version="1.0"?><order xmlns="urn:x"><item id="7">Lamp</item></order>' }).value, 0)
  t.end()
})

test('text inside text is read: JSON in a string, base64, escapes, double percent, UTF-7, full width', (t) => {
  const json = (value: unknown): number => inspect({ headers: JSON_TYPE, body: JSON.stringify(value) }).value
  t.ok(json({ data: JSON.stringify({ name: SQL }) }) >= 0.75)
  t.ok(json({ data: Buffer.from(`{"name":"${SQL}"}`).toString('base64') }) >= 0.75)
  t.ok(json({ data: '%2527%2520UNION%2520SELECT%2520a,b%2520FROM%2520c--' }) >= 0.75)
  t.ok(json({ data: '+ADw-script+AD4-alert(1)+ADw-/script+AD4-' }) >= 0.75)
  t.ok(json({ data: '\uff1cscript\uff1ealert(1)\uff1c/script\uff1e' }) >= 0.75)
  t.ok(json({ image: 'data:image/png;base64,' + Buffer.from('\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0' + '\x01\xfe'.repeat(250), 'latin1').toString('base64') }) === 0)
  t.end()
})

test('what is not inspected is named', (t) => {
  t.match(inspect({ headers: ['content-type', 'application/json', 'content-encoding', 'gzip'], body: 'x' }).notInspected.join(), /gzip/)
  t.match(inspect({ headers: JSON_TYPE, body: '['.repeat(200) + ']'.repeat(200) }).notInspected.join(), /deeper/)
  t.match(inspect({ headers: JSON_TYPE, body: JSON.stringify(Array.from({ length: 6000 }, (_, at) => 'value ' + at)) }).notInspected.join(), /beyond/)
  t.match(inspect({ url: '/x?' + 'a=b&'.repeat(600) }).notInspected.join(), /parameters/)
  t.match(inspect({ headers: ['content-type', 'text/plain'], body: 'word '.repeat(300_000) }).notInspected.join(), /body/)
  t.end()
})

test('odd bytes are read as something: invalid UTF-8, NUL, UTF-16, an empty body, a broken multipart', (t) => {
  t.equal(inspect({ body: new Uint8Array(0) }).value, 0)
  t.ok(inspect({ headers: ['content-type', 'application/x-www-form-urlencoded'], body: Buffer.concat([Buffer.from('a=\xff\xfe', 'latin1'), Buffer.from(SQL.replaceAll(' ', '+'))]) }).value >= 0.75)
  t.ok(inspect({ url: '/x?q=a%00b' }).value >= 0.75)
  t.ok(inspect({ headers: JSON_TYPE, body: Buffer.from('\ufeff{"q":"<script>alert(1)</script>"}', 'utf16le') }).value >= 0.75)
  t.ok(inspect({ headers: ['content-type', 'multipart/form-data'], body: SQL }).value >= 0.75)
  t.end()
})
