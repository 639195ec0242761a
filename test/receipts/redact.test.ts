import fc from 'fast-check'
import t from 'tap'
import { maskJson } from '../../src/receipts/mask-json.ts'
import { maskShape } from '../../src/receipts/mask-shape.ts'
import { maskTokens } from '../../src/receipts/mask-forms.ts'
import { maskPairs } from '../../src/receipts/mask-pairs.ts'
import { maskCookies, maskMultipart, maskText } from '../../src/receipts/mask.ts'
import { isSecretPlace, redactFactors } from '../../src/receipts/redact-evidence.ts'
import { BODY_KEPT_MAX, redactTarget } from '../../src/receipts/redact-parts.ts'
import { redactObservation, redactPath } from '../../src/receipts/redact.ts'
import { isSecretName } from '../../src/receipts/secret-names.ts'
import { observation } from '../detect/observations.ts'
import type { Observation } from '../../src/detect/shapes.ts'

const SECRET = 'hunter2Zz9'
const nothing = { factors: [] }
// Made at run time: a scheme with credentials must not stand in the tree.
const credentialUrl = 'https://' + `bob:${SECRET}@shop.example/x`
const jwt = `eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ${SECRET}.c2lnbmF0dXJl`

/** CPU of this thread: other programs of the machine do not count. */
function cpuMs (before: NodeJS.CpuUsage): number {
  const { user, system } = process.threadCpuUsage(before)
  return (user + system) / 1000
}

function redact (override: Partial<Observation>): { text: string, body: string, masked: string[] } {
  const redacted = redactObservation(observation(override), nothing)
  const body = redacted.bodyBase64 === null ? '' : Buffer.from(redacted.bodyBase64, 'base64').toString('latin1')
  return { text: JSON.stringify(redacted) + body, body, masked: redacted.masked.map((one) => one.place) }
}

function withBody (type: string, text: string): Partial<Observation> {
  return { method: 'POST', headers: ['Content-Type', type], body: new TextEncoder().encode(text) }
}

t.test('names of secrets in any spelling, and names that only look like it', async (t) => {
  for (const name of ['password', 'Password', 'user[password]', 'user.passwd', 'pwd', 'new_password', 'api_key', 'apiKey', 'X-Api-Key', 'access_token', 'refreshToken', 'csrf-token', 'client_secret', 'Authorization', 'PHPSESSID', 'sessionId', 'otp', 'cvv', 'x-hub-signature-256', 'jwt', 'privateKey', 'X-Auth-Token']) t.ok(isSecretName(name), name)
  for (const name of ['q', 'author', 'tokens_used', 'passenger', 'compass', 'keyword', 'description', 'page', 'monkey', 'sessions_count', 'designature_x', 'User-Agent', 'encode', 'zipcode']) t.notOk(isSecretName(name), name)
})

t.test('a mask keeps length and punctuation and nothing else', async (t) => {
  t.equal(maskShape('Abc-123_é!'), 'aaa-000_a!')
})

t.test('the shortest secrets are masked in a JSON string as well as in a text of its own', async (t) => {
  for (const short of ['pin=7', 'otp:7', 'key=7', '://x@', '://7@', 'a pin=7', 'pin=77']) {
    const alone = maskText(short, 'x', () => {})
    t.not(alone, short)
    t.equal(maskJson(`{"note":"${short}"}`, 'x', () => {}), `{"note":"${alone}"}`)
    t.equal(maskJson(`["${short}"]`, 'x', () => {}), `["${alone}"]`)
  }
})

t.test('no secret survives, wherever it stands', async (t) => {
  const hiding: Array<[string, Partial<Observation>]> = [
    ['authorization', { headers: ['Authorization', `Bearer ${SECRET}`] }],
    ['basic', { headers: ['authorization', `Basic ${SECRET}==`] }],
    ['cookie', { headers: ['Cookie', `a=${SECRET}; theme=${SECRET}`] }],
    ['api key header', { headers: ['X-API-KEY', SECRET] }],
    ['a jwt anywhere', { headers: ['X-Note', `see ${jwt}`] }],
    ['referer', { headers: ['Referer', `https://shop.example/reset?token=${SECRET}&x=1`] }],
    ['credentials in a url', { headers: ['Referer', credentialUrl] }],
    ['query', { url: `/a?password=${SECRET}&q=1` }],
    ['query, encoded name', { url: `/a?pass%77ord=${SECRET}` }],
    ['query, name encoded twice', { url: `/a?pass%2577ord=${SECRET}` }],
    ['path parameter', { url: `/reset;token=${SECRET}/form` }],
    ['path segment', { url: `/reset/password=${SECRET}/form` }],
    ['query, nested name', { url: `/a?user[password]=${SECRET}` }],
    ['query holding JSON', { url: `/a?filter=${encodeURIComponent(JSON.stringify({ token: SECRET }))}` }],
    ['query holding GraphQL', { url: `/graphql?query=${encodeURIComponent(`mutation{login(password:"${SECRET}"){id}}`)}` }],
    ['query holding variables', { url: `/graphql?variables=${encodeURIComponent(JSON.stringify({ input: { password: SECRET } }))}` }],
    ['path token', { url: `/verify/${jwt}` }],
    ['form', withBody('application/x-www-form-urlencoded', `user=bob&password=${SECRET}&x=1`)],
    ['form without a type', withBody('', `user=bob&password=${SECRET}`)],
    ['json', withBody('application/json', JSON.stringify({ user: 'bob', password: SECRET }))],
    ['json, deep', withBody('application/json', JSON.stringify({ a: [{ b: { apiKey: SECRET } }] }))],
    ['json, everything below a secret name', withBody('application/json', JSON.stringify({ credentials: { user: SECRET, list: [SECRET, { deep: SECRET }] }, after: 1 }))],
    ['json, list of tokens', withBody('application/json', JSON.stringify({ access_token: ['x', SECRET] }))],
    ['json, escaped name', withBody('application/json', `{"pass\\u0077ord":"${SECRET}"}`)],
    ['json, escaped value', withBody('application/json', `{"password":"a\\"${SECRET}\\n"}`)],
    ['json, cut off', withBody('application/json', `{"a":1,"password":"${SECRET}`)],
    ['json without a type', withBody('text/plain', `  {"password" : "${SECRET}"}`)],
    ['graphql variables', withBody('application/json', JSON.stringify({ query: 'mutation($p:String!){login(password:$p){id}}', variables: { password: SECRET } }))],
    ['graphql literal in json', withBody('application/json', JSON.stringify({ query: `mutation { login(username: "bob", password: "${SECRET}") { id } }` }))],
    ['graphql block string in json', withBody('application/json', JSON.stringify({ query: `mutation { login(password: """${SECRET}""") { id } }` }))],
    ['graphql literal', withBody('application/graphql', `mutation { login(password: "${SECRET}") { id } }`)],
    ['xml element', withBody('application/xml', `<login><user>bob</user><Password type="x">${SECRET}</Password></login>`)],
    ['soap element with a prefix', withBody('text/xml', `<w:password>${SECRET}</w:password>`)],
    ['multipart', withBody('multipart/form-data; boundary=x', `--x\r\nContent-Disposition: form-data; name="password"\r\n\r\n${SECRET}\r\n--x--\r\n`)],
    ['lines of text', withBody('text/plain', `user=bob\npassword: ${SECRET}\n`)],
    ['compressed', { ...withBody('application/json', `{"password":"${SECRET}"}`), headers: ['Content-Encoding', 'gzip'] }],
    ['utf-16', { method: 'POST', body: new Uint8Array(Buffer.from(`{"password":"${SECRET}"}`, 'utf16le')) }],
    ['too large', withBody('application/json', JSON.stringify({ pad: 'x'.repeat(BODY_KEPT_MAX), note: SECRET }))]
  ]
  for (const [name, override] of hiding) {
    const { text, masked } = redact(override)
    t.notOk(text.includes(SECRET), name)
    t.notOk(text.replaceAll('\u0000', '').includes(SECRET), `${name}, between zeros`)
    t.ok(masked.length > 0, `${name}: the receipt says what was masked`)
  }
})

t.test('what is no secret stays, byte by byte', async (t) => {
  const bodies = ['{"q":"select 1 from t where a=\'b\'","n":[1,2.5,-3e4,true,null],"é":"☕"}', 'q=%27+or+1%3D1&page=2', '<a href="x">y</a>', '{"query":"query($token: String!){me(filter:{name:\\"bob\\"}){id}}"}']
  for (const text of bodies) {
    const { body } = redact(withBody('', text))
    t.equal(Buffer.from(body, 'latin1').toString(), text)
  }
  t.equal(redactTarget('/a/b%20c?q=%27%20union%20select&x=<script>'), '/a/b%20c?q=%27%20union%20select&x=<script>')
})

t.test('masked JSON stays JSON of the same shape', async (t) => {
  const text = JSON.stringify({ password: 'a"b\\\né', pin: 123_456, token: ['x', 7, null, true], other: 'kept' })
  const masked = JSON.parse(maskJson(text, 'body', () => {})) as Record<string, unknown>
  t.equal(masked['other'], 'kept')
  t.equal(masked['pin'], 111_111)
  t.same((masked['token'] as unknown[]).length, 4)
})

t.test('masked forms still decode', async (t) => {
  const masked = maskPairs('password=%41b%zz&x=1', 'body', () => {})
  t.equal(masked, 'password=%61a%aa&x=1')
  t.equal(maskCookies('a=1; sid=Ab9', () => {}), 'a=0; sid=aa0')
})

t.test('half a surrogate pair beside a secret, as a sample may hold it, is encoded too', async (t) => {
  const url = redactTarget(`/a?filter={"password":"${SECRET}","b":"\ud800"}`)
  t.notOk(url.includes(SECRET))
  t.ok(URL.canParse(url, 'http://host'))
})

t.test('strings that are cut off in an escape, keys without an end and indented elements hide their secrets', async (t) => {
  const given = [
    maskJson(`{"password":"${SECRET}\\`, '', () => {}),
    maskJson(`{"a":"x\\",\\"password\\":\\"${SECRET}\\`, '', () => {}),
    maskText(`password: "a\\\n${SECRET}`, '', () => {}),
    maskText(`<login>\n  <password>${SECRET}</password>\n</login>`, '', () => {}),
    maskTokens(`-----BEGIN PRIVATE KEY-----\n${'A'.repeat(9_000)}${SECRET}`, '', () => {}),
    maskMultipart(`--x\r\nContent-Disposition: form-data; name="password"\r\n${'x-a: b\r\n'.repeat(9)}\r\n${SECRET}\r\n--x--`, '', () => {}),
    maskMultipart(`--x\r\nContent-Disposition: form-data; filename="a.key"; name="password"\r\n\r\n--${SECRET}\r\n--x--`, '', () => {})
  ]
  for (const text of given) t.notOk(text.includes(SECRET), text.slice(0, 60))
})

t.test('names of parts hide what follows in bodies of parts alone', async (t) => {
  const text = `Content-Disposition: form-data; name="password"\r\n\r\n${SECRET}`
  t.ok(redact(withBody('text/plain', text)).body.includes(SECRET))
  t.notOk(redact(withBody('multipart/form-data; boundary=x', text)).body.includes(SECRET))
  t.notOk(redact(withBody('', `--x\r\n${text}`)).body.includes(SECRET))
})

t.test('a receipt keeps 32 KiB of headers, and says when there were more', async (t) => {
  const headers = Array.from({ length: 40 }, (_, i) => [`x-${i}`, 'v'.repeat(4_000)]).flat()
  const { headers: kept, masked } = redactObservation(observation({ headers }), nothing)
  t.ok(kept.join('').length <= 32_768)
  t.ok(masked.some(({ place }) => place === 'headers'))
})

t.test('the path of a receipt has no query and 512 characters at most', async (t) => {
  t.equal(redactPath('/a?token=x'), '/a')
  t.equal(redactPath('/' + 'b'.repeat(900)).length, 512)
  t.notOk(redactPath(`/t/${jwt}`).includes(SECRET))
})

t.test('evidence at a secret place does not repeat the secret', async (t) => {
  const evidence = { rule: 'sqli.tautology', place: 'body.user.password', grade: 'likely' as const, text: `matched "${SECRET}' or 1=1" in body.user.password`, technique: null }
  const [factor] = redactFactors([{ name: 'payload', contribution: 50, evidence: [evidence] }], null)
  t.equal(factor?.evidence[0]?.text, 'sqli.tautology in body.user.password (masked)')
  t.ok(isSecretPlace('cookie.theme'))
  t.notOk(isSecretPlace('query.q'))
})

t.test('a replay cannot find again what was seen in the text around a masked place', async (t) => {
  const factors = [{ name: 'payload' as const, contribution: 60, evidence: [{ rule: 'sqli.union-select', place: 'body', grade: 'certain' as const, text: 'matched "union select" in body', technique: 'T1190' }] }]
  const { masked } = redactObservation(observation(withBody('application/xml', '<a><password>x</password></a>')), { factors })
  t.same(masked, [{ place: 'body.password', factors: ['payload'] }])
})

t.test('a masked place names the factors that found something there', async (t) => {
  const factors = [{ name: 'payload' as const, contribution: 60, evidence: [{ rule: 'r', place: 'query.password', grade: 'certain' as const, text: 't', technique: null }] }]
  const { masked } = redactObservation(observation({ url: '/a?password=x%27--&token=y' }), { factors })
  t.same(masked, [{ place: 'query.password', factors: ['payload'] }, { place: 'query.token', factors: [] }])
})

t.test('10,000 odd texts: no crash, nothing slow, the same length of the same alphabet', async (t) => {
  const piece = fc.oneof(fc.string({ unit: 'binary', maxLength: 60 }), fc.constantFrom('password', '"', '\\', '{', '}', '[', ']', ':', '=', '&', ';', '<token>', 'name="pwd"\r\n\r\n', 'eyJhbGciOi', '.', '://', '@', '"""', '%', ' '))
  const text = fc.array(piece, { maxLength: 40 }).map((pieces) => pieces.join(''))
  let slowestMs = 0
  fc.assert(fc.property(text, (given) => {
    const before = process.threadCpuUsage()
    const outcomes = [maskJson(given, 'p', () => {}), maskText(given, 'p', () => {}), maskTokens(given, 'p', () => {}), maskCookies(given, () => {})]
    maskPairs(given, 'p', () => {})
    redactObservation(observation({ url: given, headers: [given, given, 'cookie', given], body: new TextEncoder().encode(given) }), nothing)
    slowestMs = Math.max(slowestMs, cpuMs(before))
    return outcomes.every((one) => typeof one === 'string')
  }), { numRuns: 10_000 })
  t.ok(slowestMs < 50, `${slowestMs.toFixed(1)} ms`)
})

t.test('worst text of 16 KiB is redacted in milliseconds', async (t) => {
  const worst = ['"', '\\', '{', '[', 'a', 'a=', 'password=', '<a>', '<a ', '://', 'eyJ', 'eyJ.', '"password":', '\n\n', 'name="x"\r\n', '-----BEGIN PRIVATE KEY-----', 'Bearer ', 'a:\\"', 'a: ', "a:'", '%']
  for (const unit of worst) {
    const body = new TextEncoder().encode(unit.repeat(Math.floor(BODY_KEPT_MAX / unit.length)))
    const before = process.threadCpuUsage()
    redactObservation(observation({ url: '/' + unit.repeat(2_000), headers: ['x', unit.repeat(2_000)], body }), nothing)
    const ms = cpuMs(before)
    t.ok(ms < 50, `${JSON.stringify(unit)}: ${ms.toFixed(1)} ms`)
  }
})
