import t from 'tap'
import { redactFactors } from '../../src/receipts/redact-evidence.ts'
import { redactTarget } from '../../src/receipts/redact-parts.ts'
import { redactObservation } from '../../src/receipts/redact.ts'
import { createPolicy } from '../../src/detect/policy.ts'
import { scoreInHurry } from '../../src/threads/hurry.ts'
import { observation } from '../detect/observations.ts'
import type { Observation } from '../../src/detect/shapes.ts'

/**
 * No form in which a secret stands under its name is stored readable: names, forms and containers are combined, so
 * that a form is seen in every container that it can stand in.
 */
const SECRET = 'Hunter2Zq'
const NAMES = ['password', 'api_key', 'accessToken', 'pin']
const nothing = { factors: [] }

function stored (override: Partial<Observation>): string {
  const redacted = redactObservation(observation(override), nothing)
  return JSON.stringify(redacted) + Buffer.from(redacted.bodyBase64 ?? '', 'base64').toString('latin1')
}

function withBody (type: string, text: string): Partial<Observation> {
  return { method: 'POST', headers: type === '' ? [] : ['Content-Type', type], body: new TextEncoder().encode(text) }
}

function isReadable (text: string): boolean {
  return text.includes(SECRET)
}

t.test('evidence of a sign in the raw bytes tells its rule and its place only', async (t) => {
  const policy = createPolicy({ sensitivity: 2, challengeThreshold: 40, blockThreshold: 75 })
  const attacks = [`x' union select ${SECRET} from users`, `; wget http://${SECRET}/x`, `<script>${SECRET}</script>`, `\${jndi:ldap://${SECRET}/a}`, `exec xp_cmdshell '${SECRET}'`]
  let signs = 0
  for (const attack of attacks) {
    const encoded = encodeURIComponent(attack)
    const given = [
      withBody('application/json', JSON.stringify({ user: 'a', password: attack })),
      withBody('application/x-www-form-urlencoded', `user=a&password=${encoded}`),
      { url: `/?token=${encoded}` },
      { headers: ['x-note', attack] }
    ]
    for (const override of given) {
      const evidence = redactFactors(scoreInHurry(observation(override), policy).factors, null).flatMap((factor) => factor.evidence)
      const raw = evidence.filter(({ rule }) => rule.endsWith('.raw'))
      signs += raw.length
      for (const { text, rule, place } of raw) t.equal(text, `${rule} in ${place} (masked)`)
      t.notOk(JSON.stringify(evidence).toLowerCase().includes(SECRET.toLowerCase()), attack)
    }
  }
  t.ok(signs >= attacks.length, `${signs} signs`)
})

t.test('a value of a part is masked whatever its boundary, its head and what stands before it', async (t) => {
  const boundaries = ['x', '===============7330845974216740156==', '----=_Part_0_12.34', '----WebKitFormBoundaryA1', "a'b(c)", '=', 'a&b=c']
  const preambles = ['', '\r\n', '\r\n\r\n', '\n \n', '{\r\n', '[1]\r\n', 'a=1\r\n', 'password=x&b=1\r\n', 'This is a message of parts.\r\n', '--\r\n', '--y\r\n\r\nz\r\n']
  const parameters = [(name: string) => `name="${name}"`, (name: string) => `NAME="${name}"`, (name: string) => `Name=${name}`, (name: string) => `name = "${name}"`, (name: string) => `name\t=\r\n "${name}"`, (name: string) => `name='${name}'`, (name: string) => `name*=UTF-8''${name}`, (name: string) => `name*=utf-8'en'%${name.charCodeAt(0).toString(16)}${name.slice(1)}`, (name: string) => `name*0="${name.slice(0, 2)}"; name*1="${name.slice(2)}"`, (name: string) => `filename="a"; name="${name}"`]
  const values = [SECRET, `a\r\n--${SECRET}`, `\r\n\r\n${SECRET}`, `{"a":"${SECRET}"}`]
  const readable: string[] = []
  for (const boundary of boundaries) {
    for (const preamble of preambles) {
      for (const [at, parameter] of parameters.entries()) {
        for (const value of values) {
          const name = NAMES[at % NAMES.length] as string
          const first = `--${boundary}\r\nContent-Disposition: form-data; name="user"\r\n\r\nbob\r\n`
          const part = `--${boundary}\r\nContent-Disposition: form-data; ${parameter(name)}\r\n\r\n${value}\r\n--${boundary}--\r\n`
          for (const text of [preamble + part, preamble + first + part, (preamble + first + part).replaceAll('\r\n', '\n')]) {
            for (const type of [`multipart/form-data; boundary="${boundary}"`, '', 'text/plain', 'application/x-www-form-urlencoded', 'application/json']) {
              if (isReadable(stored(withBody(type, text)))) readable.push(JSON.stringify([type, text]))
            }
          }
        }
      }
    }
  }
  t.same(readable.slice(0, 5), [])
})

t.test('a part under a plain name stays readable beside a masked one', async (t) => {
  const text = `--==x\r\nContent-Disposition: form-data; name="note"\r\n\r\nhello world\r\n--==x\r\nContent-Disposition: form-data; name="password"\r\n\r\n${SECRET}\r\n--==x--\r\n`
  const masked = stored(withBody('multipart/form-data; boundary="==x"', text))
  t.ok(masked.includes('hello world'))
  t.ok(masked.includes('\r\n--==x--\r\n'))
  t.notOk(isReadable(masked))
})

type Form = (name: string, secret: string) => string

/** How a secret stands under its name, in text. */
const FORMS: Record<string, Form> = {
  pair: (name, secret) => `${name}=${secret}`,
  'pair after a target': (name, secret) => `https://h.example/x?${name}=${secret}`,
  'pair in a fragment': (name, secret) => `https://h.example/x#${name}=${secret}`,
  'pair in a target that is a value': (name, secret) => `next=https://h.example/x?a=b&${name}=${secret}`,
  'pair in a target under a colon': (name, secret) => `url: https://h.example/x?${name}=${secret}`,
  'pair in an encoded target': (name, secret) => `next=https%3A%2F%2Fh.example%2F%3F${name}%3D${secret}%26a%3Db`,
  'pair in a target encoded twice': (name, secret) => `next=https%253A%252F%252Fh.example%252F%253F${name}%253D${secret}`,
  'pair behind names': (name, secret) => `a:b=c:${name}=${secret}`,
  'pair with many blanks': (name, secret) => `${name}${' '.repeat(30)}=${' '.repeat(30)}${secret}`,
  'pair over lines': (name, secret) => `${name}:\n${' '.repeat(20)}${secret}\n`,
  'pair that begins a line': (name, secret) => `a\n${name}=${secret}\nb`,
  'pair with an arrow': (name, secret) => `'${name}' => '${secret}'`,
  'pair with an index': (name, secret) => `user[${name}]=${secret}`,
  'pair with a name that is encoded': (name, secret) => `%${name.charCodeAt(0).toString(16)}${name.slice(1)}=${secret}`,
  'pair with a scheme': (name, secret) => `${name}: Bearer ${secret}`,
  'quoted, with a separator in it': (name, secret) => `${name}="a, ${secret}"`,
  'quoted once more': (name, secret) => `note: "${name}: '${secret} x'"`,
  'behind a string without an end': (name, secret) => `note: 'tis so, ${name}: ${secret}`,
  'behind a block without an end': (name, secret) => `note: """ ${name}: ${secret}`,
  'behind a string that ends in a name': (name, secret) => `{a: "the ${name}:", ${name}: "x ${secret}"}`,
  'in quotes of which one is escaped': (name, secret) => `a='x\\' ${name}='${secret}'`,
  json: (name, secret) => JSON.stringify({ [name]: `x ${secret}` }),
  'json with an escaped name': (name, secret) => `{"\\u00${name.charCodeAt(0).toString(16)}${name.slice(1)}":"${secret}"}`,
  'json with a comment': (name, secret) => `{"${name}" /* c */ : "${secret}"}`,
  'json with a comment that has a comma': (name, secret) => `{"a":1,/* , */"${name}"/*,*/:"${secret}"}`,
  'json with other quotes': (name, secret) => `{'${name}':'x ${secret}'}`,
  'json with a bare name': (name, secret) => `{${name}:"x ${secret}"}`,
  'json in json in json': (name, secret) => JSON.stringify({ a: JSON.stringify({ b: JSON.stringify({ [name]: `x "y" ${secret}` }) }) }),
  'name and value': (name, secret) => JSON.stringify([{ name, value: secret }]),
  'key and value, among others': (name, secret) => JSON.stringify([{ key: 'a', value: 'b' }, { key: name, type: 'x', value: { stringValue: secret } }]),
  'value and field': (name, secret) => JSON.stringify({ list: [{ value: [secret], x: {}, field: name }] }),
  graphql: (name, secret) => `mutation{login(user:"a",${name}:"x ${secret}"){id}}`,
  'graphql list': (name, secret) => `mutation{login(${name}:["x", "y } ${secret}"]){id}}`,
  'graphql object': (name, secret) => `mutation{login(${name}:{v:"x }", w:[{z:"${secret}"}]}){id}}`,
  'graphql comma': (name, secret) => `mutation{login(${name}:, ,"x ${secret}"){id}}`,
  'graphql comment': (name, secret) => `mutation{login(${name}: # c\n # d\n  "x ${secret}"){id}}`,
  'graphql block': (name, secret) => `mutation{login(${name}:"""x " ${secret}"""){id}}`,
  'graphql far away': (name, secret) => `mutation{login(${name}:\n${'\t'.repeat(30)}"x ${secret}"){id}}`,
  'graphql literals for a name and its value': (name, secret) => `mutation{set(name:"${name}",value:"x ${secret}"){id}}`,
  attribute: (name, secret) => `<a b="c" ${name}="x ${secret}"/>`,
  'attributes for a name and its value': (name, secret) => `<input name="${name}" value="x ${secret}">`,
  element: (name, secret) => `<a><${name}>x ${secret}</${name}></a>`,
  'element with a prefix': (name, secret) => `<w:${name} x="a>b">x ${secret}</w:${name}>`,
  'element of CDATA': (name, secret) => `<a><${name}><![CDATA[x </${name}> <${secret}]]></${name}></a>`,
  'element with a comment': (name, secret) => `<a><${name}><!-- </${name}> -->x ${secret}</${name}></a>`,
  'element of elements': (name, secret) => `<a><${name}><v>x</v><w z="1">${secret}</w></${name}></a>`,
  'element of itself': (name, secret) => `<${name}><${name}>x</${name}>${secret}</${name}>`,
  'element that is cut off': (name, secret) => `<a><${name}>x ${secret}`,
  'element with lines': (name, secret) => `<a><${name}\n>\n${secret}\n</${name}\n></a>`
}

/** Where such text may stand. */
const CONTAINERS: Record<string, (text: string) => Partial<Observation>> = {
  'body of text': (text) => withBody('text/plain', text),
  'body without a type': (text) => withBody('', text),
  'body of XML': (text) => withBody('application/xml', text),
  'body of GraphQL': (text) => withBody('application/graphql', text),
  'body of another type': (text) => withBody('application/octet-stream', text),
  'body said to be JSON': (text) => withBody('application/json', text),
  'JSON string': (text) => withBody('application/json', JSON.stringify({ d: text })),
  'JSON string with escapes for quotes': (text) => withBody('application/json', JSON.stringify({ d: text }).replaceAll('\\"', '\\u0022')),
  'JSON string with an escaped letter': (text) => withBody('application/json', JSON.stringify({ d: text }).replace(/([a-z])(?=assword|pi_key|ccessToken|in\b)/g, (letter) => `\\u00${letter.charCodeAt(0).toString(16)}`)),
  'JSON string in JSON': (text) => withBody('application/json', JSON.stringify({ d: [JSON.stringify({ e: text })] })),
  'JSON without a type': (text) => withBody('', JSON.stringify([text])),
  'form value': (text) => withBody('application/x-www-form-urlencoded', `a=1&d=${encodeURIComponent(text)}&b=2`),
  'form value with plus signs': (text) => withBody('application/x-www-form-urlencoded', String(new URLSearchParams({ a: '1', d: text }))),
  'part of a body': (text) => withBody('multipart/form-data; boundary="==x"', `--==x\r\nContent-Disposition: form-data; name="d"\r\n\r\n${text}\r\n--==x--\r\n`),
  'query value': (text) => ({ url: `/x?a=1&d=${encodeURIComponent(text)}` }),
  'query value encoded twice': (text) => ({ url: `/x?d=${encodeURIComponent(encodeURIComponent(text))}` }),
  'query value beside a percent sign alone': (text) => ({ url: `/x?d=100%;${encodeURIComponent(text)}%&e=f` }),
  'query without a name': (text) => ({ url: `/x?${encodeURIComponent(text)}` }),
  'segment of a path': (text) => ({ url: `/x/${encodeURIComponent(text)}/y` }),
  header: (text) => ({ headers: ['X-Note', text.replaceAll('\n', '\\n')] }),
  'header with a query behind': (text) => ({ headers: ['X-Note', `${text.replaceAll('\n', '\\n')}?a=b`] }),
  'header of an encoded target': (text) => ({ headers: ['Referer', `https://h.example/?d=${encodeURIComponent(text)}`] })
}

t.test('no form of a secret under its name is stored readable, in no container', async (t) => {
  const readable: string[] = []
  for (const [container, put] of Object.entries(CONTAINERS)) {
    for (const [form, write] of Object.entries(FORMS)) {
      for (const name of NAMES) {
        const text = write(name, SECRET)
        if (isReadable(stored(put(text)))) readable.push(`${container}, ${form}: ${text}`)
      }
    }
  }
  t.same(readable, [])
})

t.test('what stands beside a secret stays readable, and what only looks like one', async (t) => {
  const kept: Array<[string, string]> = [
    ['application/json', JSON.stringify({ query: 'mutation($p: String!) {\n  login(\n    code: $code\n    password: $p\n  ) { id }\n}' })],
    ['application/json', JSON.stringify([{ name: 'user', value: 'bob' }, { value: 'x', name: 'colour' }])],
    ['application/json', JSON.stringify({ url: 'https://h.example:80/x?a=1&next=%2Fy%3Fb%3D2#c', note: 'at 12:30: done = yes' })],
    ['application/x-www-form-urlencoded', 'a=1;b=2&next=https%3A%2F%2Fh.example%2F%3Fx%3D1&name=user&value=bob'],
    ['text/xml', '<a><user>bob</user><!-- token --><b c="d"/></a>']
  ]
  for (const [type, text] of kept) t.ok(stored(withBody(type, text)).endsWith(text), text)
  t.equal(redactTarget('/v1/apiKeys:verify'), '/v1/apiKeys:verify')
  const beside = stored(withBody('application/json', JSON.stringify({ d: `https://h.example/x?token=${SECRET}&a=kept#b`, e: `the key: ${SECRET}, and so on` })))
  t.ok(beside.includes('https://h.example/x?token=aaaaaa0aa&a=kept#b'))
  t.ok(beside.includes('the key: aaaaaa0aa, and so on'))
  t.ok(redactTarget(`/x?next=https%3A%2F%2Fh.example%2F%3Ftoken%3D${SECRET}%26a%3Dkept`).includes('token%3Daaaaaa0aa%26a%3Dkept'))
})

t.test('masked JSON stays JSON, whatever form its strings hold', async (t) => {
  const given = Object.values(FORMS).flatMap((write) => NAMES.map((name) => write(name, `é\n${SECRET}\t"'\\x`)))
  for (const text of given) {
    for (const json of [JSON.stringify({ d: text, e: 1 }), JSON.stringify([JSON.stringify({ d: text })])]) {
      const masked = Buffer.from(redactObservation(observation(withBody('application/json', json)), nothing).bodyBase64 ?? '', 'base64').toString()
      t.doesNotThrow(() => JSON.parse(masked) as unknown, masked)
      t.equal(Object.keys(JSON.parse(masked) as object).length, Object.keys(JSON.parse(json) as object).length)
    }
  }
})
