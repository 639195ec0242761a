import t from 'tap'
import { redactFactors, redactObservation } from '../../src/receipts/redact.ts'
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
      const evidence = redactFactors(scoreInHurry(observation(override), policy).factors).flatMap((factor) => factor.evidence)
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
