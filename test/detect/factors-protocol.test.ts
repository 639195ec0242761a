import t from 'tap'
import { matchTokenHead } from '../../src/detect/signs/bearer-token.ts'
import { createPolicy } from '../../src/detect/policy.ts'
import { measureEndpoint } from '../../src/detect/factors/endpoint.ts'
import { measureHeaders } from '../../src/detect/factors/headers.ts'
import { viewRequest } from '../../src/detect/request-view.ts'
import type { Observation } from '../../src/detect/shapes.ts'

const policy = createPolicy({ sensitivity: 2, challengeThreshold: 40, blockThreshold: 75 })
const FORM = ['Content-Type', 'application/x-www-form-urlencoded']

function observe (fields: Partial<Observation>): Observation {
  return { id: 'as_test', at: 1, client: 'ip:192.0.2.1', method: 'GET', url: '/', body: null, route: null, history: null, ...fields, headers: ['Host', 'a.example', 'Accept', '*/*', ...fields.headers ?? []] }
}

function headers (...pairs: string[]): number {
  return measureHeaders(viewRequest(observe({ headers: pairs })), policy).value
}

function endpoint (fields: Partial<Observation>): number {
  const one = observe(fields)
  return measureEndpoint(one, viewRequest(one), policy).value
}

t.test('headers that break the protocol refuse alone, those that come near do not challenge', (t) => {
  const table: Array<[hostile: string[], ordinary: string[]]> = [
    [['Range', 'bytes=0-9,20-29,40-49,60-69,80-89,100-109'], ['Range', 'bytes=0-1023']],
    [['Range', 'bytes=0-99,50-149'], ['Range', 'bytes=0-99,200-299']],
    [['Range', 'bytes=90-10'], ['Range', 'bytes=-500']],
    [['Connection', 'close, keep-alive'], ['Connection', 'keep-alive, Upgrade']],
    [['Expect', 'y 100-continue'], ['Expect', '100-continue']],
    [['Content-Range', 'x'], ['If-Range', '"a"']],
    [['If', '(<urn:uuid:1>)'], ['If-Match', '"a"']],
    [['Lock-Token', '<urn:uuid:1>'], ['X-Lock', '1']],
    [['Content_Length', '5'], ['X-Content-Length', '5']],
    [['Content-Type', 'application'], ['Content-Type', 'text/html']],
    [['Content-Type', 'text/plain; charset="utf-8"; junk'], ['Content-Type', 'text/plain; charset="utf-8"; format=flowed']],
    [['Content-Type', 'multipart/xyz; boundary=b'], ['Content-Type', 'multipart/mixed; boundary=b']],
    [['Content-Type', 'multipart/related'], ['Content-Type', 'multipart/related; boundary=b']],
    [['Accept-Encoding', 'q'.repeat(90)], ['Accept-Encoding', 'gzip, deflate, br, zstd, compress, identity;q=0.5, *;q=0.1']],
    [['X-HTTP-Method-Override', 'x'], ['X-Note', 'x']],
    [['Cookie', '$Version=1; a="b; sid=1; c="'], ['Cookie', 'a="b"; sid=1; c=d']],
    [['Authorization', 'Bearer ' + token({ alg: 'none' })], ['Authorization', 'Bearer ' + token({ alg: 'RS256', kid: 'a/b-1' })]],
    [['Authorization', 'Bearer ' + token({ alg: 'HS256', kid: '../../dev/null' })], ['Authorization', 'Basic YTpi']]
  ]
  for (const [hostile, ordinary] of table) {
    const isOverride = hostile[0] === 'X-HTTP-Method-Override'
    t.ok((isOverride ? endpoint({ headers: hostile }) : headers(...hostile)) >= 0.75, JSON.stringify(hostile))
    t.ok(headers(...ordinary) < 0.4, JSON.stringify(ordinary))
  }
  t.ok(measureHeaders(viewRequest({ ...observe({}), headers: ['Host', 'a.example/path', 'Accept', '*/*'] }), policy).value >= 0.75)
  t.ok(measureHeaders(viewRequest({ ...observe({}), headers: ['Host', 'a.example', 'Accept', 'text/html; charset=ibm1047'] }), policy).value >= 0.75)
  t.ok(measureHeaders(viewRequest({ ...observe({}), headers: ['Host', '[2001:db8::1]:8443', 'Accept', 'application/json; charset=utf-8'] }), policy).value < 0.4)
  t.end()
})

function token (head: object): string {
  return [JSON.stringify(head), JSON.stringify({ sub: 'u1' })].map((part) => Buffer.from(part).toString('base64url')).join('.') + '.c2ln'
}

t.test('a token\'s head is read once and its claims never', (t) => {
  const bearer = 'Bearer ' + token({ alg: 'None', typ: 'JWT' })
  t.match(matchTokenHead(bearer), { value: 0.82 })
  t.equal(matchTokenHead(bearer), matchTokenHead(bearer), 'remembered')
  t.match(matchTokenHead('Bearer ' + token({ alg: 'RS256', jwk: { kty: 'RSA' } })), { value: 0.78 })
  t.match(matchTokenHead('Bearer ' + token({ alg: 'RS256', jku: 'https://x.example/keys' })), { value: 0.5 })
  for (const plain of ['', 'Bearer eyJ', 'Bearer eyJhbGciOi', 'Bearer ' + 'eyJ' + 'a'.repeat(5000) + '.b']) t.equal(matchTokenHead(plain), null)
  t.end()
})

t.test('an override is ordinary where a form needs it, and a way past a filter elsewhere', (t) => {
  const form = (body: string, ...more: string[]): Partial<Observation> => ({ method: 'POST', url: '/items/5', headers: [...FORM, ...more], body: Buffer.from(body) })
  t.ok(endpoint(form('_method=DELETE&id=5', 'Origin', 'https://a.example')) < 0.4)
  t.ok(endpoint(form('id=5&_method=PATCH', 'Referer', 'https://a.example/items/5')) < 0.4)
  t.ok(endpoint({ method: 'POST', url: '/items/5?_method=PUT', headers: ['Sec-Fetch-Mode', 'navigate'] }) < 0.4)
  t.ok(endpoint(form('the_method=DELETE')) < 0.4, 'another field')
  t.ok(endpoint(form('_method=DELETE&id=5')) >= 0.75, 'no page sent it')
  t.ok(endpoint(form('x=' + 'y'.repeat(5_000) + '&_method=TRACE', 'Origin', 'https://a.example')) >= 0.75, 'behind a long field')
  t.ok(endpoint({ url: '/items/5?_method=DELETE', headers: ['Referer', 'https://a.example/'] }) >= 0.75, 'a link that deletes')
  t.ok(endpoint({ method: 'POST', url: '/items?_method=PROPFIND' }) >= 0.75)
  t.ok(endpoint({ headers: ['X-HTTP-Method-Override', 'PUT'] }) >= 0.75)
  t.ok(endpoint({ method: 'POST', headers: ['X-HTTP-Method-Override', 'PUT'] }) < 0.4)
  t.ok(endpoint({ method: 'POST', headers: ['X-HTTP-Method-Override', 'GET'] }) < 0.4, 'a long query by POST')
  t.end()
})

t.test('targets that no client writes, and targets that old ones do', (t) => {
  for (const url of ['/a?b=%u0063at', '/a?b=%uFF53', '/a?b=%F7%BF%BF%BF', '/a?b=%ED%A0%80', '/a\u0001b', 'a/b']) t.ok(endpoint({ url }) >= 0.75, url)
  for (const url of ['/a?b=%u6F22%uFF01', '/a?b=caf%E9', '/a?b=gr%FC%DF', '/a?b=100%25', 'https://a.example/a', '/a?b=%F0%9F%98%80']) t.ok(endpoint({ url }) < 0.4, url)
  t.ok(endpoint({ method: 'HEAD', headers: FORM, body: Buffer.from('a=b') }) >= 0.75)
  t.ok(endpoint({ method: 'GET', headers: ['Content-Type', 'application/json'], body: Buffer.from('{"query":{"match_all":{}}}') }) < 0.4, 'a search engine reads a body of GET')
  t.end()
})
