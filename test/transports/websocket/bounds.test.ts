import t from 'tap'
import { ClientCounts, MessageBudget } from '../../../src/transports/websocket/bounds.ts'
import { asksForSocket, handshakeFault } from '../../../src/transports/websocket/handshake.ts'
import { credentialOf } from '../../../src/transports/websocket/credential.ts'

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
