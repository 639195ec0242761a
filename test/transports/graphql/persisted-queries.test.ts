import { createHash } from 'node:crypto'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import t from 'tap'
import { createTestClock } from '../../../src/std/clock.ts'
import type { Body, Transaction } from '../../../src/transaction/transaction.ts'
import { createPersistedQueries, readPersisted, type PersistedQueries } from '../../../src/transports/graphql/persisted-queries.ts'

/** What a request by hash becomes before anything judges it, and what is kept of one that brings a document. */
const QUERY = '{ a(text: "ü $& $1\\n") }'
const HASH = createHash('sha256').update(QUERY).digest('hex')
const EXTENSIONS = JSON.stringify({ persistedQuery: { version: 1, sha256Hash: HASH } })
const JSON_TYPE = 'application/json'

const ALLOWED = { client: 'ip:1', crossSite: false, verdict: { action: 'ALLOW', simulated: false }, score: { decoy: false, degraded: false, notInspected: [] }, scoreWithoutData: null, decision: null, submittedSample: false }

function requestWith (over: Record<string, unknown> = {}, transaction: Record<string, unknown> = {}): FastifyRequest {
  return { raw: { method: 'POST' }, headers: { 'content-type': JSON_TYPE }, query: {}, transaction: { ...ALLOWED, target: '/graphql', ...transaction } as unknown as Transaction, ...over } as unknown as FastifyRequest
}

function opened (): PersistedQueries {
  const labels = (): object => ({ inc () {} })
  return createPersistedQueries({ clock: createTestClock(), metrics: { cacheRequestsTotal: { labels } } } as unknown as FastifyInstance)
}

function withQuery (): PersistedQueries {
  const persisted = opened()
  persisted.keep(requestWith(), { hash: HASH, query: QUERY })
  return persisted
}

const whole = (text: string | Buffer): Body => ({ bytes: Buffer.from(text as string), end: 'whole' })
const bodyFor = (persisted: PersistedQueries, body: Body, over: Record<string, unknown> = {}): string | null => {
  const found = persisted.standsFor(requestWith(over), body)
  return found === null ? null : Buffer.from(found.body!.bytes!).toString('latin1')
}

t.test('a body gets its document in front, and every other byte stays as it came', (t) => {
  const persisted = withQuery()
  const rest = `"variables":{"a":"\\u0041","a":1,"b":"${'\u00ff'}"},"extensions":${EXTENSIONS}}`
  const sent = Buffer.from(` \n{ ${rest} `, 'latin1')
  const document = Buffer.from(`"query":${JSON.stringify(QUERY)},`).toString('latin1')
  t.equal(bodyFor(persisted, { bytes: sent, end: 'whole' }), ` \n{${document} ${rest} `)
  t.match(JSON.parse(bodyFor(persisted, whole(`{"extensions":${EXTENSIONS}}`))!), { extensions: { persistedQuery: { version: 1 } } })
  for (const type of ['application/json; charset=utf-8', ' Application/JSON ;x', 'APPLICATION/JSON']) t.ok(bodyFor(persisted, whole(`{"extensions":${EXTENSIONS}}`), { headers: { 'content-type': type } }), type)
  t.end()
})

t.test('what names no document that is here stands for itself', (t) => {
  const persisted = withQuery()
  const others: string[] = [
    '', '{', 'null', '[]', '"persistedQuery"', `[{"extensions":${EXTENSIONS}}]`, `{"extensions":${JSON.stringify(EXTENSIONS)}}`, `{"extensions":[${EXTENSIONS}]}`,
    `{"query":"{ b }","extensions":${EXTENSIONS}}`, `{"query":null,"extensions":${EXTENSIONS}}`, `{"extensions":${EXTENSIONS},"extensions":{}}`, `\ufeff{"extensions":${EXTENSIONS}}`,
    `{"__proto__":{"extensions":${EXTENSIONS}},"a":"persistedQuery"}`, `{"extensions":{"__proto__":${EXTENSIONS}}}`, `{"extensions":${EXTENSIONS.replace(HASH, 'f'.repeat(64))}}`,
    `{"extensions":${EXTENSIONS.replace('"version":1', '"version":2')}}`, `{"extensions":${EXTENSIONS.replace(HASH, HASH.toUpperCase())}}`, `${'['.repeat(30_000)}"persistedQuery"`
  ]
  for (const body of others) t.equal(bodyFor(persisted, whole(body)), null, body.slice(0, 80))
  const good = whole(`{"extensions":${EXTENSIONS}}`)
  for (const type of [undefined, '', 'text/plain', 'application/graphql', 'application/jsonp', 'x application/json']) t.equal(bodyFor(persisted, good, { headers: { 'content-type': type } }), null, String(type))
  t.equal(bodyFor(persisted, { ...good, end: 'over' }), null)
  t.equal(persisted.standsFor(requestWith(), null), null)
  t.equal(bodyFor(opened(), good), null)
  t.end()
})

t.test('a target gets its document as the first parameter, where router and reader agree on what a target is', (t) => {
  const persisted = withQuery()
  const asked = (target: string, query: object = { extensions: EXTENSIONS }): [string | undefined, unknown] => {
    const request = requestWith({ raw: { method: 'GET' }, query: { ...query } }, { target })
    const found = persisted.standsFor(request, null)
    return [found?.target, (request.query as { query?: unknown }).query]
  }
  const encoded = encodeURIComponent(QUERY)
  t.same(asked('/graphql?extensions=persistedQuery'), [`/graphql?query=${encoded}&extensions=persistedQuery`, QUERY])
  t.same(asked('http://neko/graphql?extensions=persistedQuery?x'), [`http://neko/graphql?query=${encoded}&extensions=persistedQuery?x`, QUERY])
  for (const target of ['/graphql#extensions=persistedQuery?', '/graphql?extensions=x', `/graphql?extensions=persistedQuery&a=${'a'.repeat(16_400)}`]) t.same(asked(target), [undefined, undefined], target.slice(0, 60))
  for (const query of [{}, { extensions: [EXTENSIONS, EXTENSIONS] }, { extensions: '{' }, { extensions: 'null' }]) t.same(asked('/graphql?extensions=persistedQuery', query), [undefined, undefined])
  t.same(asked('/graphql?extensions=persistedQuery', { extensions: EXTENSIONS, query: '{ b }' }), [undefined, '{ b }'])
  t.end()
})

t.test('kept is what every rule allowed by itself', (t) => {
  const refused: Array<Record<string, unknown>> = [
    { verdict: null }, { verdict: { action: 'CHALLENGE', simulated: false } }, { verdict: { action: 'BLOCK', simulated: false } }, { verdict: { action: 'ALLOW', simulated: true } },
    { decision: { action: 'ALLOW' } }, { scoreWithoutData: ALLOWED.score }, { submittedSample: true }, { score: null },
    { score: { ...ALLOWED.score, decoy: true } }, { score: { ...ALLOWED.score, degraded: true } }, { score: { ...ALLOWED.score, notInspected: ['body: what others sent'] } }
  ]
  const body = whole(`{"extensions":${EXTENSIONS}}`)
  for (const transaction of refused) {
    const persisted = opened()
    persisted.keep(requestWith({}, transaction), { hash: HASH, query: QUERY })
    t.equal(bodyFor(persisted, body), null, JSON.stringify(transaction))
  }
  t.ok(bodyFor(withQuery(), body))
  t.end()
})

t.test('a request that brings what is not here is told from one that need not', (t) => {
  const persisted = opened()
  const bring = (): FastifyRequest => {
    const request = requestWith()
    persisted.standsFor(request, whole(`{"query":${JSON.stringify(QUERY)},"extensions":${EXTENSIONS}}`))
    return request
  }
  t.ok(persisted.isNew(bring()))
  persisted.keep(requestWith(), { hash: HASH, query: QUERY })
  t.notOk(persisted.isNew(bring()))
  t.equal(readPersisted({ extensions: {} }), null)
  t.equal(readPersisted({}), null)
  t.end()
})
