import fc from 'fast-check'
import { test } from 'tap'
import { inspect } from './payload-observation.ts'
import type { RequestParts } from './payload-observation.ts'
import { RAW_ATTACKS } from './raw-scan-attacks.ts'
import { scaled } from '../scale.ts'

const BLOCKS = 0.75
const CHALLENGES = 0.4
const JSON_TYPE = ['content-type', 'application/json']

const posted = (type: string, body: string | Uint8Array): RequestParts => ({ headers: ['content-type', type], body })
const graphql = (query: string): RequestParts => ({ url: '/graphql', headers: JSON_TYPE, body: JSON.stringify({ query }) })
const part = (head: string, content: string | Uint8Array): RequestParts =>
  posted('multipart/form-data; boundary=b', Buffer.concat([
    Buffer.from(`--b\r\nContent-Disposition: form-data; ${head}\r\n\r\n`),
    typeof content === 'string' ? Buffer.from(content, 'latin1') : content,
    Buffer.from('\r\n--b--\r\n')
  ]))
const markup = (text: string): string => text.replace(/[&<>]/g, (character) => `&#${character.charCodeAt(0)};`)

/** Attacks of every family that are refused as they stand: a carrier may not change that. */
const PLAIN = Object.entries(RAW_ATTACKS).flatMap(([family, attacks]) => attacks.map((attack) => ({ family, attack })))
const ATTACKS = PLAIN.filter(({ attack }) => inspect(posted('text/plain', attack)).value >= BLOCKS)
const attacks = fc.constantFrom(...ATTACKS)

function failure (name: string, attack: string, parts: RequestParts): string | null {
  const { value } = inspect(parts)
  return value >= BLOCKS ? null : `${name} with ${JSON.stringify(attack)}: ${value}`
}

/** Where an attack stands in a body, beside or within what the format itself has a place for. */
const CARRIERS: Record<string, (attack: string) => RequestParts> = {
  'a body called XML': (attack) => posted('application/xml', attack),
  'a picture called SVG': (attack) => posted('image/svg+xml', attack),
  'a comment': (attack) => posted('application/xml', `<a><b>1</b><!-- ${attack} --></a>`),
  'a comment before the first element': (attack) => posted('text/xml', `<?xml version="1.0"?><!--${attack}--><a/>`),
  'an instruction': (attack) => posted('application/xml', `<a><?x ${attack}?></a>`),
  'an instruction before the first element': (attack) => posted('application/xml', `<?x ${attack}?><a/>`),
  'a bare attribute': (attack) => posted('application/xml', `<a ${attack}>b</a>`),
  'a tag behind its attributes': (attack) => posted('image/svg+xml', `<svg><g id="b" ${attack}>c</g></svg>`),
  'an end tag': (attack) => posted('application/xml', `<a>b</a ${attack}>`),
  'text behind a less-than sign': (attack) => posted('application/xml', `<a>1 < ${attack}</a>`),
  'CDATA by letters': (attack) => posted('application/xml', `<a>${[...attack].map((letter) => `<![CDATA[${letter}]]>`).join('')}</a>`),
  'a comment of a document': (attack) => graphql(`{ a }#${attack}`),
  'a comment before a document': (attack) => graphql(`# ${attack}\nquery { me { id } }`),
  'a comment of a document elsewhere': (attack) => posted('application/json', JSON.stringify({ query: `{a}# ${attack}` })),
  'a comment of a document in a link': (attack) => ({ url: '/search?query=' + encodeURIComponent(`{a}# ${attack}`) }),
  'a comment of application/graphql': (attack) => posted('application/graphql', `{ me { # ${attack}\n id } }`),
  'a part of XML without a tag': (attack) => part('name="a"\r\nContent-Type: text/xml', attack)
}

/** What a carrier cannot hold: its own end, and an object's stream of which the first letters are not the first. */
const isCarried = (name: string, attack: string): boolean =>
  !(name.includes('comment') && attack.includes('-->')) && !(/instruction/.test(name) && attack.includes('?>')) && !/^(?:rO0|aced)/.test(attack)

test('an attack in what XML and GraphQL have a place for is refused like the attack alone', (t) => {
  const failures = Object.entries(CARRIERS).flatMap(([name, carry]) => ATTACKS.filter(({ attack }) => isCarried(name, attack)).map(({ attack }) => failure(name, attack, carry(attack))))
  t.same(failures.filter((one) => one !== null), [])
  t.ok(ATTACKS.length > 0.95 * PLAIN.length, `${ATTACKS.length} attacks of ${PLAIN.length}`)
  t.end()
})

test('texts of XML that comments, sections, instructions and elements part are read as one', (t) => {
  const cut = fc.constantFrom('<!---->', '<!-- -->', '<?x?>', '<?x y="z"?>', '<![CDATA[]]>')
  const pieces = attacks.filter(({ attack }) => !/^(?:rO0|aced)/.test(attack)).chain(({ attack }) => fc.array(fc.tuple(fc.nat(attack.length), cut, fc.boolean()), { minLength: 1, maxLength: 12 }).map((cuts) => {
    let [text, from] = ['', 0]
    for (const [at, mark, isSection] of cuts.sort((left, right) => left[0] - right[0])) {
      const piece = attack.slice(from, at)
      text += (isSection ? `<![CDATA[${piece}]]>` : markup(piece)) + mark
      from = at
    }
    return `<a><b>1</b><c>${text}${markup(attack.slice(from))}</c></a>`
  }))
  fc.assert(fc.property(pieces, fc.constantFrom('application/xml', 'text/xml', 'image/svg+xml'), (body, type) => inspect(posted(type, body)).value >= BLOCKS), { numRuns: 1_500, seed: 11 })
  t.ok(inspect(posted('application/xml', `<a>${[..."' UNION SELECT name, pass FROM users -- "].map((letter) => `<b>${letter}</b>`).join('')}</a>`)).value >= BLOCKS)
  t.end()
})

test('ordinary XML says nothing: icons, feeds, comments of editors, commented-out elements, stylesheets', (t) => {
  const svg = (inner: string): string => `<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="24" height="24" viewBox="0 0 24 24" fill="none">${inner}</svg>`
  const bodies = [
    svg('<path d="M12 2L2 7l10 5 10-5-10-5zM2 17l10 5 10-5" stroke="#000" stroke-width="2"/>'),
    svg('<style>.st0{fill:#FFFFFF;stroke:#000;} .b{fill:url(#g)}</style><g class="st0" transform="matrix(1 0 0 1 0 0)"><use xlink:href="#a"/></g>'),
    svg("<title>It's a lamp</title><desc>Lamp &amp; table</desc><defs><clipPath id=\"c\"><rect width=\"5\" height=\"5\"/></clipPath></defs><g clip-path=\"url(#c)\"><animate attributeName=\"opacity\" from=\"0\" to=\"1\" dur=\"1s\" begin=\"a.click\"/></g>"),
    svg('<!--! Font Awesome Pro 6.4.0 by @fontawesome - https://fontawesome.com License - https://fontawesome.com/license (Commercial License) Copyright 2023 Fonticons, Inc. --><path d="M1 1"/>'),
    '<?xml version="1.0" encoding="utf-8"?>\n<!-- Generator: Adobe Illustrator 24.1.0, SVG Export Plug-In . SVG Version: 6.00 Build 0)  -->\n' + svg('<circle cx="5" cy="5" r="3"/>'),
    '<?xml version="1.0" encoding="UTF-8"?><?xml-stylesheet type="text/xsl" href="feed.xsl"?><rss version="2.0" xmlns:atom="http://www.w3.org/2005/Atom"><channel><!-- don\'t edit: made by the build; see feed.ts --><title>News &amp; notes</title><item><title>It\'s done</title><description><![CDATA[<p>Hello <b>world</b>, <a href="https://example.org/?a=1&b=2">read on</a></p>]]></description></item><!-- <item><title>old</title></item> --></channel></rss>',
    '<feed><link>https://example.org</link><author>jo@example.net</author><path>a/b.txt</path><path>/c</path></feed>',
    '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion><!-- we select the union of both; or not --><version>${project.version}</version><!-- <dependency><groupId>a</groupId><scope>test</scope></dependency> --></project>', // eslint-disable-line no-template-curly-in-string -- a build's own syntax
    '<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"><soap:Body><m:Get xmlns:m="https://example.org/p"><m:Note>5 < 6</m:Note></m:Get></soap:Body></soap:Envelope>',
    '<junit onerror="fail" haltonfailure="yes"><x/></junit>',
    '<?mso-application progid="Excel.Sheet"?><Workbook/>'
  ]
  const false_ = bodies.flatMap((body) => ['application/xml', 'image/svg+xml'].map((type) => ({ body, value: inspect(posted(type, body)).value }))).filter(({ value }) => value >= CHALLENGES)
  t.same(false_, [])
  t.equal(inspect(posted('image/svg+xml', bodies[0] as string)).value, 0)
  t.end()
})

test('commented documents say nothing: what an editor writes, notes, and lines that were put out of use', (t) => {
  const lines = ['Type queries into this side of the screen, and you will see intelligent', 'GraphQL queries typically start with a "{" character. Lines that start', 'with a # are ignored.', '      field(arg: "value") {', '  Prettify query:  Shift-Ctrl-P (or press the prettify button)', '}', 'user(id: "7") {', 'node(id: $id) {', 'query ($id: ID!) {', 'search(text: "it\'s") {', '... on User {', 'posts(where: {title: {_like: "%a%"}}) {', "what's this? it's a test (see #12) -- ok", 'import "./fragment.graphql"', 'mutation { deleteUser(input: {id: 1, force: true}) { ok } }', '@generated by graphql-codegen; do not edit', '=== Users ===', '------------', 'https://example.org/docs/api?x=1&y=2#frag', 'TODO: remove; or use b(first: 10)']
  for (const line of lines) {
    const { value } = inspect(graphql(`# ${line}\nquery Q { a { id # ${line}\n } }`))
    t.ok(value < CHALLENGES, `${line}: ${value}`)
  }
  t.ok(inspect(graphql(lines.map((line) => `# ${line}\n`).join('') + '{ me { id } }')).value < CHALLENGES)
  t.end()
})

const control = fc.integer({ min: 1, max: 31 }).filter((code) => code < 9 || code === 11 || code === 12 || code > 13).map((code) => String.fromCharCode(code))
const controls = fc.array(control, { minLength: 1, maxLength: 80 }).map((letters) => letters.join(''))

/** How bytes are put around an attack or between its letters, so that it looks like no text. */
const disguise = fc.oneof(
  controls.map((pad) => (text: string) => Buffer.from(pad + text, 'latin1')),
  controls.map((pad) => (text: string) => Buffer.from(text + pad, 'latin1')),
  controls.map((pad) => (text: string) => Buffer.from('MZ\x01\x02' + pad + text, 'latin1')),
  fc.constantFrom('\x0b', '\x0c', '\x0b\x0c').map((blank) => (text: string) => Buffer.from('\x01\x01\x01' + text.replaceAll(' ', blank), 'latin1')),
  fc.constantFrom(false, true).map((isBig) => (text: string) => isBig ? Buffer.from(text, 'utf16le').swap16() : Buffer.from(text, 'utf16le'))
)
const places: Array<(content: Buffer) => RequestParts> = [(content) => part('name="a"', content), (content) => part('name="a"\r\nContent-Type: image/png', content), (content) => posted('text/plain', content), (content) => posted('text/plain; charset=utf-8', content)]

test('control characters, a program in front and UTF-16 hide no attack in a field or a text', (t) => {
  fc.assert(fc.property(attacks, disguise, fc.constantFrom(...places), ({ attack }, hide, place) => {
    const { value } = inspect(place(hide(attack)))
    return value >= BLOCKS || /^(?:rO0|aced)/.test(attack)
  }), { numRuns: scaled(800, 3_000), seed: 12 })
  t.ok(inspect(part('name="a"', '\x01'.repeat(8) + '{{7*7}}')).value >= BLOCKS)
  t.ok(inspect(posted('application/octet-stream', Buffer.from('\x01'.repeat(8) + "x' UNION SELECT a, b FROM c-- "))).value >= BLOCKS)
  t.end()
})

test('files and fields with tabs and line breaks say nothing', (t) => {
  const noise = fc.uint8Array({ minLength: 600, maxLength: 3_000 })
  const magics: Array<[string, string]> = [['a.png', '\x89PNG\r\n\x1a\n\0\0\0\rIHDR'], ['a.zip', 'PK\x03\x04\x14\0'], ['a.docx', 'PK\x03\x04\x14\0\x06\0[Content_Types].xml'], ['a.pdf', '%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<< /Type /Catalog /Pages 2 0 R >>\nendobj\nstream\n']]
  let accused = 0
  let count = 0
  fc.assert(fc.property(fc.constantFrom(...magics), noise, fc.boolean(), ([name, magic], bytes, isNamed) => {
    const content = Buffer.concat([Buffer.from(magic, 'latin1'), bytes])
    const head = isNamed || name === 'a.pdf' ? `name="f"; filename="${name}"\r\nContent-Type: application/octet-stream` : 'name="f"\r\nContent-Type: application/octet-stream'
    count++
    if (inspect(part(head, content)).value >= CHALLENGES) accused++
    return true
  }), { numRuns: 400, seed: 13 })
  t.ok(accused <= count / 100, `${accused} of ${count} files of random bytes`)
  for (const note of ['one\ttwo\tthree\r\n4\t5\t6', 'Dear all,\r\n\r\n\tthe table is free -- see you at 5.', 'Zoë\t Дом', 'a\x0bb']) t.ok(inspect(part('name="note"', Buffer.from(note))).value < CHALLENGES, note)
  t.end()
})

/** A document in a charset that its own declaration names, or shows by its first bytes. */
const EBCDIC = new Map<string, number>()
for (const [from, letters] of [[0x40, ' '], [0x4b, '.<(+|&'], [0x5a, '!$*);'], [0x60, '-/'], [0x6b, ',%_>?'], [0x79, '`:#@\'="'], [0x81, 'abcdefghi'], [0x91, 'jklmnopqr'], [0xa1, '~stuvwxyz'], [0xc0, '{ABCDEFGHI'], [0xd0, '}JKLMNOPQR'], [0xe2, 'STUVWXYZ'], [0xf0, '0123456789']] as Array<[number, string]>) [...letters].forEach((letter, at) => { EBCDIC.set(letter, from + at) })
const ebcdic = (text: string): Buffer => Buffer.from([...text].map((letter) => EBCDIC.get(letter) ?? 0x40))
const utf7 = (text: string): string => text.replace(/[^A-Za-z0-9 ]/g, (letter) => `+${Buffer.from(letter, 'utf16le').swap16().toString('base64').replace(/=+$/, '')}-`)

test('XML is read in the charset that it names itself', (t) => {
  const content = "' UNION SELECT name, pass FROM users -- "
  for (const type of ['application/xml', 'text/plain', 'image/svg+xml', 'application/xml; charset=utf-8']) {
    for (const inner of [`<a>${content}</a>`, `<a b="${content}"/>`, `<a><!--${content}--></a>`]) {
      for (const declaration of ['<?xml version="1.0" encoding="utf-7"?>', "<?xml encoding='UTF-7'?>", '\ufeff<?xml version="1.0" encoding = "unicode-1-1-utf-7" standalone="yes"?>']) t.ok(inspect(posted(type, declaration + utf7(inner))).value >= BLOCKS, `${type} ${declaration}`)
      for (const declaration of ['<?xml version="1.0" encoding="ibm037"?>', '<?xml version="1.0"?>']) t.ok(inspect(posted(type, ebcdic(declaration + inner))).value >= BLOCKS, `${type} ${declaration} in EBCDIC`)
    }
  }
  for (const charset of ['ISO-8859-1', 'utf-8', 'windows-1252', 'us-ascii', 'Shift_JIS', 'GB2312', 'KOI8-R']) {
    const { value, beyond } = inspect(posted('text/xml', Buffer.from(`<?xml version="1.0" encoding="${charset}"?><a>caf\xe9 &amp; more</a>`, 'latin1')))
    t.same([value < CHALLENGES, beyond], [true, null], charset)
  }
  t.equal(inspect(posted('text/xml', '<?xml version="1.0" encoding="x-made-up"?><a>words</a>')).beyond, 'body')
  t.end()
})

test('beyond a bound, words before an attack make no quotation of it', (t) => {
  const before = fc.constantFrom('dear friends we are happy to say that all is well here ', '``` ', 'select a from b ', "insert into a values ('b') ", 'Run `a` to see what it is ', '')
  const padding: unknown[] = Array.from({ length: 4_200 }, (_, at) => `ab ${at}`)
  const padded = (text: string): number => inspect(posted('application/json', JSON.stringify([...padding, text]))).value
  // A command behind words is what notes and scripts hold too; of a directory's filter and of one bare word, the words before it are a part.
  const isObeyed = ({ family, attack }: { family: string, attack: string }): boolean => family !== 'ldapi' && attack !== '`id`' && !/^(?:rO0|aced|O:|!!)/.test(attack)
  const strongest = ATTACKS.filter((one) => isObeyed(one) && padded(one.attack) >= 0.9)
  t.ok(strongest.length > 0.85 * ATTACKS.length, `${strongest.length} of ${ATTACKS.length}`)
  fc.assert(fc.property(fc.constantFrom(...strongest), before, ({ family, attack }, words) => padded(words + attack) >= (family === 'cmdi' ? CHALLENGES : 0.9)), { numRuns: 150, seed: 14 })
  t.ok(inspect(posted('application/json', JSON.stringify([...padding, 'dear friends we are happy to say that all is well here']))).value < CHALLENGES)
  t.end()
})
