import { brotliDecompressSync, gunzipSync, zstdDecompressSync } from 'node:zlib'
import { Agent, request } from 'undici'
import t, { type Test } from 'tap'
import { BROWSER, bearer, dataOf, makeKey, PASSWORD, type Reply, type TestClient } from '../../e2e/client.ts'
import { scaled } from '../../scale.ts'
import { replace, spyOn } from '../../transaction/app.ts'
import { until } from '../../time.ts'
import { addActor, countEarly, newUser, openKept, statusesOf, statusOf, targetOf, type Kept } from './kept.ts'

/** Answers that are kept: whose they are, when they end, what they cost, and what is never one. */
t.setTimeout(900_000)
t.jobs = 2

const COUNTS = '{ threatCounts { category count } }'
const ME = '{ me { username role scopes } }'
const NEVER = { 'cache-control': 'no-store, no-cache, must-revalidate', pragma: 'no-cache', 'x-cache': 'BYPASS' }
const errorOf = ({ json }: Reply): string | undefined => (json as { errors?: Array<{ extensions: { code: string } }> }).errors?.[0]?.extensions.code

t.test('of paired reads by two users, two roles, a key and nobody, not one byte is another\'s', async (t) => {
  const kept = await openKept(t, { ENFORCEMENT: 'shadow', CACHE_DEDUPE_SECONDS: '5' })
  const { client, admin } = kept
  const [vera, otto, anna] = await Promise.all([newUser(kept, 'vera', 'VIEWER'), newUser(kept, 'otto', 'VIEWER'), newUser(kept, 'anna', 'ANALYST')])
  const key = client.as({ 'x-api-key': (await makeKey(admin, ['read'])).key })
  const callers: Array<[TestClient, me: string | null]> = [
    [vera.user, '{"username":"vera","role":"VIEWER","scopes":["read"]}'],
    [otto.user, '{"username":"otto","role":"VIEWER","scopes":["read"]}'],
    [anna.user, '{"username":"anna","role":"ANALYST","scopes":["read","assess","decide"]}'],
    [key, '{"username":null,"role":null,"scopes":["read"]}'],
    [kept.at('198.51.100.1'), null]
  ]
  const counts = (await client.graphql('{ threatCounts { count } }')).text.slice('{"data":'.length + 1, -2)
  const documents: Array<[string, (me: string) => string]> = [
    [ME, (me) => `{"data":{"me":${me}}}`],
    ['{ me { username role scopes } threatCounts { count } }', (me) => `{"data":{"me":${me},${counts}}}`],
    ['query ($n: Boolean = false) { threatCounts { count } me @skip(if: $n) { username role scopes } }', (me) => `{"data":{${counts},"me":${me}}}`]
  ]
  const pairs = scaled(1_000, 100_000)
  let foreign = 0
  const read = async (i: number, asked: number): Promise<void> => {
    const [caller, me] = callers[i % callers.length]!
    const [document, answer] = documents[asked % documents.length]!
    const reply = asked % 2 === 0 ? await caller.graphql(document) : await caller.ask(targetOf(document))
    const isOwn = me === null ? reply.status === 401 || errorOf(reply) === 'NEKO_ERR_UNAUTHENTICATED' : reply.text === answer(me)
    if (isOwn && (me !== null || !/vera|otto|anna/.test(reply.text))) return
    foreign++
    if (foreign < 4) t.fail(`${me}: ${reply.text}`)
  }
  for (let done = 0; done < pairs; done += 10) {
    await Promise.all(Array.from({ length: 10 }, async (_, i) => {
      const n = done + i
      await Promise.all([read(n, n), read(n + 1 + n % 3, n)])
    }))
  }
  t.equal(foreign, 0, `of ${pairs} pairs`)
  const [stats] = kept.app.caches.stats()
  t.ok(stats!.hits > pairs, `${stats!.hits} were answered from memory`)
})

t.test('what an anonymous caller may have alone is not given to the next one that sends the same bytes', async (t) => {
  const { at } = await openKept(t, { CACHE_DEDUPE_SECONDS: '5', RATE_LIMIT_STANDARD: '50/60/0' })
  const LIMIT = '{ rateLimit { remaining } }'
  const [one, other] = [at('198.51.100.1'), at('198.51.100.2')]
  for (let i = 0; i < 3; i++) await one.graphql('{ health { status } }')
  const mine = [await one.graphql(LIMIT), await one.graphql(LIMIT), await one.graphql(LIMIT)]
  t.same(mine.map(statusOf), ['MISS', 'HIT', 'HIT'])
  t.same(mine.map(({ text }) => text), Array(3).fill('{"data":{"rateLimit":{"remaining":46}}}'))
  t.match(await other.graphql(LIMIT), { text: '{"data":{"rateLimit":{"remaining":49}}}' })
  t.same((await Promise.all([one.ask(targetOf(LIMIT)), other.ask(targetOf(LIMIT))])).map(({ text }) => text), ['{"data":{"rateLimit":{"remaining":46}}}', '{"data":{"rateLimit":{"remaining":49}}}'])
})

t.test('a role that changed is seen at the next read', async (t) => {
  const kept = await openKept(t)
  const { id, user } = await newUser(kept, 'vera', 'VIEWER')
  const MINE = '{ me { role scopes } playbooks { name } }'
  t.same(await statusesOf(() => user.graphql(MINE)), ['MISS', 'HIT'])
  for (const role of ['ANALYST', 'VIEWER', 'ADMIN']) {
    await dataOf(kept.admin.graphql('mutation ($id: ID!, $r: Role!) { setUserRole(id: $id, role: $r) { role } }', { id, r: role }))
    const fresh = kept.client.as(bearer((await kept.client.login('vera', PASSWORD)).accessToken))
    t.match(await dataOf(fresh.graphql(MINE)), { me: { role } })
    const reply = await user.graphql(MINE)
    t.ok(reply.status === 401 || reply.text.includes(`"role":"${role}"`), `by the token from before: ${reply.status}`)
  }
  await dataOf(kept.admin.graphql('mutation ($id: ID!) { disableUser(id: $id) { id } }', { id }))
  t.equal((await user.graphql(MINE)).status, 401)
})

t.test('an error is never kept, nor what came with one; null, 0, false, an empty text and an empty list are', async (t) => {
  const { app, admin, client } = await openKept(t)
  const pages = spyOn(t, app.intel, 'page')
  for (const query of ['{ threatActors(after: "x") { totalCount } }', '{ threatCounts { count } threatActors(after: "x") { totalCount } }']) {
    const replies = [await client.graphql(query), await client.graphql(query)]
    t.match(replies, Array(2).fill({ headers: NEVER, json: { errors: [{ extensions: { code: 'NEKO_ERR_CURSOR_INVALID' } }] } }))
  }
  t.equal(pages.length, 4)
  for (const query of ['{ threatCounts { nothing } }', '{ threatCounts', '{ me { username } }', 'query A { threatCounts { count } } query B { threatCounts { count } }']) {
    t.same(await statusesOf(() => client.graphql(query)), ['BYPASS', 'BYPASS'], query)
  }
  t.equal(app.caches.stats()[0]!.entries, 0)

  const { addThreatActor: { id } } = await dataOf<{ addThreatActor: { id: string } }>(admin.graphql('mutation { addThreatActor(input: { name: "Wasp" }) { id } }'))
  const falsy: Array<[string, string]> = [
    ['{ threatActor(id: "none") { id } }', '{"threatActor":null}'],
    ['{ threatActors(search: "no such name") { totalCount pageInfo { hasNextPage endCursor } nodes { id } } }', '{"threatActors":{"totalCount":0,"pageInfo":{"hasNextPage":false,"endCursor":null},"nodes":[]}}'],
    [`{ threatActor(id: "${id}") { country lastSeen references { url } } }`, '{"threatActor":{"country":null,"lastSeen":null,"references":[]}}'],
    ['query ($no: Boolean = false) { threatCounts @include(if: $no) { count } }', '{}']
  ]
  for (const [query, data] of falsy) {
    const replies = [await client.graphql(query), await client.graphql(query), await client.graphql(query)]
    t.same(replies.map(statusOf), ['MISS', 'HIT', 'HIT'], query)
    t.same(replies.map(({ text }) => text), Array(3).fill(`{"data":${data}}`))
  }
})

t.test('the store\'s errors are not kept, nor what is answered from memory while it is away', async (t) => {
  const { app, client } = await openKept(t)
  t.equal(statusOf(await client.graphql('{ threatActors(first: 1) { totalCount } }')), 'MISS')
  replace(t, app.intel, 'isOld', () => true)
  for (const query of [COUNTS, '{ threatActors(first: 2) { totalCount } }', '{ stats { requests } threatCounts { count } }']) {
    t.same(await statusesOf(() => client.graphql(query), 3), ['MISS', 'MISS', 'MISS'], query)
  }
  app.intel.isOld = () => false
  t.same(await statusesOf(() => client.graphql(COUNTS)), ['MISS', 'HIT'])
})

t.test('a change is seen by whoever reads next, in every list and count that it stands in', async (t) => {
  const { admin, client } = await openKept(t)
  const READS = ['{ threatCounts { category count } }', '{ threatActors(first: 100) { totalCount nodes { name category } } }', '{ threatActors(category: HACKTIVIST) { totalCount } }', '{ threatActors(category: INSIDER, search: "paper") { totalCount } }', '{ threatActors(search: "tiger") { totalCount } }']
  const readAll = async (): Promise<string> => (await Promise.all(READS.map((query) => client.graphql(query)))).map(({ text }) => text).join('')
  const seen = new Set([await readAll()])
  const isNew = async (what: string): Promise<void> => {
    const text = await readAll()
    t.notOk(seen.has(text), what)
    seen.add(text)
    t.equal(await readAll(), text)
    t.same(await statusesOf(() => client.graphql(READS[1]!), 1), ['HIT'])
  }
  const id = await addActor(admin, 'Paper Tiger', 'HACKTIVIST')
  await isNew('added')
  const ONE = `{ threatActor(id: "${id}") { name category } }`
  t.same(await statusesOf(() => client.graphql(ONE)), ['MISS', 'HIT'])
  for (const patch of [{ category: 'INSIDER' }, { name: 'Paper Lion' }, { aliases: ['tiger'] }]) {
    await dataOf(admin.graphql('mutation ($id: ID!, $p: ThreatActorPatch!) { updateThreatActor(id: $id, input: $p) { id } }', { id, p: patch }))
    if (patch.aliases === undefined) await isNew(JSON.stringify(patch))
    t.equal(statusOf(await client.graphql(ONE)), 'MISS')
  }
  t.match((await client.graphql('{ threatActors(search: "tiger") { totalCount } }')).text, /:1\}/, 'by an alias that came later')
  await dataOf(admin.graphql('mutation ($id: ID!) { removeThreatActor(id: $id) { id } }', { id }))
  t.equal((await client.graphql(ONE)).text, '{"data":{"threatActor":null}}')
  t.equal((await client.graphql('{ threatActors(search: "tiger") { totalCount } }')).text, '{"data":{"threatActors":{"totalCount":0}}}')
  const unknown = '{ threatActor(id: "none") { name } }'
  t.same(await statusesOf(() => client.graphql(unknown)), ['MISS', 'HIT'])
  const bundle = JSON.stringify({ type: 'bundle', id: 'bundle--1', objects: [{ type: 'intrusion-set', spec_version: '2.1', id: 'intrusion-set--3f8b3ba6-9a2b-4d2c-8f6e-aa21ac1a53a1', created: '2024-01-01T00:00:00.000Z', modified: '2024-01-01T00:00:00.000Z', name: 'Brass Heron' }] })
  await dataOf(client.graphql('{ threatActors(search: "heron") { totalCount } }'))
  t.match(await admin.ask('/v1/intel/import?format=stix', { method: 'POST', headers: { 'content-type': 'application/json' }, body: bundle }), { status: 200 })
  t.equal((await client.graphql('{ threatActors(search: "heron") { totalCount } }')).text, '{"data":{"threatActors":{"totalCount":1}}}', 'an import is a change')
  t.equal(statusOf(await client.graphql(unknown)), 'MISS')
})

t.test('of five hundred who ask at once, one computes', async (t) => {
  const { app, url } = await openKept(t, { ENFORCEMENT: 'shadow' })
  const agent = new Agent({ connections: 500 })
  t.teardown(() => agent.destroy())
  const { promise: release, resolve } = Promise.withResolvers<void>()
  let calls = 0
  const own = app.intel.page
  replace(t, app.intel, 'page', async (...given) => {
    calls++
    await release
    return await own(...given)
  })
  let walked = 0
  const { inspect } = app.walk
  replace(t, app.walk, 'inspect', (...given) => {
    walked++
    return inspect(...given)
  })
  const body = JSON.stringify({ query: '{ threatActors(first: 3) { nodes { id } } }' })
  const asked = Array.from({ length: 500 }, async (_, i) => {
    const answer = await request(`${url}/graphql`, { method: 'POST', dispatcher: agent, headers: { ...BROWSER, 'content-type': 'application/json', 'x-forwarded-for': `198.18.${i >> 8}.${i & 255}` }, body })
    return [answer.statusCode, answer.headers['x-cache'], await answer.body.text()].join(' ')
  })
  await until('all of them wait', () => walked === 500)
  resolve()
  const answers = await Promise.all(asked)
  t.equal(calls, 1)
  t.equal(new Set(answers).size, 1)
  t.match(answers[0], /^200 MISS \{"data":/)
})

t.test('each answer ends when its time is over, and 0 keeps none', async (t) => {
  const { client, admin, clock } = await openKept(t, { CACHE_TTL: '30', CACHE_TTL_SHORT: '5', CACHE_TTL_MEDIUM: '20', CACHE_TTL_LONG: '40' })
  const reader = client.as({ 'x-api-key': (await makeKey(admin, ['read'])).key })
  const times: Array<[string, number]> = [
    ['{ me { scopes } }', 5], ['{ stats { windowSeconds } }', 10], ['{ playbooks { name } }', 20], [COUNTS, 30], ['{ threatActors { totalCount } }', 40],
    ['{ threatActor(id: "none") { id } }', 40], ['{ threatActors { totalCount } threatCounts { count } }', 30], ['{ __typename }', 3600]
  ]
  for (const [query, seconds] of times) {
    for (const ask of [() => reader.graphql(query), () => reader.ask(targetOf(query), { headers: { 'if-none-match': '"x"' } })]) {
      await ask()
      clock.advance(seconds * 1000 - 1)
      const last = await ask()
      t.match(last.headers, { 'x-cache': 'HIT', age: String(seconds - 1) }, query)
      clock.advance(1)
      t.equal(statusOf(await ask()), 'MISS', query)
    }
  }
  const off = await openKept(t, { CACHE_TTL: '0', CACHE_TTL_SHORT: '0', CACHE_TTL_MEDIUM: '0', CACHE_TTL_LONG: '0' })
  for (const [query] of times.filter(([query]) => !/stats|__/.test(query))) {
    const all = [await off.admin.graphql(query), await off.admin.graphql(query)]
    t.match(all, Array(2).fill({ status: 200, headers: NEVER }), query)
  }
  t.equal(off.app.caches.stats()[0]!.entries, 0)
})

t.test('a kept answer costs a point, shows it to who asks, and is refused where none is left', async (t) => {
  const { app, at } = await openKept(t, { RATE_LIMIT_STANDARD: '10/60/0' })
  const early = countEarly(t, app)
  const query = '{ threatActors(first: 100) { totalCount nodes { id } } }'
  const one = at('198.51.100.1')
  const shown = { 'x-neko-cost': '1' }
  const costOf = ({ json }: Reply): unknown => (json as { extensions?: { cost: { points: number, remaining: number } } }).extensions?.cost.points
  const first = await one.graphql(query, {}, shown)
  t.match(first.headers, { 'x-cache': 'MISS', 'cache-control': /no-store/ })
  const hits = [await one.graphql(query, {}, shown), await one.ask(targetOf(query), { headers: shown })]
  t.same(hits.map(statusOf), ['HIT', 'HIT'])
  t.same(hits.map(costOf), [1, 1])
  t.match(hits[1]!.headers, { 'cache-control': 'no-store' })
  t.equal(hits[1]!.headers.etag, undefined)
  const bare = await one.graphql(query)
  t.equal(bare.text, first.text.replace(/,"extensions":.*/, '}'), 'and is no part of what is kept')
  t.match(bare.headers, { 'x-cache': 'HIT' })

  const other = at('198.51.100.2')
  t.equal(statusOf(await other.graphql(query)), 'HIT')
  t.equal(early(), 2)
  const left = app.limits.peekCost('standard', 'ip:198.51.100.2').remaining
  t.equal(left, 199)
  await app.limits.takeCost('standard', 'ip:198.51.100.2', left)
  for (const refused of [await other.graphql(query), await other.ask(targetOf(query)), await other.graphql(query, {}, shown)]) {
    t.match(refused, { status: 429, headers: { ...NEVER, 'retry-after': /^\d+$/, 'ratelimit-policy': '"standard-cost";q=200;w=60' } })
    t.equal(errorOf(refused), 'NEKO_ERR_LIMIT_EXCEEDED')
  }
  t.equal(early(), 2)
})

t.test('what a browser may keep: by method, by whose it is, and by its tag', async (t) => {
  const kept = await openKept(t, { CORS_ORIGIN: 'https://app.example' })
  const { client } = kept
  const { user } = await newUser(kept, 'vera', 'VIEWER')
  const VARY = 'Authorization, x-api-key, Origin, Accept, Accept-Encoding'
  const target = targetOf(COUNTS)
  const got = [await client.ask(target), await client.ask(target, { headers: { origin: 'https://app.example' } })]
  for (const { headers } of got) t.match(headers, { 'cache-control': 'private, max-age=300', vary: VARY, etag: /^"[\w-]+"$/ })
  t.match(got[1]!.headers, { 'access-control-allow-origin': 'https://app.example' })
  t.equal(got[0]!.headers.pragma, undefined)
  t.same(got.map(({ headers }) => headers.age), [undefined, '0'])
  kept.clock.advance(7_500)
  t.equal((await client.ask(target)).headers.age, '7')
  t.match((await client.graphql(COUNTS)).headers, { 'cache-control': NEVER['cache-control'], pragma: 'no-cache', vary: VARY, 'x-cache': 'HIT' })
  t.equal((await client.graphql(COUNTS)).headers.etag, undefined)
  for (const ask of [() => user.graphql(ME), () => user.ask(targetOf(ME))]) t.match((await ask()).headers, { 'cache-control': 'private, max-age=60' })
  t.match((await client.ask(targetOf('{ stats { requests } }'))).headers, { 'cache-control': 'private, max-age=10' })

  const etag = String(got[0]!.headers.etag)
  const before = await dataOf<{ rateLimit: { remaining: number, cost: { remaining: number } } }>(client.graphql('{ rateLimit { remaining cost { remaining } } }'))
  const same = await client.ask(target, { headers: { 'if-none-match': `"other", W/${etag}` } })
  t.match(same, { status: 304, text: '', headers: { etag, 'x-cache': 'HIT', 'cache-control': 'private, max-age=300', vary: VARY, age: '7', 'x-neko-assessment': /^as_/, 'x-ratelimit-remaining': /^\d+$/ } })
  const after = await dataOf<typeof before>(client.graphql('{ rateLimit { remaining cost { remaining } } }'))
  t.equal(before.rateLimit.remaining - after.rateLimit.remaining, 2, 'charged as a request')
  t.equal(before.rateLimit.cost.remaining - after.rateLimit.cost.remaining, 3, 'and a point, beside the two of this one')
  t.match(await kept.app.receipts.get(String(same.headers['x-neko-assessment'])), { method: 'GET', status: 304 })
  t.match(await client.ask(target, { headers: { 'if-none-match': '"other"' } }), { status: 200, headers: { etag } })
  t.match(await client.graphql(COUNTS, {}, { 'if-none-match': etag }), { status: 200 }, 'a POST is none to be told that')

  const head = await client.ask(target, { method: 'HEAD' })
  const full = await client.ask(target)
  t.match(head, { status: 200, text: '', headers: { etag, 'x-cache': 'HIT', 'content-length': String(Buffer.byteLength(full.text)), 'cache-control': 'private, max-age=300' } })
  await addActor(kept.admin, 'Wasp')
  const changed = await client.ask(target, { headers: { 'if-none-match': etag } })
  t.match(changed, { status: 200, headers: { 'x-cache': 'MISS' } })
  t.not(changed.headers.etag, etag)
})

t.test('each coding has its own tag and the same text, from memory too', async (t) => {
  const { app, admin, client, url } = await openKept(t)
  for (let i = 0; i < 12; i++) await addActor(admin, `Läufer ${i}`)
  const target = targetOf('{ threatActors(first: 50) { nodes { id name description } } }')
  const plain = (await client.ask(target)).text
  t.ok(plain.length > 1024)
  const unpack = { br: brotliDecompressSync, zstd: zstdDecompressSync, gzip: gunzipSync }
  const tags = new Set<string>()
  const stats = (): number => app.caches.stats()[0]!.bytes
  const before = stats()
  for (const [accepted, coding] of [['gzip, deflate, br, zstd', 'br'], ['zstd, gzip', 'zstd'], ['deflate, gzip;q=0.5', 'gzip']] as const) {
    for (const method of ['GET', 'GET', 'POST', 'HEAD'] as const) {
      const asked = method === 'POST'
        ? { method, headers: { ...BROWSER, 'accept-encoding': accepted, 'content-type': 'application/json' }, body: JSON.stringify({ query: '{ threatActors(first: 50) { nodes { id name description } } }' }) }
        : { method, headers: { ...BROWSER, 'accept-encoding': accepted } }
      const answer = await request(url + (method === 'POST' ? '/graphql' : target), asked)
      const bytes = Buffer.from(await answer.body.arrayBuffer())
      t.match(answer.headers, { 'content-encoding': coding, 'x-cache': 'HIT', vary: /Accept-Encoding/ }, `${method} ${accepted}`)
      if (method !== 'HEAD') t.equal(unpack[coding](bytes).toString(), plain)
      if (method !== 'HEAD') t.equal(answer.headers['content-length'], String(bytes.length))
      if (method !== 'POST') tags.add(String(answer.headers.etag))
    }
  }
  t.equal(tags.size, 3)
  t.ok(stats() > before, 'what is packed is counted')
  t.match(await client.ask(target, { headers: { 'accept-encoding': 'br', 'if-none-match': [...tags][0]! } }), { status: 304 })
  t.match(await client.ask(target, { headers: { 'accept-encoding': 'gzip', 'if-none-match': [...tags][0]! } }), { status: 200 }, 'of another coding')
  for (const accepted of ['identity', '*;q=0', 'x-gzip', '', ',;', 'br;q=0, gzip;q=0, zstd;q=0, *']) {
    const answer = await client.ask(target, { headers: { 'accept-encoding': accepted } })
    t.match(answer, { text: plain, headers: { 'x-cache': 'HIT' } }, accepted)
  }
})

t.test('never kept: mutations, sign-in, decoys, batches, subscriptions, what has no policy; introspection is', async (t) => {
  const { app, admin, client } = await openKept(t, { GRAPHQL_BATCH_MAX: '4', ENFORCEMENT: 'shadow' })
  const post = (body: unknown): Promise<Reply> => client.ask('/graphql', { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })
  const never: Array<[string, () => Promise<Reply>]> = [
    ['a mutation', () => admin.graphql('mutation { assess(requests: []) { id } }')],
    ['a login', () => client.graphql('mutation ($p: String!) { login(username: "admin", password: $p) { accessToken } }', { p: PASSWORD })],
    ['a decoy', () => client.graphql('{ adminUsers { id } }')],
    ['a decoy by GET', () => client.ask(targetOf('{ systemConfig }'))],
    ['a decoy beside what is kept', () => client.graphql('{ threatCounts { count } adminUsers }')],
    ['a batch', () => post([{ query: COUNTS }, { query: COUNTS }])],
    ['a subscription', () => client.graphql('subscription { assessmentAdded(minScore: 1) { id } }')],
    ['no policy', () => client.graphql('{ health { status } threatCounts { count } }')],
    ['a mutation by GET', () => client.ask(targetOf('mutation { logout }'))]
  ]
  for (const [name, ask] of never) for (let i = 0; i < 2; i++) t.match((await ask()).headers, { 'cache-control': /no-store/, 'x-cache': 'BYPASS' }, name)
  t.equal(app.caches.stats()[0]!.entries, 0)
  t.same(await statusesOf(() => client.graphql('{ __schema { queryType { name } } }')), ['MISS', 'HIT'])
  t.same(await statusesOf(() => post({ query: COUNTS, variables: {} })), ['MISS', 'HIT'])
  t.same(await statusesOf(() => client.ask(targetOf(COUNTS, { variables: '{}' })), 1), ['HIT'], 'GET and POST share')
  t.same(await statusesOf(() => client.ask('/graphql', { method: 'POST', headers: { 'content-type': 'application/graphql' }, body: COUNTS }), 1), ['HIT'])
  t.same(await statusesOf(() => client.graphql(COUNTS, {}, { accept: 'application/graphql-response+json' })), ['MISS', 'HIT'], 'another media type is another answer')
})

t.test('a production server neither introspects from memory nor keeps the refusal', async (t) => {
  const { client } = await openKept(t, { NODE_ENV: 'production', AUDIT_SIGNING_KEY: 'a key of the suite that is long enough to sign with', JWT_SECRET: 'b2f7c1d90a3e4f5861728394a5b6c7d8e9f0a1b2c3d4e5f6' })
  for (let i = 0; i < 2; i++) t.match(await client.graphql('{ __schema { queryType { name } } }'), { headers: NEVER, json: { errors: [{}] } })
})

t.test('the counts by result are those of the headers', async (t: Test) => {
  const { app, client }: Kept = await openKept(t)
  const counted = async (): Promise<Record<string, number>> => {
    const { values } = await app.metrics.cacheRequestsTotal.get()
    return Object.fromEntries(values.filter(({ labels }) => labels.cache === 'graphql').map(({ labels, value }) => [String(labels.result).toUpperCase(), value]))
  }
  // Kept, packed, failing, refused in its execution, of nobody, and kept by nobody.
  const queries = [COUNTS, COUNTS, '{ threatActors(first: 50) { nodes { id name aliases description } } }', '{ threatActors(first: 100000) { totalCount } }', '{ me { username } }', '{ threatCounts { nope } }', '{ health { status } }']
  for (const encoding of ['identity', 'gzip', 'br', 'gzip', 'identity']) {
    for (const query of queries) {
      const before = await counted()
      const status = statusOf(await client.graphql(query, {}, { 'accept-encoding': encoding }))
      const after = await counted()
      const grown = Object.entries(after).filter(([result, value]) => value !== (before[result] ?? 0)).map(([result, value]) => [result, value - (before[result] ?? 0)])
      t.same(grown, [[status, 1]], `${query} as ${encoding}`)
    }
  }
  const all = await counted()
  t.match(app.caches.stats()[0], { hits: all.HIT, misses: all.MISS })
  t.ok(all.HIT! > 0 && all.MISS! > 0 && all.BYPASS! > 0)
})
