import t from 'tap'
import { startServer } from '../../server.ts'
import { connect, eventually, handshake, login, metric, PEOPLE, post } from './client.ts'
import { showFigure } from '../../bar.ts'

const DECIDE = 'mutation ($value: String!, $scope: DecisionScope = IP) { addDecision(scope: $scope, value: $value, action: BLOCK, ttlSeconds: 60, reason: "test") { id } }'
const HOSTILE = "1' UNION SELECT username, password FROM users WHERE '1'='1"

t.test('a socket at /graphql', async (t) => {
  const server = await startServer(t, { env: { ...PEOPLE, TRUST_PROXY: '127.0.0.0/8', CORS_ORIGIN: 'https://app.example' } })
  const admin = await login(server)

  await t.test('upgrades pass the gate, and refusals are answers like any other', async (t) => {
    const taken = await handshake(server)
    t.equal(taken.status, 101)
    t.match(taken.head, /^x-request-id: \S+\r$/m)
    t.match(taken.head, /^x-neko-assessment: as_\S+/m)
    t.notMatch(taken.head, /sec-websocket-extensions/i, 'no compression')
    const foreign = await handshake(server, { headers: { origin: 'https://evil.example' } })
    t.equal(foreign.status, 403)
    t.match(JSON.parse(foreign.body), { errors: [{ extensions: { code: 'NEKO_ERR_FORBIDDEN' } }] })
    t.match(foreign.head, /x-neko-assessment: as_/)
    t.match(foreign.head, /connection: close/i)
    t.equal((await handshake(server, { headers: { origin: 'https://app.example' } })).status, 101)
    t.equal((await handshake(server, { headers: { origin: `http://127.0.0.1:${server.port}` } })).status, 101)
    t.equal((await handshake(server, { omit: ['sec-websocket-protocol'] })).status, 400)
    t.equal((await handshake(server, { headers: { 'sec-websocket-version': '8' } })).status, 400)
    t.equal((await handshake(server, { headers: { authorization: 'Bearer none' } })).status, 401)
    t.equal((await handshake(server, { path: '/' })).status, 404, 'an upgrade elsewhere is an ordinary request')
    t.equal((await handshake(server, { path: '/graphql', headers: { upgrade: 'h2c' } })).status, 400, 'so is another upgrade')
  })

  await t.test('a blocked address gets no socket, and the sockets it has are closed with 4403', async (t) => {
    const headers = { 'x-forwarded-for': '203.0.113.50' }
    const peer = await (await connect(t, server, { headers })).init()
    const other = await (await connect(t, server, { headers: { 'x-forwarded-for': '203.0.113.51' } })).init()
    const startedMs = performance.now()
    t.match(await post(server, DECIDE, { value: '203.0.113.50' }, admin), { data: { addDecision: { id: String } } })
    t.match(await peer.closed, { code: 4403 })
    const tookMs = performance.now() - startedMs
    showFigure(t, 'a standing block closed its socket after', tookMs, 1000)
    t.match(await other.ask('{ stats { requests } }'), { type: 'next' })
    const refused = await handshake(server, { headers })
    t.equal(refused.status, 403)
    t.match(JSON.parse(refused.body), { errors: [{ extensions: { code: 'NEKO_ERR_BLOCKED' } }] })
  })

  await t.test('queries, mutations and subscriptions run, and errors have our codes', async (t) => {
    const peer = await (await connect(t, server)).init(admin)
    t.match(await peer.ask('{ playbooks { name } }'), { type: 'next', payload: { data: { playbooks: [{ name: 'CRITICAL_THREAT_RESPONSE' }] } } })
    await peer.receive({ type: 'complete' })
    peer.subscribe('live', 'subscription { decisionChanged { value action } }')
    t.match(await peer.ask(DECIDE, { value: '198.51.100.7' }), { type: 'next', payload: { data: { addDecision: { id: String } } } })
    t.match(await peer.receive({ id: 'live' }), { type: 'next', payload: { data: { decisionChanged: { value: '198.51.100.7', action: 'BLOCK' } } } })
    peer.send({ id: 'live', type: 'complete' })
    await peer.ask(DECIDE, { value: '198.51.100.8' })
    // Another subscription hears of a third decision, after which nothing comes of the second.
    peer.subscribe('other', 'subscription { decisionChanged { value } }')
    await peer.ask(DECIDE, { value: '198.51.100.9' })
    await peer.receive((message) => message.id === 'other' && message.payload?.data?.decisionChanged.value === '198.51.100.9')
    t.same(peer.unread().filter(({ id }) => id === 'live'), [], 'silence')
    peer.send({ type: 'ping' })
    t.same(await peer.receive({ type: 'pong' }), { type: 'pong' })
    const codes: Array<[string, object | undefined, string]> = [
      ['{ nothingLikeThis }', undefined, 'NEKO_ERR_INPUT_INVALID'],
      ['subscription { nothingLikeThis }', undefined, 'NEKO_ERR_INPUT_INVALID'],
      ['subscription { decisionChanged { id } incidentChanged { id } }', undefined, 'NEKO_ERR_INPUT_INVALID'],
      ['subscription A { decisionChanged { id } } subscription B { decisionChanged { id } }', undefined, 'NEKO_ERR_INPUT_INVALID'],
      ['{"kind":"Document","definitions":[]}', undefined, 'NEKO_ERR_INPUT_INVALID'],
      ['{ threatActors(first: 1000000000) { nodes { id } } }', undefined, 'NEKO_ERR_QUERY_TOO_COSTLY']
    ]
    for (const [query, variables, code] of codes) {
      const answer = await peer.ask(query, variables)
      t.match([answer.type, answer.payload?.[0]?.extensions?.code], ['error', code], query.slice(0, 80))
    }
  })

  await t.test('guards stand in front of subscriptions, and anonymous callers see what is public', async (t) => {
    const peer = await (await connect(t, server)).init()
    t.match(await peer.ask('{ stats { requests } }'), { type: 'next', payload: { data: { stats: { requests: Number } } } })
    for (const field of ['decisionChanged', 'incidentChanged', 'assessmentAdded']) {
      t.match(await peer.ask(`subscription { ${field} { id } }`), { type: 'error', payload: [{ extensions: { code: 'NEKO_ERR_UNAUTHENTICATED' } }] }, field)
    }
    t.match(await peer.ask('{ threats { nodes { id } } }'), { type: 'next', payload: { errors: [{ extensions: { code: 'NEKO_ERR_UNAUTHENTICATED' } }] } })
  })

  await t.test('hostile values are judged, leave receipts, and open an incident', async (t) => {
    const watcher = await (await connect(t, server)).init(admin)
    watcher.subscribe('receipts', 'subscription { assessmentAdded(minScore: 75) { client score action factors { name contribution } } }')
    watcher.subscribe('incidents', 'subscription { incidentChanged { attacker playbook } }')
    await watcher.ask('{ stats { requests } }')
    const peer = await (await connect(t, server, { headers: { 'x-forwarded-for': '203.0.113.60' } })).init()
    const answer = await peer.ask('query ($a: String) { threats(after: $a) { nodes { id } } }', { a: HOSTILE })
    t.match(answer, { type: 'error', payload: [{ extensions: { code: 'NEKO_ERR_BLOCKED' } }] })
    t.match(await watcher.receive({ id: 'receipts' }), { payload: { data: { assessmentAdded: { client: 'ip:203.0.113.60', action: 'BLOCK' } } } })
    t.match(await watcher.receive({ id: 'incidents' }), { payload: { data: { incidentChanged: { attacker: /203\.0\.113\.60/ } } } })
    t.match(await peer.closed, { code: 4403 }, 'and the playbook\'s standing block closes the socket')
  })

  await t.test('what an authorised caller hands in to be assessed is not held against them', async (t) => {
    const peer = await (await connect(t, server)).init(admin)
    const answer = await peer.ask('mutation ($requests: [AssessRequest!]!) { assess(requests: $requests) { action } }', { requests: [{ method: 'POST', url: '/', body: HOSTILE }, { method: 'GET', url: `/?q=${encodeURIComponent(HOSTILE)}` }] })
    t.match(answer, { type: 'next', payload: { data: { assess: [{ action: String }, { action: 'BLOCK' }] } } })
  })

  await t.test('a decoy field answers its bait', async (t) => {
    const peer = await (await connect(t, server, { headers: { 'x-forwarded-for': '203.0.113.61' } })).init()
    t.match(await peer.ask('{ internalTokens { value } }'), { type: 'next', payload: { data: { internalTokens: [] } } })
  })

  await t.test('credentials come from the init or from the upgrade, and must hold', async (t) => {
    const bad = await connect(t, server)
    bad.send({ type: 'connection_init', payload: { authorization: 'Bearer none' } })
    t.match(await bad.closed, { code: 4403 })
    const two = await connect(t, server)
    two.send({ type: 'connection_init', payload: { ...admin, token: 'x' } })
    t.match(await two.closed, { code: 4400 })
    const byHeader = await (await connect(t, server, { headers: admin })).init()
    t.match(await byHeader.ask('{ threats { nodes { id } } }'), { payload: { data: { threats: {} } } })
    const byToken = await (await connect(t, server)).init({ token: admin.authorization.slice(7) })
    t.match(await byToken.ask('{ threats { nodes { id } } }'), { payload: { data: { threats: {} } } })
  })

  await t.test('a revoked key and an ended session close their sockets with 4403', async (t) => {
    const { data: { createApiKey: { key, apiKey } } } = await post(server, 'mutation { createApiKey(name: "socket", scopes: ["read"]) { key apiKey { id } } }', {}, admin)
    const byKey = await (await connect(t, server)).init({ 'x-api-key': key })
    t.match(await byKey.ask('{ threats { nodes { id } } }'), { payload: { data: { threats: {} } } })
    let startedMs = performance.now()
    await post(server, 'mutation ($id: ID!) { revokeApiKey(id: $id) { id } }', { id: apiKey.id }, admin)
    t.match(await byKey.closed, { code: 4403 })
    showFigure(t, 'a revoked key closed its socket after', performance.now() - startedMs, 1000)
    const mine = await login(server)
    const bySession = await (await connect(t, server)).init(mine)
    startedMs = performance.now()
    await post(server, 'mutation { logout }', {}, mine)
    t.match(await bySession.closed, { code: 4403 })
    const tookMs = performance.now() - startedMs
    showFigure(t, 'logout closed its socket after', tookMs, 1000)
  })

  await t.test('sockets say goodbye when the server drains', async (t) => {
    const peer = await (await connect(t, server)).init(admin)
    peer.subscribe('live', 'subscription { decisionChanged { id } }')
    t.ok(await eventually(async () => await metric(server, 'neko_websockets') >= 1, 20_000))
    const stopped = server.stop()
    t.match(await peer.closed, { code: 1001 })
    t.equal(await stopped, 0)
  })
})

t.test('limits hold over sockets: operations, and sockets per client', async (t) => {
  const server = await startServer(t, { env: { ...PEOPLE, RATE_LIMIT_STANDARD: '50/60/0', ENFORCEMENT: 'shadow' } })
  const peers = []
  for (let i = 0; i < 10; i++) peers.push(await (await connect(t, server, { localAddress: '127.0.0.2' })).init())
  await t.rejects(connect(t, server, { localAddress: '127.0.0.2' }), { message: /429/ }, 'a fifth of 50 requests')
  peers[0]!.ws.close()
  await peers[0]!.closed
  t.ok(await eventually(async () => await metric(server, 'neko_websockets') === 9, 20_000))
  const again = await (await connect(t, server, { localAddress: '127.0.0.2' })).init()
  const codes: unknown[] = []
  for (let i = 0; i < 40; i++) codes.push((await again.ask('{ stats { requests } }')).payload?.[0]?.extensions?.code ?? 'ok')
  t.equal(codes.filter((code) => code === 'ok').length, 38, 'after twelve upgrades')
  t.equal(codes.at(-1), 'NEKO_ERR_LIMIT_EXCEEDED')
  await t.rejects(connect(t, server, { localAddress: '127.0.0.2' }), { message: /429/ })
})

t.test('a token that expires closes its socket with 4403', async (t) => {
  const server = await startServer(t, { env: { ...PEOPLE, JWT_EXPIRATION: '2s' } })
  const mine = await login(server)
  const { exp } = JSON.parse(Buffer.from(mine.authorization.split('.')[1] as string, 'base64url').toString()) as { exp: number }
  const peer = await (await connect(t, server)).init(mine)
  t.match(await peer.closed, { code: 4403 })
  const lateMs = Date.now() - exp * 1000
  t.ok(lateMs >= 0, `${lateMs} ms after it ran out, not before`)
  showFigure(t, 'its socket was closed after', lateMs, 1000)
})
