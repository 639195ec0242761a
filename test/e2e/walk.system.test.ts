import { connect } from 'node:net'
import { brotliDecompressSync, gunzipSync, zstdDecompressSync } from 'node:zlib'
import t from 'tap'
import { PASSWORD, asAdmin, createTestClient, dataOf, makeKey } from './client.ts'
import type { Reply, TestClient } from './client.ts'
import { openApp } from '../transaction/app.ts'

/** The promises of the HTTP edge from outside, in enforcement. */
const ATTACK = encodeURIComponent("1' UNION SELECT username, password FROM users WHERE 1=1--")
const EXPLAIN = 'query ($id: ID!) { assessment(id: $id) { id score action source simulated method path factors { name contribution } decision { id scope value } } }'
interface Receipt { id: string, score: number, action: string, source: string, simulated: boolean, method: string, path: string, factors: unknown[], decision: { id: string } | null }

const receiptOf = async (admin: TestClient, reply: Reply): Promise<Receipt | null> => (await dataOf<{ assessment: Receipt | null }>(admin.graphql(EXPLAIN, { id: reply.headers['x-neko-assessment'] }))).assessment
const JSON_TYPE = { 'content-type': 'application/json' }

t.test('every answer carries a request id and a receipt that resolves', async (t) => {
  const server = await openApp(t, { ADMIN_PASSWORD: PASSWORD, RATE_LIMIT_STANDARD: '1000/60/60' })
  const client = createTestClient(t, server)
  const admin = await asAdmin(client)
  const key = client.as({ 'x-api-key': (await makeKey(admin, ['assess'])).key })
  const cases: Array<[title: string, status: number, call: () => Promise<Reply>]> = [
    ['404', 404, () => client.ask('/nothing/here')],
    ['unknown method', 404, () => client.ask('/nothing/here', { method: 'PROPFIND' })],
    ['a target that cannot be decoded', 400, () => client.ask('/%zz')],
    ['broken JSON', 400, () => client.ask('/graphql', { method: 'POST', headers: JSON_TYPE, body: '{"query":' })],
    ['no JSON at all', 415, () => client.ask('/graphql', { method: 'POST', headers: { 'content-type': 'text/plain' }, body: 'hello' })],
    ['413 on /graphql', 413, () => client.ask('/graphql', { method: 'POST', headers: JSON_TYPE, body: JSON.stringify({ query: `{ health { status } } # ${'a'.repeat(70_000)}` }) })],
    ['413 on an unknown route', 413, () => client.ask('/upload', { method: 'POST', headers: JSON_TYPE, body: JSON.stringify({ a: 'b '.repeat(40_000) }) })],
    ['OPTIONS preflight', 204, () => client.ask('/graphql', { method: 'OPTIONS', headers: { origin: 'http://localhost:3000', 'access-control-request-method': 'POST' } })],
    ['HEAD', 404, () => client.ask('/nothing', { method: 'HEAD' })],
    ['401', 401, () => client.ask('/v1/assess', { method: 'POST', headers: JSON_TYPE, body: '{"requests":[]}' })],
    ['a bad token', 401, () => client.as({ authorization: 'Bearer none.of.ours' }).graphql('{ health { status } }')],
    ['unknown property of a body', 400, () => key.ask('/v1/assess', { method: 'POST', headers: JSON_TYPE, body: JSON.stringify({ requests: [{ method: 'GET', url: '/' }], extra: 1 }) })],
    ['unknown property within', 400, () => key.ask('/v1/assess', { method: 'POST', headers: JSON_TYPE, body: JSON.stringify({ requests: [{ method: 'GET', url: '/', cookie: 'a' }] }) })],
    ['unknown parameter', 400, () => admin.ask('/v1/intel/import?format=stix&more=1', { method: 'POST', body: '{}' })],
    ['a scope too few', 403, () => key.ask('/v1/intel/import?format=stix', { method: 'POST', body: '{}' })],
    ['GraphQL', 200, () => client.graphql('{ health { status } }')],
    ['an attack on a known route', 403, () => client.ask(`/graphql?query=${ATTACK}`)],
    ['an attack on an unknown route', 403, () => client.ask(`/products?id=${ATTACK}`)],
    ['an attack in a form', 403, () => client.ask('/search', { method: 'POST', headers: { 'content-type': 'application/x-www-form-urlencoded' }, body: `q=${ATTACK}` })]
  ]
  const ids = new Set<string>()
  for (const [title, status, call] of cases) {
    const reply = await call()
    t.equal(reply.status, status, `${title}: ${reply.text.slice(0, 200)}`)
    t.match(reply.headers, { 'x-request-id': /^[\w.-]{1,64}$/, 'x-neko-assessment': /^as_[0-9a-z]{12}_[0-9a-z]+$/ }, title)
    t.match(reply.headers, { 'x-content-type-options': 'nosniff', 'strict-transport-security': 'max-age=31536000; includeSubDomains', 'x-frame-options': 'SAMEORIGIN', 'content-security-policy': /default-src 'self'/ }, title)
    t.equal(reply.headers['x-powered-by'], undefined)
    ids.add(String(reply.headers['x-neko-assessment']))
    const receipt = await receiptOf(admin, reply)
    t.match(receipt, { id: reply.headers['x-neko-assessment'], source: /^(thread|inline)$/, action: (status === 403 && title.startsWith('an attack')) || status === 413 || status === 415 ? 'BLOCK' : /^(ALLOW|CHALLENGE)$/, simulated: false }, title)
    if (status >= 400 && reply.text !== '' && !reply.text.includes('"errors"')) t.match(reply.json, { error: { code: /^NEKO_ERR_/, message: String, assessment: receipt?.id } }, title)
  }
  t.equal(ids.size, cases.length, 'no receipt twice')

  const graphqlBlock = await client.ask(`/graphql?query=${ATTACK}`)
  t.match(graphqlBlock.json, { errors: [{ extensions: { code: 'NEKO_ERR_BLOCKED', assessment: graphqlBlock.headers['x-neko-assessment'] } }] })
  t.match((await client.graphql('{ me { username } }')).json, { errors: [{ extensions: { code: 'NEKO_ERR_UNAUTHENTICATED' } }] })
  t.equal((await client.graphql('{ me { username } }', {}, { accept: 'application/graphql-response+json' })).status, 401)
  t.equal((await client.graphql('{ me { username } }', {}, { accept: 'application/json' })).status, 401, 'whatever Accept says')
  t.equal((await client.ask('/nothing', { headers: { 'x-request-id': 'mine-1' } })).headers['x-request-id'], 'mine-1')
  t.not((await client.ask('/nothing', { headers: { 'x-request-id': 'a b\u00e9' } })).headers['x-request-id'], 'a b\u00e9')
})

t.test('HTTP/1.0 without Host, and keep-alive of 65 s', async (t) => {
  const server = await openApp(t)
  const raw = async (text: string): Promise<string> => await new Promise((resolve, reject) => {
    let got = ''
    const socket = connect(server.port, '127.0.0.1', () => { socket.write(text) })
    socket.setTimeout(20_000, () => socket.destroy(new Error('no end')))
    socket.on('data', (chunk) => { got += chunk.toString() }).on('error', reject).on('close', () => resolve(got))
  })
  for (const text of ['GET /nothing HTTP/1.0\r\n\r\n', 'GET /nothing HTTP/1.0\r\nHost: a.example\r\n\r\n', 'GET /nothing HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n']) {
    const got = await raw(text)
    t.match(got, /^HTTP\/1\.1 404 /, text)
    t.match(got, /x-neko-assessment: as_/, text)
    t.match(got, /connection: close/i, text)
  }
  t.match(await raw('GET /nothing HTTP/1.1\r\n\r\n'), /^HTTP\/1\.1 400 /, 'HTTP/1.1 needs a Host')
  t.match((await fetch(`${server.url}/nothing`)).headers.get('keep-alive'), /timeout=65/)
})

t.test('health is never limited or scored, says degraded in its body, and has aliases', async (t) => {
  const server = await openApp(t, { RATE_LIMIT_STANDARD: '5/60/60' })
  const client = createTestClient(t, server)
  for (let i = 0; i < 10; i++) {
    for (const path of ['/health', '/api/health', '/healthz', '/health/ready', '/health/live', '/health/startup']) {
      const reply = await client.ask(path, { headers: { 'user-agent': 'sqlmap/1.8' } })
      t.match(reply, { status: 200, json: { status: 'ok' }, headers: { 'x-request-id': String } })
      for (const name of ['x-neko-assessment', 'x-ratelimit-limit', 'ratelimit']) t.equal(reply.headers[name], undefined)
    }
  }
  t.equal((await client.ask('/nothing')).headers['x-ratelimit-remaining'], '4', 'nothing was counted')
  t.notOk(server.takeLines().some(({ route }) => String(route).includes('health')), 'nothing was logged')
})

t.test('the score is shown where it may be', async (t) => {
  const hidden = await openApp(t, { ADMIN_PASSWORD: PASSWORD })
  const client = createTestClient(t, hidden)
  const admin = await asAdmin(client)
  t.equal((await client.ask('/nothing')).headers['x-neko-score'], undefined)
  t.equal((await client.ask(`/a?id=${ATTACK}`)).headers['x-neko-score'], undefined, 'nor when refused')
  t.match((await admin.ask('/nothing')).headers, { 'x-neko-score': /^\d{1,3}$/, 'x-neko-action': 'ALLOW' }, 'who may read assessments sees it')
  const assessor = client.as({ 'x-api-key': (await makeKey(admin, ['assess'])).key })
  t.equal((await assessor.ask('/nothing')).headers['x-neko-score'], undefined)

  const shown = await openApp(t, { EXPOSE_SCORE: 'true' })
  const open = createTestClient(t, shown)
  const { status, headers } = await open.ask(`/a?id=${ATTACK}`, { headers: { 'user-agent': 'sqlmap/1.8' } })
  t.equal(status, 403)
  t.match(headers, { 'x-neko-score': /^\d{1,3}$/, 'x-neko-action': 'BLOCK', 'x-neko-factors': /^payload=\d+(,[a-zA-Z]+=\d+)*$/ })
  const points = String(headers['x-neko-factors']).split(',').map((part) => Number(part.split('=')[1]))
  t.same(points, [...points].sort((a, b) => b - a), 'largest first')
})

t.test('CORS: exactly the listed origins, with credentials', async (t) => {
  const server = await openApp(t, { CORS_ORIGIN: 'https://a.example,https://b.example' })
  const client = createTestClient(t, server)
  const from = async (origin: string): Promise<Reply['headers']> => (await client.graphql('{ health { status } }', {}, { origin })).headers
  for (const origin of ['https://a.example', 'https://b.example']) {
    t.match(await from(origin), { 'access-control-allow-origin': origin, 'access-control-allow-credentials': 'true', vary: /Origin/i })
  }
  for (const origin of ['https://c.example', 'https://a.example.evil.example', 'http://a.example', 'null', 'https://xa.example']) t.equal((await from(origin))['access-control-allow-origin'], undefined, origin)
  const preflight = (await client.ask('/graphql', { method: 'OPTIONS', headers: { origin: 'https://a.example', 'access-control-request-method': 'POST', 'access-control-request-headers': 'content-type,x-api-key' } }))
  t.equal(preflight.status, 204)
  t.match(preflight.headers, { 'access-control-allow-headers': /Content-Type.*x-api-key/i, 'access-control-allow-methods': /POST/ })
  t.match(preflight.headers['x-neko-assessment'], /^as_/)
})

t.test('compression: br, zstd and gzip above the threshold, never on answers that hold a credential', async (t) => {
  const server = await openApp(t, { ADMIN_PASSWORD: PASSWORD })
  const client = createTestClient(t, server)
  const { accessToken, refreshToken } = await client.login('admin', PASSWORD)
  const admin = client.as({ authorization: `Bearer ${accessToken}` })
  const LARGE = '{ threatActors(first: 20) { nodes { id name aliases country category motivation sources description references { url } } } }'
  const bytes = async (encoding: string, more: Record<string, string> = {}, query = LARGE): Promise<{ encoding: unknown, vary: unknown, raw: Buffer }> => {
    const answer = await new Promise<{ headers: Record<string, string>, raw: Buffer }>((resolve, reject) => {
      import('node:http').then(({ request }) => {
        const sent = request(`${server.url}/graphql`, { method: 'POST', headers: { ...JSON_TYPE, 'accept-encoding': encoding, authorization: `Bearer ${accessToken}`, 'user-agent': 'Mozilla/5.0', ...more } }, (response) => {
          const chunks: Buffer[] = []
          response.on('data', (chunk: Buffer) => chunks.push(chunk)).on('end', () => resolve({ headers: response.headers as Record<string, string>, raw: Buffer.concat(chunks) }))
        })
        sent.on('error', reject).end(JSON.stringify({ query }))
      }, reject)
    })
    return { encoding: answer.headers['content-encoding'], vary: answer.headers.vary, raw: answer.raw }
  }
  const plain = await bytes('identity')
  t.equal(plain.encoding, undefined)
  t.ok(plain.raw.length > 1024)
  for (const [encoding, unpack] of [['br', brotliDecompressSync], ['gzip', gunzipSync], ['zstd', zstdDecompressSync]] as const) {
    const packed = await bytes(encoding)
    t.equal(packed.encoding, encoding)
    t.match(packed.vary, /accept-encoding/i)
    t.ok(unpack(packed.raw).equals(plain.raw), encoding)
  }
  t.equal((await bytes('gzip, br, zstd')).encoding, 'br', 'the first of ours')
  t.equal((await bytes('br', {}, '{ health { status } }')).encoding, undefined, 'below the threshold')
  t.equal((await bytes('br', { 'x-no-compression': '1' })).encoding, undefined, 'opt-out')
  // Padded by aliases over the threshold, so that only the credential keeps them plain.
  const wide = Array.from({ length: 8 }, (_, i) => `a${i}: expiresInSeconds`).join(' ')
  const fill = 'm: threatCounts { category count }'
  t.equal((await bytes('br', {}, `mutation { login(username: "admin", password: "${PASSWORD}") { accessToken refreshToken b: accessToken c: accessToken d: refreshToken ${wide} } }`)).encoding, undefined, 'login')
  t.equal((await bytes('br', {}, `mutation { refreshToken(refreshToken: "${refreshToken}") { accessToken b: accessToken c: accessToken refreshToken ${wide} } }`)).encoding, undefined, 'refreshToken')
  t.equal((await bytes('br', {}, `mutation { createApiKey(name: "${'n'.repeat(60)}", scopes: ["read"]) { key ${Array.from({ length: 12 }, (_, i) => `k${i}: key`).join(' ')} apiKey { id } } }`)).encoding, undefined, 'createApiKey')
  t.equal((await bytes('br', {}, `{ ${fill} ${LARGE.slice(1)}`)).encoding, 'br', 'and what holds none is packed')
  t.ok(admin)
})
