import { createHash } from 'node:crypto'
import t from 'tap'
import { BROWSER, dataOf, makeKey, type Reply, type TestClient } from '../../e2e/client.ts'
import { sendRaw } from '../../raw-socket.ts'
import { ATTACK } from '../../transaction/doors.ts'
import { countEarly, newUser, openKept, statusOf } from './kept.ts'

/** Automatic persisted queries, by the protocol of Apollo: what is found, what is kept, and who judges what. */
t.jobs = 2

const COUNTS = '{ threatCounts { category count } }'
const hashOf = (document: string): string => createHash('sha256').update(document).digest('hex')
const named = (document: string, over: object = {}): object => ({ persistedQuery: { version: 1, sha256Hash: hashOf(document), ...over } })

/** As Apollo's link sends it: the hash alone, or with the document. */
const byHash = (client: TestClient, document: string, more: object = {}, headers: Record<string, string> = {}): Promise<Reply> => post(client, { operationName: null, variables: {}, extensions: named(document), ...more }, headers)
const offer = (client: TestClient, document: string, more: object = {}, headers: Record<string, string> = {}): Promise<Reply> => byHash(client, document, { query: document, ...more }, headers)
const post = (client: TestClient, body: unknown, headers: Record<string, string> = {}): Promise<Reply> => client.ask('/graphql', { method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body: typeof body === 'string' ? body : JSON.stringify(body) })
const get = (client: TestClient, document: string, more: Record<string, string> = {}, headers: Record<string, string> = {}): Promise<Reply> => client.ask(`/graphql?${new URLSearchParams({ operationName: '', variables: '{}', extensions: JSON.stringify(named(document)), ...more })}`, { headers })
const codeOf = ({ status, json }: Reply): string => `${status} ${(json as { errors?: Array<{ extensions: { code: string } }> } | undefined)?.errors?.[0]?.extensions.code ?? 'data'}`

const NOT_FOUND = '200 PERSISTED_QUERY_NOT_FOUND'

t.test('a hash that nobody brought a document for is answered in the words of the protocol, and kept by nobody', async (t) => {
  const { app, client } = await openKept(t)
  for (const answer of [await byHash(client, COUNTS), await get(client, COUNTS), await byHash(client, COUNTS, {}, { accept: 'application/graphql-response+json, application/json;q=0.9' })]) {
    t.match(answer, { status: 200, headers: { 'cache-control': 'no-store, no-cache, must-revalidate', 'x-cache': 'BYPASS' } })
    t.same(answer.json, { errors: [{ message: 'PersistedQueryNotFound', extensions: { code: 'PERSISTED_QUERY_NOT_FOUND', assessment: answer.headers['x-neko-assessment'] } }] })
  }
  t.match(await byHash(client, COUNTS, { extensions: named(COUNTS, { version: 2 }) }), { status: 200, json: { errors: [{ message: 'PersistedQueryNotSupported', extensions: { code: 'PERSISTED_QUERY_NOT_SUPPORTED' } }] } })
  t.equal(codeOf(await offer(client, COUNTS)), '200 data')
  t.equal(codeOf(await byHash(client, COUNTS)), '200 data')
  const { values } = await app.metrics.cacheRequestsTotal.get()
  t.same(values.filter(({ labels }) => labels.cache === 'persisted-queries').map(({ labels, value }) => [labels.result, value]).sort(), [['hit', 1], ['miss', 3]])
})

t.test('once its document came with it a hash is enough, by POST and by GET, with variables of its own', async (t) => {
  const { app, client, at, port } = await openKept(t)
  const early = countEarly(t, app)
  const asBody = JSON.stringify({ data: (await dataOf<object>(client.graphql(COUNTS))) })
  t.match(await offer(client, COUNTS), { text: asBody })
  t.match(await byHash(client, COUNTS), { text: asBody, headers: { 'x-cache': 'HIT' } })
  t.match(await byHash(at('198.51.100.9'), COUNTS), { text: asBody }, 'for everybody')
  t.equal(early(), 1, 'the second request by hash is early')
  const got = await get(client, COUNTS)
  t.match(got, { text: asBody, headers: { 'x-cache': 'HIT', 'cache-control': 'private, max-age=300', etag: /./ } })
  t.match(await get(client, COUNTS), { text: asBody })
  t.equal(early(), 2)
  t.match(await get(client, COUNTS, {}, { 'if-none-match': String(got.headers.etag) }), { status: 304 })
  t.match(await client.ask(`/graphql?${new URLSearchParams({ extensions: JSON.stringify(named(COUNTS)) })}`, { method: 'HEAD' }), { status: 200, text: '' })

  const SEARCH = 'query Find($q: String, $n: Int = 1) { threatActors(search: $q, first: $n) { totalCount nodes { name } } }'
  t.equal(codeOf(await offer(client, SEARCH, { variables: { q: 'none of them' } })), '200 data')
  for (const variables of [{ q: 'a' }, { q: 'a', n: 3 }, { q: 'none of them' }]) {
    const plain = (await client.graphql(SEARCH, variables)).text
    t.equal((await byHash(client, SEARCH, { variables })).text, plain)
    t.equal((await get(client, SEARCH, { variables: JSON.stringify(variables) })).text, plain)
  }
  t.match(await byHash(client, SEARCH, { operationName: 'Find' }), { status: 200 })
  t.match(codeOf(await byHash(client, SEARCH, { operationName: 'Other' })), /INPUT_INVALID/)
  t.match(await byHash(client, COUNTS, {}, { 'x-neko-cost': '1' }), { json: { extensions: { cost: { points: 1 } } } })
  t.match(await post(client, `  {\n "extensions" : ${JSON.stringify(named(COUNTS))} } `), { text: asBody }, 'whatever its spaces')
  const body = JSON.stringify({ extensions: named(COUNTS) })
  const chunked = await sendRaw(port, [`POST /graphql HTTP/1.1\r\nHost: neko\r\nUser-Agent: ${BROWSER['user-agent']}\r\nConnection: close\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`])
  t.ok(chunked.text.endsWith(asBody), 'in chunks')
})

t.test('a document that is not the one of its hash is refused, and so is what the protocol does not know', async (t) => {
  const { client } = await openKept(t)
  const OTHER = '{ stats { requests } }'
  t.match(await offer(client, COUNTS, { extensions: named(OTHER) }), { status: 400, json: { errors: [{ message: 'provided sha does not match query', extensions: { code: 'NEKO_ERR_INPUT_INVALID' } }] } })
  t.match(await get(client, OTHER, { query: COUNTS }), { status: 400, headers: { 'cache-control': /no-store/, 'x-cache': 'BYPASS' } })
  for (const document of [COUNTS, OTHER]) t.equal(codeOf(await byHash(client, document)), NOT_FOUND)
  await offer(client, COUNTS)
  t.match(await offer(client, COUNTS, { extensions: named(OTHER) }), { status: 400 }, 'nor when another way is known')
  t.match(await offer(client, OTHER, { extensions: named(COUNTS) }), { status: 400 }, 'nor does it take the place of what is there')
  t.match(await byHash(client, COUNTS), { text: /threatCounts/ })
  const hash = hashOf(COUNTS)
  const malformed: unknown[] = [
    null, 1, 'x', [], {}, { version: 1 }, { sha256Hash: hash }, { version: '1', sha256Hash: hash }, { version: null, sha256Hash: hash }, { version: 1.5, sha256Hash: hash },
    ...['', hash.slice(1), `${hash}0`, hash.toUpperCase(), `${hash.slice(1)}g`, ` ${hash}`, 'constructor', 1, null, [hash], { [hash]: 1 }].map((sha256Hash) => ({ version: 1, sha256Hash }))
  ]
  for (const persistedQuery of malformed) {
    for (const query of [undefined, COUNTS]) {
      t.match(await post(client, { query, extensions: { persistedQuery } }), { status: 400, json: { errors: [{ extensions: { code: 'NEKO_ERR_INPUT_INVALID' } }] } }, JSON.stringify(persistedQuery))
    }
    t.match(await client.ask(`/graphql?${new URLSearchParams({ extensions: JSON.stringify({ persistedQuery }) })}`), { status: 400 }, JSON.stringify(persistedQuery))
  }
  for (const body of [{ query: null, extensions: named(COUNTS) }, { query: '', extensions: named(COUNTS) }, { query: 1, extensions: named(COUNTS) }, { extensions: [named(COUNTS)] }, { extensions: 'persistedQuery' }, { variables: [], extensions: named(COUNTS) }]) {
    t.match(await post(client, body), { status: 400 }, JSON.stringify(body))
  }
  // What is read twice in two ways, or hides from whoever looks for it.
  t.equal(codeOf(await post(client, JSON.stringify({ extensions: named(COUNTS) }).replace('persistedQuery', 'persisted\\u0051uery'))), NOT_FOUND, 'another spelling of the name')
  t.match(await post(client, `{"__proto__":{"extensions":${JSON.stringify(named(COUNTS))}},"query":"${COUNTS}"}`), { status: 400, json: { errors: [{ extensions: { code: 'NEKO_ERR_KEY_FORBIDDEN' } }] } })
  t.match(await post(client, `{"extensions":${JSON.stringify(named(COUNTS))},"extensions":{}}`), { status: 400 }, 'repeated members: the last counts')
  t.match(codeOf(await client.ask(`/graphql#extensions=${encodeURIComponent(JSON.stringify(named(COUNTS)))}`)), /PERSISTED_QUERY_NOT_FOUND|400/)
})

t.test('the document is what is judged: decoys, scores, login, GET, and what a receipt says', async (t) => {
  const kept = await openKept(t, { EXPOSE_SCORE: 'true', NEVER_BLOCK: '127.0.0.0/8,::1/128' })
  const { app, client, at } = kept
  await offer(client, COUNTS)
  const reply = await byHash(client, COUNTS)
  const receipt = await app.receipts.get(String(reply.headers['x-neko-assessment']))
  t.match(Buffer.from(String(receipt!.observation!.bodyBase64), 'base64').toString(), /^\{"query":"\{ threatCounts \{ category count \} \}","operationName":null/)
  const got = await get(client, COUNTS)
  t.match(await app.receipts.get(String(got.headers['x-neko-assessment'])), { path: '/graphql', observation: { url: /^\/graphql\?query=%7B%20threatCounts/ } })

  const DECOY = '{ adminUsers { id } }'
  t.match(await offer(at('198.51.100.1'), DECOY), { text: '{"data":{"adminUsers":[]}}' })
  t.equal(codeOf(await byHash(at('198.51.100.2'), DECOY)), NOT_FOUND, 'a decoy is no document')
  const BESIDE = '{ threatCounts { count } adminUsers }'
  await offer(at('198.51.100.3'), BESIDE)
  t.equal(codeOf(await byHash(at('198.51.100.4'), BESIDE)), NOT_FOUND)

  const SUSPECT = '{ threatActors(search: "../") { totalCount } }'
  const challenged = await offer(at('198.51.100.5'), SUSPECT)
  t.match(challenged, { status: 200, headers: { 'x-neko-action': 'CHALLENGE' } })
  t.equal(codeOf(await byHash(at('198.51.100.6'), SUSPECT)), NOT_FOUND, 'nor what was challenged')
  const HOSTILE = `{ threatActors(search: "${ATTACK.variables.q}") { totalCount } }`
  t.match(await offer(at('198.51.100.7'), HOSTILE), { status: 403 })
  t.equal(codeOf(await byHash(at('198.51.100.8'), HOSTILE)), NOT_FOUND, 'nor what was refused')
  const SEARCH = 'query ($q: String) { threatActors(search: $q) { totalCount } }'
  await offer(client, SEARCH)
  t.match(await byHash(at('198.51.100.10'), SEARCH, { variables: ATTACK.variables }), { status: 403 }, 'its variables are judged with it')
  t.match(await get(at('198.51.100.11'), SEARCH, { variables: JSON.stringify(ATTACK.variables) }), { status: 403 })

  const CHANGE = 'mutation { logout }'
  const { user } = await newUser(kept, 'vera', 'VIEWER')
  t.match(await offer(user, CHANGE), { status: 200, text: '{"data":{"logout":true}}' })
  t.match(await get(client, CHANGE), { json: { errors: [{ message: 'GET runs queries only' }] } }, 'a change by GET')
  t.match(await get(client, CHANGE, { query: CHANGE }), { json: { errors: [{ message: 'GET runs queries only' }] } })
  t.equal(codeOf(await byHash(client, CHANGE)), '401 NEKO_ERR_UNAUTHENTICATED', 'its document asks for a caller')
  const LOGIN = 'mutation ($p: String!) { login(username: "admin", password: $p) { accessToken } }'
  t.equal(codeOf(await offer(client, LOGIN, { variables: { p: 'not the pass phrase at all' } })), '401 NEKO_ERR_UNAUTHENTICATED')
  t.equal(codeOf(await byHash(client, LOGIN, { variables: { p: 'not the pass phrase at all' } })), '401 NEKO_ERR_UNAUTHENTICATED', 'a try like any other')
  t.equal(codeOf(await get(client, LOGIN, { variables: '{"p":"x"}' })), '200 NEKO_ERR_INPUT_INVALID')
})

t.test('what came by an exemption is executed, and not kept', async (t) => {
  const kept = await openKept(t)
  const { admin, client, at } = kept
  const quoting = `{ threatActors(search: "${ATTACK.variables.q}") { totalCount } }`
  t.equal(codeOf(await offer(admin, quoting)), '200 data', 'what an authorised caller writes is data')
  t.equal(codeOf(await byHash(admin, quoting)), NOT_FOUND)
  const handing = `mutation { assess(requests: [{ method: "GET", url: "/?q=${ATTACK.variables.q}" }]) { id } }`
  t.equal(codeOf(await offer(admin, handing)), '200 data', 'what others sent')
  t.equal(codeOf(await byHash(admin, handing)), NOT_FOUND)
  await dataOf(admin.graphql('mutation { addDecision(scope: IP, value: "198.51.100.1", action: ALLOW, ttlSeconds: 600, reason: "test") { id } }'))
  t.equal(codeOf(await offer(at('198.51.100.1'), quoting)), '200 data', 'an address that is let through')
  t.equal(codeOf(await byHash(at('198.51.100.1'), quoting)), NOT_FOUND)
  t.equal(codeOf(await offer(client, '{ threatCounts { nothing } }')), '200 NEKO_ERR_INPUT_INVALID')
  for (const document of ['{ threatCounts { nothing } }', '{ threatCounts']) {
    await offer(client, document)
    t.equal(codeOf(await byHash(client, document)), NOT_FOUND, document)
  }
  const failing = '{ threatActors(after: "none of ours") { totalCount } }'
  await offer(client, failing)
  t.equal(codeOf(await byHash(client, failing)), '200 NEKO_ERR_CURSOR_INVALID', 'one that is valid and fails')

  const shadow = await openKept(t, { ENFORCEMENT: 'shadow' })
  await offer(shadow.client, quoting)
  t.equal(codeOf(await byHash(shadow.client, quoting)), NOT_FOUND, 'a block that is only simulated')
})

t.test('one client brings two hundred a minute; the others bring theirs; the oldest go first', async (t) => {
  const { admin, client, at, clock } = await openKept(t)
  const document = (i: number | string): string => `{ a${i}: threatCounts { count } }`
  const [busy, other] = [client.as({ 'x-api-key': (await makeKey(admin, ['read'])).key }), at('198.51.100.2')]
  const MINUTE = 60_000
  // A program that takes its time: one that hurries is challenged, and what it brings is not kept.
  for (let i = 0; i < 200; i++) {
    await offer(busy, document(i))
    clock.advance(100)
  }
  t.equal(codeOf(await byHash(client, document(199))), '200 data')
  t.equal(codeOf(await offer(busy, document('x'))), '200 data', 'executed')
  t.equal(codeOf(await byHash(busy, document('x'))), NOT_FOUND, 'and not kept')
  t.equal(codeOf(await offer(busy, document(5))), '200 data', 'one that is there is not new')
  await offer(other, document('y'))
  t.equal(codeOf(await byHash(busy, document('y'))), '200 data')
  clock.advance(MINUTE - 20_001)
  await offer(busy, document('z'))
  t.equal(codeOf(await byHash(busy, document('z'))), NOT_FOUND)
  clock.advance(1)
  await offer(busy, document('z'))
  t.equal(codeOf(await byHash(busy, document('z'))), '200 data', 'a minute after the first')

  // 60 KiB each: of some 136 that fit, the first have gone.
  const large = (i: number): string => `{ b${i}: threatCounts { count } }${' '.repeat(60_000)}`
  await byHash(client, document(0))
  for (let i = 0; i < 150; i++) await offer(at(`198.51.101.${i}`), large(i))
  t.equal(codeOf(await byHash(client, large(0))), NOT_FOUND)
  t.equal(codeOf(await byHash(client, document(0))), NOT_FOUND)
  t.equal(codeOf(await byHash(client, large(149))), '200 data')
  t.equal(codeOf(await byHash(client, large(149), { variables: { unused: 'a word or two, '.repeat(500) } })), '413 NEKO_ERR_BODY_TOO_LARGE', 'a body is bounded with its document')
  t.equal(codeOf(await get(client, large(149))), NOT_FOUND, 'no target is so long')
  t.equal(codeOf(await offer(client, large(0))), '200 data', 'whoever brings it again')
  t.equal(codeOf(await byHash(client, large(0))), '200 data')
  for (let i = 0; i < 300; i++) if (codeOf(await byHash(client, `bomb ${i}`)) !== NOT_FOUND) t.fail(`bomb ${i}`)
  t.equal(codeOf(await byHash(client, large(149))), '200 data', 'hashes alone push nothing out')
})

t.test('a document that went is brought again, also by bytes that were answered before', async (t) => {
  const { client, at } = await openKept(t)
  const first = '{ threatActors { totalCount } }'
  for (let i = 0; i < 3; i++) await offer(client, first)
  for (let i = 0; i < 150; i++) await offer(at(`198.51.101.${i}`), `{ b${i}: threatCounts { count } }${' '.repeat(60_000)}`)
  t.equal(codeOf(await byHash(client, first)), NOT_FOUND)
  t.match(statusOf(await offer(client, first)), 'HIT')
  t.equal(codeOf(await byHash(client, first)), '200 data')
})

t.test('in a batch hashes are checked and documents neither looked up nor kept', async (t) => {
  const { client } = await openKept(t, { GRAPHQL_BATCH_MAX: '3' })
  await offer(client, COUNTS)
  const OTHER = '{ __typename }'
  const batch = await post(client, [{ extensions: named(COUNTS) }, { query: OTHER, extensions: named(OTHER) }, { query: COUNTS }])
  t.match(batch.json, [{ errors: [{ extensions: { code: 'PERSISTED_QUERY_NOT_FOUND' } }] }, { data: { __typename: 'Query' } }, { data: { threatCounts: [] } }])
  t.equal(codeOf(await byHash(client, OTHER)), NOT_FOUND)
  t.match(await post(client, [{ query: OTHER, extensions: named(COUNTS) }]), { status: 400 })
})
