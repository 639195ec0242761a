import { brotliDecompressSync, gunzipSync, zstdDecompressSync } from 'node:zlib'
import t from 'tap'
import { isHeld, keptHeaders, type CacheStatus } from '../../../src/transports/graphql/answer-headers.ts'
import { answerKey, scopeOf } from '../../../src/transports/graphql/answer-key.ts'
import { bodyAtHand, codingFor, keptAnswer, keptAnswerCodec, packedBody, type Coding } from '../../../src/transports/graphql/kept-answer.ts'
import type { Principal } from '../../../src/identity/shapes.ts'

/** A kept answer by itself: its name, its bytes in each coding, its headers. */
const JSON_TYPE = 'application/json; charset=utf-8'
const about = { contentType: JSON_TYPE, freshForMs: 600_000, isShared: true }
const long = keptAnswer(JSON.stringify({ data: { name: 'wörter '.repeat(400) } }), about)
const short = keptAnswer('{"data":{"threatActor":null}}', about)
const principal = (over: Partial<Principal> = {}): Principal => ({ kind: 'user', name: 'vera', role: 'VIEWER', scopes: ['read'], tier: 'relaxed', clientKey: 'user:1', ...over }) as Principal

const ask = (over: Partial<Parameters<typeof answerKey>[0]> & { query?: string, variables?: Record<string, unknown> | null, operationName?: string | null } = {}): string => {
  const { query = '{ a }', variables = null, operationName = null, ...rest } = over
  return answerKey({ principal: null, client: 'ip:1', isShared: true, contentType: JSON_TYPE, schemaDigest: 'one', request: { query, variables, operationName }, ...rest })
}

t.test('two requests have one name only where nothing that an answer depends on differs', (t) => {
  const distinct = [
    ask(),
    ask({ query: '{ a } ' }),
    ask({ contentType: 'application/graphql-response+json; charset=utf-8' }),
    ask({ operationName: 'a' }),
    ask({ operationName: '-' }),
    ask({ variables: { a: 1 } }),
    ask({ variables: { a: '1' } }),
    ask({ variables: { a: null } }),
    ask({ variables: { a: [1, 2] } }),
    ask({ variables: { a: [2, 1] } }),
    ask({ variables: { a: { b: 1 } } }),
    ask({ isShared: false }),
    ask({ isShared: false, client: 'ip:2' }),
    ask({ principal: principal() }),
    ask({ principal: principal(), isShared: false, client: 'user:1' }),
    ask({ principal: principal({ clientKey: 'user:2' }), isShared: false, client: 'user:2' }),
    ask({ principal: principal({ role: 'ANALYST' }) }),
    ask({ principal: principal({ scopes: ['read', 'assess'] }) }),
    ask({ principal: principal({ kind: 'key' }) }),
    ask({ principal: principal({ mustChangePassword: true }) })
  ]
  t.equal(new Set(distinct).size, distinct.length)
  t.equal(ask({ client: 'ip:2' }), ask(), 'whoever asks for what all may have')
  t.equal(ask({ variables: {} }), ask({ variables: null }), 'no variables are no variables')
  t.equal(ask({ variables: { a: 1, b: { c: 2, d: 3 } } }), ask({ variables: { b: { d: 3, c: 2 }, a: 1 } }), 'in whatever order keys came')
  t.equal(ask({ principal: principal({ scopes: ['assess', 'read'] }) }), ask({ principal: principal({ scopes: ['read', 'assess'] }) }))
  t.end()
})

t.test('no text of a caller runs into the next part of a name', (t) => {
  // Each pair is the same text when its parts are put together without lengths, or with lengths that may be forged.
  const pairs: Array<[string, string]> = [
    [ask({ query: '{ a }', operationName: 'b' }), ask({ query: 'b{ a }', operationName: '' })],
    [ask({ query: '2:{}', variables: null }), ask({ query: '', variables: null })],
    [ask({ query: '{ a }2:{}', variables: null }), ask({ query: '{ a }', variables: null })],
    [ask({ query: '{ a }', operationName: 'x5:{ a }' }), ask({ query: '{ a }5:{ a }', operationName: 'x' })],
    [ask({ variables: { 'a":1,"b': 2 } }), ask({ variables: { a: 1, b: 2 } })],
    [ask({ variables: { a: '1,"b":2' } }), ask({ variables: { a: 1, b: 2 } })],
    [ask({ query: '\ud800' }), ask({ query: '\ud801' })],
    [ask({ query: '\ud800' }), ask({ query: '\ufffd' })],
    [ask({ variables: { a: '\ud800' } }), ask({ variables: { a: '\ufffd' } })]
  ]
  for (const [i, [one, other]] of pairs.entries()) t.not(one, other, `pair ${i}`)
  t.not(scopeOf(principal({ scopes: [] })), scopeOf(null))
  t.end()
})

t.test('the coding is the one that the caller prefers, of equals the smallest, and none below a kilobyte', (t) => {
  const codings: Array<[string | undefined, Coding | null]> = [
    [undefined, null],
    ['', null],
    ['gzip, deflate, br, zstd', 'br'],
    ['gzip, deflate', 'gzip'],
    ['GZIP', 'gzip'],
    [' gzip ; q=0.2 , zstd;q=0.3', 'zstd'],
    ['br;q=0, gzip', 'gzip'],
    ['br;q=0.0, zstd;q=0.000, gzip;q=0', null],
    ['*', 'br'],
    ['*;q=0', null],
    ['br, *;q=0', 'br'],
    ['*;q=0.5, br;q=0', 'zstd'],
    ['identity', null],
    ['identity;q=0', null],
    ['identity, gzip;q=0.5', null],
    ['identity;q=0.5, gzip', 'gzip'],
    ['gzip, identity', 'gzip'],
    ['gzip;q=high, zstd;q=0.1', 'zstd'],
    ['gzip;q=', null],
    ['gzip;q=-1', null],
    ['deflate, compress, x-gzip', null],
    ['__proto__, constructor;q=1', null],
    [',,;;q=1,gzip;;q=0.1', 'gzip'],
    [`${'a,'.repeat(400)}gzip`, null],
    ['gzip;level=9', 'gzip'],
    ['br\u0000', null]
  ]
  for (const [header, coding] of codings) t.equal(codingFor(long, { 'accept-encoding': header }), coding, JSON.stringify(header)?.slice(0, 60))
  t.equal(codingFor(short, { 'accept-encoding': 'br, gzip' }), null)
  t.equal(codingFor(long, { 'accept-encoding': 'br', 'x-no-compression': '1' }), null, 'opt-out')
  t.end()
})

t.test('each coding holds the same bytes, is made once, and is let go where there is no room', async (t) => {
  const text = long.body.toString()
  const unpack = { br: brotliDecompressSync, zstd: zstdDecompressSync, gzip: gunzipSync }
  let counted = 0
  const keep = (bytes: number): boolean => { counted += bytes; return true }
  for (const coding of ['br', 'zstd', 'gzip'] as const) {
    const [first, second] = await Promise.all([packedBody(long, coding, keep), packedBody(long, coding, keep)])
    t.equal(unpack[coding](first!).toString(), text, coding)
    t.equal(second, first, 'made once')
    t.equal(bodyAtHand(long, coding), first, 'and at hand from then on')
  }
  t.equal(counted, [...await Promise.all(long.packed.values())].reduce((sum, packed) => sum + packed!.length, 0))
  const other = keptAnswer(text, about)
  t.equal(bodyAtHand(other, 'gzip'), null)
  t.equal(bodyAtHand(other, null), other.body)
  t.ok(await packedBody(other, 'gzip', () => false))
  t.equal(other.packed.size, 0)
  t.end()
})

t.test('an answer comes back from Redis as it went, and what another wrote is none', (t) => {
  for (const answer of [long, short, keptAnswer('{"data":0}', { ...about, isShared: false })]) {
    const { about: said, body } = keptAnswerCodec.encode(answer)!
    t.match(keptAnswerCodec.decode(said, body), { bytes: answer.bytes, value: { body: answer.body, digest: answer.digest, contentType: answer.contentType, isShared: answer.isShared } })
  }
  const { about: said, body } = keptAnswerCodec.encode(short)!
  for (const wrong of [null, 1, 'x', [], {}, { ...said as object, contentType: 'a\r\nset-cookie: b' }, { ...said as object, contentType: '' }, { ...said as object, freshForMs: '1' }, { ...said as object, isShared: 1 }]) {
    t.equal(keptAnswerCodec.decode(wrong as never, body), null, JSON.stringify(wrong))
  }
  t.end()
})

t.test('the headers say who may keep it, by method and by whose it is', (t) => {
  const own = keptAnswer('{}', { ...about, isShared: false })
  const brief = keptAnswer('{}', { ...about, freshForMs: 10_000 })
  const NEVER = { 'cache-control': 'no-store, no-cache, must-revalidate', pragma: 'no-cache' }
  const headers = (answer: typeof own, method: string, status: CacheStatus = 'HIT', coding: Coding | null = null): Record<string, string> => keptHeaders(answer, { method, status, coding })
  t.match(headers(short, 'GET'), { 'cache-control': 'private, max-age=300', etag: /^"[\w-]{22}"$/, vary: 'Authorization, x-api-key, Origin, Accept, Accept-Encoding', 'x-cache': 'HIT', 'content-type': JSON_TYPE })
  t.notMatch(headers(short, 'GET'), { pragma: /./ })
  t.match(headers(brief, 'HEAD'), { 'cache-control': 'private, max-age=10' })
  t.match(headers(own, 'GET'), { 'cache-control': 'private, max-age=60' })
  t.match(headers(own, 'POST'), { 'cache-control': 'private, max-age=60' })
  t.match(headers(short, 'POST'), NEVER)
  t.equal(headers(short, 'POST').etag, undefined)
  for (const method of ['GET', 'POST']) t.match(headers(own, method, 'STALE'), { ...NEVER, 'x-cache': 'STALE' })
  const tags = [null, 'br', 'zstd', 'gzip'].map((coding) => headers(short, 'GET', 'HIT', coding as Coding | null).etag)
  t.equal(new Set(tags).size, 4, 'other bytes, another tag')
  t.not(headers(short, 'GET').etag, headers(own, 'GET').etag)
  t.equal(headers(short, 'GET', 'MISS', 'br')['content-encoding'], 'br')
  t.end()
})

t.test('who has the bytes says so by its tag, weak or strong, in a list, or by a star', (t) => {
  const held = ['"a"', 'W/"a"', '"b", "a"', '"b",W/"a" , "c"', '*', ' "a" ']
  for (const given of held) t.ok(isHeld('"a"', given), given)
  for (const given of ['"b"', 'a', '"a', '', '"a-br"', 'w/"a"', `${'"b",'.repeat(1_000)}"a"`]) t.notOk(isHeld('"a"', given), given.slice(0, 20))
  t.notOk(isHeld(undefined, '*'))
  t.notOk(isHeld('"a"', undefined))
  t.end()
})
