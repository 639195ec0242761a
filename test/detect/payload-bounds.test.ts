import { test } from 'tap'
import { inForm, inJson, inspect } from './payload-observation.ts'
import type { RequestParts } from './payload-observation.ts'

const HTML = 'onload=x(1)'
const PNG = '\x89PNG\r\n\x1a\n' + '\0\x01\xfe'.repeat(40)

/** Where an inner bound bites, and what the receipt says of it; the same request just below the bound says nothing. */
const BITES: Array<{ bound: RegExp, over: RequestParts, under: RequestParts }> = [
  { bound: /cookie: pairs/, over: { headers: ['cookie', 'aa=bb;'.repeat(600)] }, under: { headers: ['cookie', 'aa=bb;'.repeat(500)] } },
  { bound: /path: segments/, over: { url: '/(a)'.repeat(40) }, under: { url: '/(a)'.repeat(30) } },
  { bound: /path: names/, over: { url: '/' + 'ab'.repeat(300) }, under: { url: '/' + 'ab'.repeat(200) } },
  { bound: /history: target/, over: { url: '/a?b=' + 'cd '.repeat(400) }, under: { url: '/a?b=' + 'cd '.repeat(300) } },
  { bound: /a part's head/, over: part('name="a"\r\nX-B: ' + 'c'.repeat(5_000), 'd'), under: part('name="a"\r\nX-B: ' + 'c'.repeat(3_000), 'd') },
  { bound: /a field's name/, over: part(`name="${'ab'.repeat(300)}"`, 'd'), under: part(`name="${'ab'.repeat(100)}"`, 'd') },
  { bound: /a file's name/, over: part(`name="a"; filename="${'ab'.repeat(600)}.txt"`, 'd'), under: part(`name="a"; filename="${'ab'.repeat(100)}.txt"`, 'd') },
  { bound: /names of one file beyond the 4th/, over: part(`name="a"${'; filename="b.txt"'.repeat(5)}`, 'd'), under: part(`name="a"${'; filename="b.txt"'.repeat(4)}`, 'd') },
  { bound: /boundaries beyond the 3rd/, over: parted(['b', 'c', 'd', 'e']), under: parted(['b', 'c', 'd']) },
  { bound: /marks of code only/, over: part('name="a"; filename="b.png"\r\nContent-Type: image/png', PNG), under: part('name="a"', 'text') },
  { bound: /a file's text beyond/, over: part('name="a"; filename="b.png"\r\nContent-Type: image/png', PNG + ('<?=' + ' '.repeat(500)).repeat(40)), under: part('name="a"; filename="b.png"\r\nContent-Type: image/png', PNG + '<?= ') },
  { bound: /XML prolog/, over: xml('<!-- ' + 'a '.repeat(9_000) + '--><b/>'), under: xml('<!-- ' + 'a '.repeat(900) + '--><b/>') },
  { bound: /attributes of one element/, over: xml(`<a ${attributes(80)}/>`), under: xml(`<a ${attributes(60)}/>`) },
  { bound: /XML texts as one/, over: xml('<a>' + `<b>${'some words '.repeat(20)}</b>`.repeat(400) + '</a>'), under: xml('<a>' + '<b>some words here</b>'.repeat(80) + '</a>') },
  { bound: /attributes of one tag/, over: text(`<p ${attributes(60)} ${HTML}>`), under: text(`<p ${attributes(20)}>`) },
  { bound: /an attribute beyond/, over: text(`<p title="${'a '.repeat(2_000)}">`), under: text(`<p title="${'a '.repeat(200)}">`) },
  { bound: /an expression beyond/, over: text('{{ ' + 'a '.repeat(400)), under: text('{{ ' + 'a '.repeat(100) + '}}') },
  { bound: /encoded too often/, over: text('%' + '25'.repeat(3_000) + '3Cb'), under: text('%' + '25'.repeat(100) + '3Cb') },
  { bound: /text inside text/, over: text(nested(60_000)), under: text(nested(600)) },
  { bound: /GraphQL beyond/, over: graphql(400), under: graphql(20) }
]

/** JSON in JSON, five levels deep. */
function nested (characters: number): string {
  let value: unknown = 'word '.repeat(characters / 5)
  for (let level = 0; level < 5; level++) value = JSON.stringify([value])
  return value as string
}

function part (head: string, content: string): RequestParts {
  return { headers: ['content-type', 'multipart/form-data; boundary=b'], body: Buffer.from(`--b\r\nContent-Disposition: form-data; ${head}\r\n\r\n${content}\r\n--b--\r\n`, 'latin1') }
}

function parted (boundaries: string[]): RequestParts {
  const { body } = part('name="a"', 'd')
  return { headers: ['content-type', 'multipart/form-data; ' + boundaries.map((boundary) => 'boundary=' + boundary).join('; ')], body: body as Uint8Array }
}

function xml (body: string): RequestParts {
  return { headers: ['content-type', 'application/xml'], body }
}

function text (note: string): RequestParts {
  return { headers: ['content-type', 'application/json'], body: JSON.stringify({ note }) }
}

function graphql (fragments: number): RequestParts {
  const query = '{ ...F0 } ' + Array.from({ length: fragments }, (_, at) => `fragment F${at} on Q { a${at} ...F${at + 1} }`).join(' ')
  return { url: '/graphql', headers: ['content-type', 'application/json'], body: JSON.stringify({ query }) }
}

function attributes (count: number): string {
  return Array.from({ length: count }, (_, at) => `data-a${at}="b"`).join(' ')
}

test('what an inner bound leaves out is named, and nothing is said below it', (t) => {
  for (const { bound, over, under } of BITES) {
    t.match(inspect(over).notInspected.join('; '), bound)
    t.notMatch(inspect(under).notInspected.join('; '), bound)
  }
  t.end()
})

test('of many names of one file and of many boundaries the first and the last are read', (t) => {
  for (const at of [0, 9]) {
    const names = Array.from({ length: 10 }, (_, number) => `; filename="${number === at ? 'shell.php' : 'a.txt'}"`).join('')
    t.ok(inspect(part('name="a"' + names, 'd')).value >= 0.75, `name ${at}`)
    const boundaries = Array.from({ length: 10 }, (_, number) => `boundary=${number === at ? 'b' : `x${number}`}`)
    const { body } = part('name="a"; filename="shell.php"', 'd')
    t.ok(inspect({ headers: ['content-type', 'multipart/form-data; ' + boundaries.join('; ')], body: body as Uint8Array }).value >= 0.75, `boundary ${at}`)
  }
  t.end()
})

test('remarks are bounded and the last says that there are more', (t) => {
  const many = inJson(Object.fromEntries(Array.from({ length: 40 }, (_, at) => [`field${at}`, `%${'25'.repeat(3_000)}3Cb`])))
  t.equal(many.notInspected.length, 16)
  t.equal(many.notInspected.at(-1), 'and more')
  t.end()
})

test('code deep in a file, an XML inclusion far from the start and an override of a charset are still seen', (t) => {
  const head = 'name="a"; filename="b.png"\r\nContent-Type: image/png'
  t.ok(inspect(part(head, '<?= ' + '\x00'.repeat(600) + '<?php system($_GET["c"]); ?>')).value >= 0.75)
  t.ok(inspect(xml('<a>' + '<b>words</b>'.repeat(500) + '<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="file:///etc/hosts"/></a>')).value >= 0.75)
  t.ok(inspect(part('name="_charset_"', 'utf-7')).value >= 0.75)
  t.ok(inspect(part('name="_charset_"', 'UTF-8')).value < 0.4)
  t.ok(inForm('x').value === 0)
  t.end()
})
