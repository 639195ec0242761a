import { Agent, request } from 'node:http'
import t, { type Test } from 'tap'
import { BROWSER, dataOf, makeKey, type Reply } from '../../e2e/client.ts'
import { sendRaw } from '../../raw-socket.ts'
import { ATTACK, SUSPECT } from '../../transaction/doors.ts'
import { countEarly, newUser, openKept, statusesOf, statusOf, targetOf, type Kept } from './kept.ts'

/** Requests whose bytes are known are answered behind the gate at once: as the ordinary way would, and judged as ever. */
t.jobs = 2

const COUNTS = '{ threatCounts { category count } }'
const BODY = JSON.stringify({ query: COUNTS })

interface Raw { status: number, headers: Array<[string, string]>, body: Buffer }

/** Headers as they stood on the wire, repeats too. */
async function askRaw (t: Test, url: string, { method = 'POST', path = '/graphql', headers = {}, body = '' }: { method?: string, path?: string, headers?: Record<string, string>, body?: string }): Promise<Raw> {
  const agent = new Agent({ keepAlive: true })
  t.teardown(() => agent.destroy())
  const { promise, resolve, reject } = Promise.withResolvers<Raw>()
  const type = method === 'POST' ? { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(body)) } : {}
  request(url + path, { method, agent, headers: { ...BROWSER, ...type, ...headers } }, (response) => {
    const chunks: Buffer[] = []
    response.on('data', (chunk: Buffer) => chunks.push(chunk)).on('end', () => {
      const named = Array.from({ length: response.rawHeaders.length / 2 }, (_, i): [string, string] => [response.rawHeaders[2 * i]!.toLowerCase(), response.rawHeaders[2 * i + 1]!])
      resolve({ status: response.statusCode!, headers: named, body: Buffer.concat(chunks) })
    })
  }).on('error', reject).end(body)
  return await promise
}

/** What differs between two requests that are the same: only that it is there is compared. */
const OF_REQUEST = new Set(['date', 'x-request-id', 'x-neko-assessment', 'x-ratelimit-remaining', 'ratelimit', 'x-neko-score', 'x-neko-factors'])
const comparable = ({ status, headers, body }: Raw): object => ({ status, body: body.toString('latin1'), headers: headers.map(([name, value]) => OF_REQUEST.has(name) ? name : `${name}: ${value}`).sort() })

t.test('the early answer is the ordinary one: status, headers and bytes', async (t) => {
  const kept = await openKept(t, { EXPOSE_SCORE: 'true', CORS_ORIGIN: 'https://app.example,https://other.example', ENFORCEMENT: 'shadow' })
  const { app, admin, url } = kept
  const early = countEarly(t, app)
  await dataOf(admin.graphql('mutation { addThreatActor(input: { name: "Läufer", description: "größer" }) { id } }'))
  const { headers: token } = await newUser(kept, 'vera', 'VIEWER')
  const key = { 'x-api-key': (await makeKey(admin, ['read'])).key }
  const NAMES = '{ threatActors(search: "läufer") { nodes { name description } } }'
  const LONG = '{ threatActors(first: 50) { nodes { id name aliases description } } }'
  const asked: Array<[string, Parameters<typeof askRaw>[2]]> = [
    ['POST', { body: BODY }],
    ['GET', { method: 'GET', path: targetOf(COUNTS) }],
    ['POST beyond ASCII', { body: JSON.stringify({ query: NAMES }) }],
    ['GET beyond ASCII', { method: 'GET', path: targetOf(NAMES) }],
    ['a listed origin', { body: BODY, headers: { origin: 'https://app.example' } }],
    ['another listed origin', { method: 'GET', path: targetOf(COUNTS), headers: { origin: 'https://other.example' } }],
    ['an origin of nobody', { body: BODY, headers: { origin: 'https://evil.example' } }],
    ['a token', { body: BODY, headers: token }],
    ['what belongs to a caller', { body: '{"query":"{ me { username } }"}', headers: token }],
    ['what belongs to a caller, by GET', { method: 'GET', path: targetOf('{ me { username } }'), headers: token }],
    ['a key', { body: BODY, headers: key }],
    ['its own media type', { body: BODY, headers: { accept: 'application/graphql-response+json, application/json;q=0.9' } }],
    ['its own request id', { body: BODY, headers: { 'x-request-id': 'mine-1' } }],
    ['packed', { body: JSON.stringify({ query: LONG }), headers: { 'accept-encoding': 'gzip, br' } }],
    ['packed in another way', { method: 'GET', path: targetOf(LONG), headers: { 'accept-encoding': 'gzip' } }],
    ['codings that are not for so few bytes', { body: '{"query":"{ __typename }"}', headers: { 'accept-encoding': 'gzip, br' } }]
  ]
  const mayPrepare = app.mayPrepare
  for (const [name, request] of asked) {
    await askRaw(t, url, request)
    app.mayPrepare = () => false
    const ordinary = await askRaw(t, url, request)
    app.mayPrepare = mayPrepare
    const before = early()
    const known = await askRaw(t, url, request)
    t.equal(early(), before + 1, `${name}: early`)
    t.same(comparable(known), comparable(ordinary), name)
    t.match(Object.fromEntries(known.headers), { 'x-cache': 'HIT', 'x-neko-action': 'ALLOW', 'x-neko-score': /^\d+$/ }, name)
  }
})

t.test('an early answer has its receipt, its line, its counts and its place in its client\'s history', async (t) => {
  const { app, at, takeLines } = await openKept(t, { LOG_LEVEL: 'info' })
  const early = countEarly(t, app)
  const client = at('198.51.100.7')
  await statusesOf(() => client.graphql(COUNTS), 2)
  const requestsBefore = (await app.metrics.httpRequestsTotal.get()).values.reduce((sum, { value }) => sum + value, 0)
  takeLines()
  const reply = await client.graphql(COUNTS)
  t.equal(early(), 2)
  const id = String(reply.headers['x-neko-assessment'])
  t.match(await app.receipts.get(id), { id, client: 'ip:198.51.100.7', method: 'POST', path: '/graphql', status: 200, action: 'ALLOW' })
  t.equal(takeLines().filter((line) => line.assessment === id && line.status === 200 && line.route === '/graphql').length, 1)
  t.equal((await app.metrics.httpRequestsTotal.get()).values.reduce((sum, { value }) => sum + value, 0), requestsBefore + 1)
  t.equal((await app.metrics.httpRequestsInFlight.get()).values[0]!.value, 0)
  t.equal(app.limits.peek('standard', 'ip:198.51.100.7').remaining, 1_000_000 - 3)
})

const codeOf = ({ status, text }: Reply): string => `${status} ${/"code":"(\w+)"/.exec(text)?.[1] ?? ''}`

t.test('known bytes are judged as ever: blocks, limits, credentials, attacks', async (t) => {
  const kept = await openKept(t, { RATE_LIMIT_STANDARD: '6/60/60', EXPOSE_SCORE: 'true' })
  const { app, admin, at } = kept
  const early = countEarly(t, app)
  const known = at('198.51.100.1')
  await statusesOf(() => known.graphql(COUNTS), 2)
  await statusesOf(() => known.ask(targetOf(COUNTS)), 2)
  t.equal(early(), 2)
  await dataOf(admin.graphql('mutation { addDecision(scope: IP, value: "198.51.100.2", action: BLOCK, ttlSeconds: 600, reason: "test") { id } }'))
  await dataOf(admin.graphql('mutation { addDecision(scope: IP, value: "198.51.100.3", action: CHALLENGE, ttlSeconds: 600, reason: "test") { id } }'))
  for (const ask of [(client: typeof known, headers = {}) => client.graphql(COUNTS, undefined, headers), (client: typeof known, headers = {}) => client.ask(targetOf(COUNTS), { headers })]) {
    const before = early()
    t.equal(codeOf(await ask(at('198.51.100.2'))), '403 NEKO_ERR_BLOCKED', 'a standing block')
    t.equal(codeOf(await ask(at('198.51.100.4'), { authorization: 'Bearer none' })), '401 NEKO_ERR_UNAUTHENTICATED', 'a token that is none')
    t.equal(codeOf(await ask(at('198.51.100.4'), { 'x-api-key': 'none' })), '401 NEKO_ERR_UNAUTHENTICATED', 'a key that is none')
    t.equal(codeOf(await ask(at('198.51.100.5'), { referer: `https://example.org/?q=${ATTACK.variables.q}` })), '403 NEKO_ERR_BLOCKED', 'an attack in a header')
    t.equal(early(), before)
    t.match((await ask(at('198.51.100.3'))).headers, { 'x-neko-action': 'CHALLENGE', 'x-cache': 'HIT' }, 'a standing challenge')
    t.match((await ask(at('198.51.100.6'), { referer: `https://example.org/?q=${SUSPECT.variables.q}` })).headers, { 'x-neko-score': /^\d+$/ })
  }
  const limited = at('198.51.100.8')
  const statuses: number[] = []
  for (let i = 0; i < 8; i++) statuses.push((await limited.graphql(COUNTS)).status)
  t.same(statuses, [200, 200, 200, 200, 200, 200, 429, 429], 'the limit')
  t.equal(codeOf(await at('198.51.100.9').graphql(ATTACK.query, ATTACK.variables)), '403 NEKO_ERR_BLOCKED')
  app.isOverloaded = () => true
  t.equal(codeOf(await at('198.51.100.10').graphql(COUNTS)), '503 NEKO_ERR_OVERLOADED')
})

t.test('what a signed-in caller was answered never reaches anybody else, by the same bytes', async (t) => {
  const kept = await openKept(t)
  const { app, client, admin, at } = kept
  const early = countEarly(t, app)
  const [vera, otto] = [await newUser(kept, 'vera', 'VIEWER'), await newUser(kept, 'otto', 'VIEWER')]
  const ME = '{ me { username } }'
  const LISTS = '{ playbooks { name } }'
  for (const query of [ME, LISTS]) for (const ask of [() => vera.user.graphql(query), () => vera.user.ask(targetOf(query))]) await statusesOf(ask, 3)
  const before = early()
  t.ok(before >= 6)
  const key = client.as({ 'x-api-key': (await makeKey(admin, ['assess'])).key })
  for (const [asked, status] of [[at('198.51.100.1'), 401], [key, 403]] as const) {
    t.match(await asked.graphql(LISTS), { status })
    t.match(await asked.ask(targetOf(LISTS)), { status })
  }
  t.equal((await at('198.51.100.1').graphql(ME)).status, 401)
  t.match(await otto.user.graphql(ME), { text: '{"data":{"me":{"username":"otto"}}}', headers: { 'x-cache': 'MISS' } })
  t.match(await otto.user.graphql(LISTS), { status: 200, headers: { 'x-cache': 'HIT' } }, 'what all of a role may have')
  await dataOf(vera.user.graphql('mutation { logout }'))
  t.match(await vera.user.graphql(ME), { status: 401 }, 'a session that ended')
  await dataOf(admin.graphql('mutation ($id: ID!) { disableUser(id: $id) { id } }', { id: otto.id }))
  t.match(await otto.user.graphql(ME), { status: 401 }, 'a user who is disabled')
})

t.test('what is not plain takes the ordinary way, and has the same answer', async (t) => {
  const { app, client, port }: Kept = await openKept(t, { ENFORCEMENT: 'shadow' })
  const early = countEarly(t, app)
  const first = await client.graphql(COUNTS)
  for (let i = 0; i < 2; i++) await client.ask('/graphql', { method: 'POST', headers: { 'content-type': 'application/json', accept: 'application/json' }, body: BODY })
  const known = early()
  t.ok(known >= 1)
  const common = `User-Agent: ${BROWSER['user-agent']}\r\nAccept: application/json\r\nAccept-Language: en\r\nContent-Type: application/json\r\nContent-Length: ${BODY.length}\r\n`
  const post = (line: string, headers: string): string => `POST /graphql ${line}\r\n${common}${headers}\r\n${BODY}`
  const answers: Array<[string, string, RegExp, boolean]> = [
    ['HTTP/1.0', post('HTTP/1.0', 'Host: neko\r\n'), /^HTTP\/1\.1 200 [^]*x-cache: HIT\r\n[^]*connection: close/i, true],
    ['HTTP/1.0 without a host', post('HTTP/1.0', ''), /^HTTP\/1\.1 200 [^]*x-cache: HIT/i, true],
    ['Connection: close', post('HTTP/1.1', 'Host: neko\r\nConnection: close\r\n'), /^HTTP\/1\.1 200 [^]*x-cache: HIT\r\n[^]*connection: close/i, true],
    ['two hosts', post('HTTP/1.1', 'Host: neko\r\nHost: other\r\n'), /^HTTP\/1\.1 400 [^]*NEKO_ERR_URL_INVALID/, true],
    ['no host', post('HTTP/1.1', ''), /^HTTP\/1\.1 400 [^]*NEKO_ERR_URL_INVALID/, true],
    ['201 headers', post('HTTP/1.1', `Host: neko\r\n${Array.from({ length: 196 }, (_, i) => `X-A${i}: 1\r\n`).join('')}`), /^HTTP\/1\.1 431 [^]*NEKO_ERR_HEADERS_TOO_LARGE/, true],
    ['an expectation', post('HTTP/1.1', 'Host: neko\r\nConnection: close\r\nExpect: banana\r\n'), /^HTTP\/1\.1 200 [^]*x-cache: HIT/i, true],
    ['a packed body', post('HTTP/1.1', 'Host: neko\r\nContent-Encoding: gzip\r\n'), /^HTTP\/1\.1 415 /, true],
    ['another method', post('HTTP/1.1', 'Host: neko\r\nConnection: close\r\n').replace('POST', 'PUT'), /^HTTP\/1\.1 405 /, true],
    ['another target', post('HTTP/1.1', 'Host: neko\r\nConnection: close\r\n').replace('/graphql', '/graphql?a=1'), /^HTTP\/1\.1 200 [^]*x-cache: HIT/i, true],
    ['a forbidden parameter', post('HTTP/1.1', 'Host: neko\r\nConnection: close\r\n').replace('/graphql', '/graphql?$where=1'), /^HTTP\/1\.1 400 [^]*NEKO_ERR_KEY_FORBIDDEN/, true],
    ['another type', post('HTTP/1.1', 'Host: neko\r\nConnection: close\r\n').replace('application/json\r\nContent-Length', 'text/plain\r\nContent-Length'), /^HTTP\/1\.1 415 /, true],
    ['a charset that nobody reads', post('HTTP/1.1', 'Host: neko\r\nConnection: close\r\n').replace('application/json\r\nContent-Length', 'application/json; charset=utf-16\r\nContent-Length'), /^HTTP\/1\.1 415 /, true],
    ['a body in chunks', `POST /graphql HTTP/1.1\r\nHost: neko\r\nConnection: close\r\n${common.replace(/Content-Length.*\r\n/, '')}Transfer-Encoding: chunked\r\n\r\n${BODY.length.toString(16)}\r\n${BODY}\r\n0\r\n\r\n`, /^HTTP\/1\.1 200 [^]*x-cache: HIT/i, true]
  ]
  for (const [name, sent, expected, isOver] of answers) {
    const { text, closed } = await sendRaw(port, [sent])
    t.match(text, expected, name)
    t.match(text, /x-neko-assessment: as_/, name)
    t.equal(closed, isOver, name)
    if (/^HTTP\/1\.1 200/.test(text)) t.ok(text.endsWith(first.text), name)
  }
  t.equal(early(), known, 'none of them was early')
  const head = await client.ask(targetOf(COUNTS), { method: 'HEAD' })
  t.match([head.status, head.text, statusOf(head)], [200, '', 'HIT'])
})

t.test('pipelined requests are answered in order, early ones and others; a server that drains ends the connection', async (t) => {
  const { app, client, port } = await openKept(t, { ENFORCEMENT: 'shadow' })
  const early = countEarly(t, app)
  const other = JSON.stringify({ query: '{ health { status } }' })
  const post = (body: string): string => `POST /graphql HTTP/1.1\r\nHost: neko\r\nUser-Agent: ${BROWSER['user-agent']}\r\nAccept: */*\r\nAccept-Language: en\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`
  for (let i = 0; i < 2; i++) await client.ask('/graphql', { method: 'POST', headers: { 'content-type': 'application/json' }, body: BODY })
  const before = early()
  const bodies = [BODY, other, BODY, BODY, other, BODY, BODY, BODY]
  const isAll = (text: string): boolean => text.split('HTTP/1.1 200').length === bodies.length + 1 && text.endsWith('}')
  const { text, statuses } = await sendRaw(port, [bodies.map(post).join('')], 10_000, isAll)
  t.same(statuses, Array(bodies.length).fill(200))
  t.same([...text.matchAll(/\{"data":\{"(\w+)"/g)].map(([, field]) => field), bodies.map((body) => body === BODY ? 'threatCounts' : 'health'))
  t.ok(early() > before, `${early() - before} of ${bodies.length} were early`)

  app.server.prependListener('request', (_request, response) => { response.shouldKeepAlive = false })
  const known = early()
  const drained = await sendRaw(port, [post(BODY)])
  t.match(drained.text, /^HTTP\/1\.1 200 [^]*connection: close[^]*threatCounts/i)
  t.ok(drained.closed)
  t.equal(early(), known)
})

t.test('an answer that was forgotten is not early, whoever forgot it', async (t) => {
  const { app, admin, client, clock } = await openKept(t)
  const early = countEarly(t, app)
  t.same(await statusesOf(() => client.graphql(COUNTS), 3), ['MISS', 'HIT', 'HIT'])
  t.equal(early(), 2)
  for (const forget of [() => app.caches.forget(['counts']), () => app.caches.clear('graphql'), () => dataOf(admin.graphql('mutation { clearCache { name } }')), () => clock.advance(300_000)]) {
    await forget()
    const before = early()
    t.equal(statusOf(await client.graphql(COUNTS)), 'MISS')
    t.equal(early(), before)
    t.equal(statusOf(await client.graphql(COUNTS)), 'HIT')
    t.equal(early(), before + 1)
  }
})
