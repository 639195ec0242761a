import { readFileSync } from 'node:fs'
import t from 'tap'
import { getIntrospectionQuery } from 'graphql'
import { startServer } from '../../server.ts'
import { showFigure } from '../../bar.ts'
import { openInspector } from '../../inspector.ts'
import { connect, eventually, login, metric, PEOPLE, type Peer } from './client.ts'

/**
 * What a hostile client may do with a WebSocket. The server runs in shadow, so that it is the transport that ends
 * each attack and not the score.
 */
const SHADOW = { ...PEOPLE, ENFORCEMENT: 'shadow' }
const LIVE = 'subscription { decisionChanged { id } }'

/** Whoever is not cut by then is not cut. */
const STILL_OPEN_MS = 20_000
/** Ends a test that would hang. */
const HANGS_MS = 20_000

/** Sockets that idle, and those that are opened before what they cost is measured. */
const IDLE = 2_000
const WARM = 100

/** Two packets could be so far apart that the first is answered before the second comes. */
function inOnePacket (peer: Peer, send: () => void): void {
  const { _socket: socket } = peer.ws as unknown as { _socket: { cork (): void, uncork (): void } }
  socket.cork()
  send()
  socket.uncork()
}

const rssKb = (pid: number): number => Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1])

t.test('each attack closes its socket with its code', async (t) => {
  const server = await startServer(t, { env: { ...SHADOW, NODE_OPTIONS: '--inspect=127.0.0.1:0' } })
  const admin = await login(server)
  const inspector = await openInspector(server)
  t.teardown(() => inspector.close())
  const timers = async (): Promise<unknown> => await inspector.evaluate('process.getActiveResourcesInfo().filter((name) => name === "Timeout" || name === "Immediate").length')
  await (await connect(t, server)).init().then((peer) => { peer.ws.close(); return peer.closed })
  const timersBefore = await timers()
  const heapBefore = await inspector.heapBytes()

  const attacks: Array<[string, number, (peer: Peer) => unknown]> = [
    ['no init', 4408, () => {}],
    ['an init that never ends', 4408, (peer) => { for (let i = 0; i < 20; i++) setTimeout(() => peer.ws.ping(), i * 200) }],
    ['a second init', 4429, async (peer) => { await peer.init(); peer.send({ type: 'connection_init' }) }],
    ['two inits at once', 4429, (peer) => { peer.send({ type: 'connection_init' }); peer.send({ type: 'connection_init' }) }],
    ['subscribe before init', 4401, (peer) => peer.subscribe('1', LIVE)],
    ['subscribe before the ack', 4401, (peer) => inOnePacket(peer, () => { peer.send({ type: 'connection_init', payload: admin }); peer.subscribe('1', LIVE) })],
    ['a duplicate id', 4409, async (peer) => { await peer.init(admin); peer.subscribe('1', LIVE); peer.subscribe('1', LIVE) }],
    ['101 subscriptions', 4429, async (peer) => { await peer.init(admin); for (let i = 0; i < 101; i++) peer.subscribe(String(i), LIVE) }],
    ['1,000 messages a second', 4429, async (peer) => { await peer.init(); await flood(peer, () => peer.send({ type: 'ping' })) }],
    ['1,000 control frames a second', 4429, async (peer) => { await peer.init(); await flood(peer, () => peer.ws.ping()) }],
    ['an AST in place of a text', 4400, async (peer) => { await peer.init(); peer.send({ id: '1', type: 'subscribe', payload: { query: { kind: 'Document', definitions: [] } } }) }],
    ['no JSON', 4400, (peer) => peer.ws.send('{"type":')],
    ['a list', 4400, (peer) => peer.send([{ type: 'connection_init' }])],
    ['60,000 brackets', 4400, (peer) => peer.ws.send('['.repeat(60_000))],
    ['a binary message', 4400, (peer) => peer.ws.send(Buffer.from('{"type":"connection_init"}'), { binary: true })],
    ['an unknown type', 4400, (peer) => peer.send({ type: 'start' })],
    ['a huge frame', 1009, (peer) => peer.ws.send('x'.repeat(64 * 1024 + 1))],
    ['tiny fragments', 1008, (peer) => { for (let i = 0; i < 1000; i++) peer.ws.send('x', { fin: false }) }],
    ['a frame that breaks RFC 6455', 1002, (peer) => (peer.ws as unknown as { _socket: NodeJS.WritableStream })._socket.write(Buffer.from([0xff, 0x80, 0, 0, 0, 0]))],
    ['text that is no UTF-8', 1007, (peer) => peer.ws.send(Buffer.from([0xff, 0xfe]), { binary: false })]
  ]
  const slowest = { title: '', afterMs: 0 }
  const stillOpen = new Promise<{ code: number, afterMs: number }>((resolve) => { setTimeout(() => resolve({ code: 0, afterMs: STILL_OPEN_MS }), STILL_OPEN_MS).unref() })
  await Promise.all(attacks.map(async ([title, code, act]) => {
    const peer = await connect(t, server)
    await act(peer)
    const { code: closedWith, afterMs } = await Promise.race([peer.closed, stillOpen])
    t.equal(closedWith, code, title)
    if (afterMs > slowest.afterMs) Object.assign(slowest, { title, afterMs })
  }))
  showFigure(t, `the last to be closed: ${slowest.title}`, slowest.afterMs, 5000)

  const peer = await (await connect(t, server)).init(admin)
  const refusals: Array<[string, object | undefined, string]> = [
    ['subscription { nothingLikeThis }', undefined, 'NEKO_ERR_INPUT_INVALID'],
    ['subscription { decisionChanged { nothingLikeThis } }', undefined, 'NEKO_ERR_INPUT_INVALID'],
    [`subscription { decisionChanged { ${'a { '.repeat(9)} b ${'} '.repeat(9)} } }`, undefined, 'NEKO_ERR_QUERY_TOO_DEEP'],
    [`subscription { ${Array.from({ length: 31 }, (_, i) => `a${i}: decisionChanged { id }`).join(' ')} }`, undefined, 'NEKO_ERR_QUERY_TOO_LARGE'],
    ['subscription { decisionChanged { ...F } } fragment F on Decision { ...F }', undefined, 'NEKO_ERR_INPUT_INVALID'],
    ['query ($a: Int) { stats { requests } }', { a: { $where: '1' } }, 'NEKO_ERR_KEY_FORBIDDEN'],
    ['query ($a: Int) { stats { requests } }', { a: JSON.parse('['.repeat(20_000) + ']'.repeat(20_000)) as object }, 'NEKO_ERR_BODY_INVALID']
  ]
  for (const [query, variables, code] of refusals) {
    const { type, payload } = await peer.ask(query, variables)
    t.same([type, payload[0].extensions.code], ['error', code], query.slice(0, 60))
  }
  t.match(await peer.ask('{ stats { requests } }'), { type: 'next' }, 'and the socket goes on')
  peer.ws.close()
  await peer.closed

  t.ok(await eventually(async () => await metric(server, 'neko_websockets') === 0, HANGS_MS), 'no socket is left')
  t.ok(await eventually(async () => (await timers() as number) <= (timersBefore as number), HANGS_MS), 'timers are back to baseline')
  const grownKb = Math.round((await inspector.heapBytes() - heapBefore) / 1024)
  t.ok(grownKb < 4096, `the heap holds ${grownKb} kB more`)
  t.comment(`after ${attacks.length} attacks: timers as before, heap ${grownKb} kB more`)
  t.notMatch(server.output(), /unexpected error|"level":(50|60)/, 'nothing was unexpected')
})

t.test('what an init holds is never a header, and a slow reader is cut at 1 MiB', async (t) => {
  const server = await startServer(t, { env: { ...SHADOW, TRUST_PROXY: '127.0.0.0/8' } })
  const admin = await login(server)
  const watcher = await (await connect(t, server)).init(admin)
  watcher.subscribe('receipts', 'subscription { assessmentAdded(minScore: 0) { id client factors { evidence } } }')
  await watcher.ask('{ playbooks { name } }')
  const injected = { 'x-forwarded-for': '203.0.113.77', 'X-Real-IP': '203.0.113.77', 'user-agent': 'injected-agent', headers: { 'x-forwarded-for': '203.0.113.77', 'x-api-key': 'injected' }, cookie: 'injected=1', __proto__: { admin: true } }
  const peer = await (await connect(t, server, { localAddress: '127.0.0.9' })).init(injected)
  t.match(await peer.ask('{ stats { requests } }'), { type: 'next' })
  const receipt = await watcher.receive((message) => message.id === 'receipts' && message.payload?.data.assessmentAdded.client === 'ip:127.0.0.9' && message.payload.data.assessmentAdded.id.length > 20)
  t.notMatch(JSON.stringify(receipt), /injected|203\.0\.113/)
  t.match(await peer.ask('{ me { username } }'), { payload: { errors: [{ extensions: { code: 'NEKO_ERR_UNAUTHENTICATED' } }] } })

  // The same answers to somebody who reads: what they cost to make is not what waits.
  for (let i = 0; i < 60; i++) await watcher.ask(getIntrospectionQuery())
  const reader = await (await connect(t, server)).init(admin)
  const before = rssKb(server.pid)
  const socket = (reader.ws as unknown as { _socket: { pause (): void, resume (): void } })._socket
  socket.pause()
  let most = 0
  let asked = 0
  const cut = await eventually(async () => {
    for (let i = 0; i < 5; i++) reader.subscribe(String(asked++), getIntrospectionQuery())
    most = Math.max(most, rssKb(server.pid) - before)
    return await metric(server, 'neko_websockets') === 2
  }, HANGS_MS)
  t.ok(cut, 'the slow reader is gone')
  t.ok(most < 32 * 1024, `${most} kB`)
  socket.resume()
  t.equal((await reader.closed).code, 1006, 'cut off, not asked to leave')
  t.comment(`a slow reader was cut after ${asked} large answers; memory rose by ${most} kB at most`)
})

t.test(`${IDLE} idle sockets cost at most 100 kB each`, async (t) => {
  const server = await startServer(t, { env: { ...SHADOW, LOG_LEVEL: 'error' } })
  const admin = await login(server)
  const peers: Peer[] = []
  const open = async (count: number): Promise<void> => {
    for (let i = 0; i < count; i += 50) {
      peers.push(...await Promise.all(Array.from({ length: 50 }, async (_, j) => await (await connect(t, server, { localAddress: `127.0.1.${1 + (peers.length + j) % 100}` })).init(admin))))
    }
  }
  await open(WARM)
  const before = rssKb(server.pid)
  await open(IDLE)
  const each = (rssKb(server.pid) - before) / IDLE
  t.equal(await metric(server, 'neko_websockets'), IDLE + WARM)
  t.ok(each <= 100, `${each.toFixed(1)} kB each`)
  t.comment(`${each.toFixed(1)} kB of RSS per idle socket at ${IDLE}`)
  t.match(await peers[0]!.ask('{ stats { requests } }'), { type: 'next' })
  t.match(await peers.at(-1)!.ask('{ stats { requests } }'), { type: 'next' })
  for (const peer of peers) peer.ws.close()
  t.ok(await eventually(async () => await metric(server, 'neko_websockets') === 0, HANGS_MS), 'all are gone')
})

t.test('subscriptions hear of what happens in other processes', async (t) => {
  const server = await startServer(t, { env: { ...PEOPLE, WORKERS: '2', TRUST_PROXY: '127.0.0.0/8' } })
  const admin = await login(server)
  const byProcess = new Map<string, Peer>()
  for (let i = 0; i < 50 && byProcess.size < 2; i++) {
    const peer = await connect(t, server)
    if (byProcess.has(peer.processId)) peer.ws.close()
    else byProcess.set(peer.processId, await peer.init(admin))
  }
  t.equal(byProcess.size, 2)
  const [here, there] = [...byProcess.values()] as [Peer, Peer]
  for (const field of ['decisionChanged { id value }', 'assessmentAdded(minScore: 75) { client action }', 'incidentChanged { attacker }']) here.subscribe(field.slice(0, 8), `subscription { ${field} }`)
  await here.ask('{ playbooks { name } }')

  let startedMs = performance.now()
  await there.ask('mutation { addDecision(scope: IP, value: "198.51.100.20", action: BLOCK, ttlSeconds: 60, reason: "test") { id } }')
  t.match(await here.receive({ id: 'decision' }), { payload: { data: { decisionChanged: { value: '198.51.100.20' } } } })
  const decisionMs = performance.now() - startedMs

  let attacker = await connect(t, server, { headers: { 'x-forwarded-for': '203.0.113.90' } })
  for (let i = 0; i < 50 && attacker.processId !== there.processId; i++) attacker = await connect(t, server, { headers: { 'x-forwarded-for': '203.0.113.90' } })
  await attacker.init()
  startedMs = performance.now()
  await attacker.ask('query ($a: String) { threats(after: $a) { nodes { id } } }', { a: "1' UNION SELECT username, password FROM users WHERE '1'='1" })
  t.match(await here.receive({ id: 'assessme' }), { payload: { data: { assessmentAdded: { client: 'ip:203.0.113.90', action: 'BLOCK' } } } })
  const receiptMs = performance.now() - startedMs
  t.match(await here.receive({ id: 'incident' }), { payload: { data: { incidentChanged: { attacker: /203\.0\.113\.90/ } } } })
  const incidentMs = performance.now() - startedMs
  for (const [what, ms] of Object.entries({ decision: decisionMs, receipt: receiptMs, incident: incidentMs })) showFigure(t, `${what} in the other process`, ms, 1000)
})

/** Two thousand, as fast as they can be said, or until the socket is closed: pauses of a busy machine would make them fewer a second. */
async function flood (peer: Peer, say: () => void): Promise<void> {
  for (let i = 0; i < 20 && peer.ws.readyState === peer.ws.OPEN; i++) {
    for (let j = 0; j < 100 && peer.ws.readyState === peer.ws.OPEN; j++) say()
    await new Promise((resolve) => setImmediate(resolve))
  }
}
