import t from 'tap'
import { ClientCounts, MessageBudget, SOCKET } from '../../../src/transports/websocket/bounds.ts'
import { asksForSocket, handshakeFault } from '../../../src/transports/websocket/handshake.ts'
import { credentialOf, readMessage } from '../../../src/transports/websocket/messages.ts'

t.test('messages of the protocol are read, everything else is null', (t) => {
  const read = (message: unknown): unknown => readMessage(JSON.stringify(message))
  t.same(read({ type: 'connection_init' }), { type: 'connection_init', payload: {} })
  t.same(read({ type: 'ping', payload: { a: 1 } }), { type: 'ping' })
  t.same(read({ type: 'complete', id: 'a' }), { type: 'complete', id: 'a' })
  t.same(read({ type: 'subscribe', id: 'a', payload: { query: '{ a }', operationName: '' } }), { type: 'subscribe', id: 'a', payload: { query: '{ a }', variables: null, operationName: null, extensions: null } })
  const bad: unknown[] = [
    null, 1, 'x', [], {}, { type: 'start', id: '1', payload: { query: '{ a }' } }, { type: 'next', id: '1', payload: {} },
    { type: 'connection_init', payload: 'x' }, { type: 'connection_init', payload: [] }, { type: 'ping', payload: 1 },
    { type: 'complete' }, { type: 'complete', id: 1 }, { type: 'complete', id: '' }, { type: 'complete', id: 'x'.repeat(SOCKET.operationIdCharacters + 1) },
    { type: 'subscribe', payload: { query: '{ a }' } }, { type: 'subscribe', id: '1' }, { type: 'subscribe', id: '1', payload: {} },
    { type: 'subscribe', id: '1', payload: { query: '' } }, { type: 'subscribe', id: '1', payload: { query: { kind: 'Document', definitions: [] } } },
    { type: 'subscribe', id: '1', payload: { query: '{ a }', variables: [] } }, { type: 'subscribe', id: '1', payload: { query: '{ a }', extensions: 1 } },
    { type: 'subscribe', id: '1', payload: { query: '{ a }', operationName: 1 } }
  ]
  for (const message of bad) t.equal(read(message), null, JSON.stringify(message))
  t.equal(readMessage('{'), null)
  t.equal(readMessage(''), null)
  t.end()
})

t.test('of an init only a credential is taken, once', (t) => {
  t.same(credentialOf({ Authorization: 'Bearer x', 'x-forwarded-for': '203.0.113.1', headers: { 'x-api-key': 'y' } }), { authorization: 'Bearer x' })
  t.same(credentialOf({ token: 'x' }), { authorization: 'Bearer x' })
  t.same(credentialOf({ 'X-API-Key': 'k' }), { 'x-api-key': 'k' })
  t.equal(credentialOf({ token: 'x', authorization: 'Bearer y' }), 'malformed')
  t.equal(credentialOf({ authorization: ['Bearer y'] }), 'malformed')
  t.end()
})

t.test('only a GET for a WebSocket at /graphql leaves HTTP', (t) => {
  const headers = { upgrade: 'WebSocket', connection: 'Upgrade' }
  t.equal(asksForSocket({ method: 'GET', url: '/graphql', headers }), true)
  t.equal(asksForSocket({ method: 'GET', url: '/graphql?a=1', headers }), true)
  t.equal(asksForSocket({ method: 'POST', url: '/graphql', headers }), false)
  t.equal(asksForSocket({ method: 'GET', url: '/graphql2', headers }), false)
  t.equal(asksForSocket({ method: 'GET', url: '/graphql', headers: { ...headers, upgrade: 'h2c' } }), false)
  t.equal(asksForSocket({ method: 'GET', url: '/graphql', headers: { ...headers, 'content-length': '5' } }), false)
  t.equal(asksForSocket({ method: 'GET', url: '/graphql', headers: { ...headers, 'transfer-encoding': 'chunked' } }), false)
  t.end()
})

t.test('a handshake shows version, key, protocol and an origin that is ours', (t) => {
  const good = { host: 'api.example:4000', 'sec-websocket-version': '13', 'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==', 'sec-websocket-protocol': 'graphql-ws, graphql-transport-ws' }
  const fault = (headers: object): string | null => handshakeFault({ ...good, ...headers }, ['https://app.example'])?.code ?? null
  t.equal(fault({}), null)
  t.equal(fault({ origin: 'https://app.example' }), null)
  t.equal(fault({ origin: 'https://API.example:4000' }), null)
  for (const origin of ['https://evil.example', 'https://api.example', 'null', 'https://app.example.evil', 'http://app.example', '']) t.equal(fault({ origin }), 'NEKO_ERR_FORBIDDEN', origin)
  for (const wrong of [{ 'sec-websocket-version': '8' }, { 'sec-websocket-key': 'short' }, { 'sec-websocket-protocol': undefined }, { 'sec-websocket-protocol': 'graphql-ws' }, { 'sec-websocket-protocol': 'graphql-transport-ws, graphql-transport-ws' }]) t.equal(fault(wrong), 'NEKO_ERR_INPUT_INVALID', JSON.stringify(wrong))
  t.end()
})

t.test('a thousand messages at once, then a hundred a second', (t) => {
  const budget = new MessageBudget(0)
  let taken = 0
  while (budget.take(0)) taken++
  t.equal(taken, 1000)
  t.equal(budget.take(5), false)
  t.equal(budget.take(20), true)
  t.equal(budget.take(20), true)
  t.equal(budget.take(20), false)
  t.end()
})

t.test('sockets are counted per client and forgotten with the last', (t) => {
  const counts = new ClientCounts()
  t.equal(counts.add('a', 2), true)
  t.equal(counts.add('a', 2), true)
  t.equal(counts.add('a', 2), false)
  counts.remove('a')
  t.equal(counts.add('a', 2), true)
  counts.remove('a')
  counts.remove('a')
  t.equal(counts.size, 0)
  t.end()
})
