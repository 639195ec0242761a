import t from 'tap'
import { asAdmin, createTestClient, PASSWORD, type Reply } from '../../e2e/client.ts'
import { sendRaw } from '../../raw-socket.ts'
import { openApp } from '../../transaction/app.ts'

/** How refusals look to whoever sends odd things: always ours in code, shape and type, with a request id and a receipt. */
const JSON_TYPE = { 'content-type': 'application/json' }
const shape = ({ json }: Reply): string => {
  const body = json as { error?: { code: string }, errors?: Array<{ extensions: { code: string } }> }
  return body.error === undefined ? `errors ${body.errors?.[0]?.extensions.code}` : `error ${body.error.code}`
}

t.test('odd methods, addresses and bodies are refused in the shape of their route', async (t) => {
  const server = await openApp(t, { ADMIN_PASSWORD: PASSWORD, ENFORCEMENT: 'shadow', LOG_LEVEL: 'warn' })
  const client = createTestClient(t, server)
  const admin = await asAdmin(client)
  const tried: Array<[expected: string, answer: Promise<Reply>]> = [
    ['405 errors NEKO_ERR_METHOD_INVALID', client.ask('/graphql', { method: 'PUT', headers: JSON_TYPE, body: '{}' })],
    ['405 errors NEKO_ERR_METHOD_INVALID', client.ask('/graphql?query=x', { method: 'PROPFIND' })],
    ['405 error NEKO_ERR_METHOD_INVALID', client.ask('/health', { method: 'PATCH' })],
    ['405 error NEKO_ERR_METHOD_INVALID', client.ask('/v1/assess')],
    ['404 error NEKO_ERR_NOT_FOUND', client.ask('/graphql/')],
    ['400 error NEKO_ERR_URL_INVALID', client.ask('/%zz')],
    ['400 error NEKO_ERR_BODY_INVALID', client.ask('/nothing', { method: 'OPTIONS', headers: JSON_TYPE })],
    ['415 error NEKO_ERR_MEDIA_UNSUPPORTED', admin.ask('/v1/assess', { method: 'POST', headers: { 'content-type': 'text/plain' }, body: '{}' })],
    ['400 error NEKO_ERR_INPUT_INVALID', admin.ask('/v1/assess?more=1', { method: 'POST', headers: JSON_TYPE, body: '{"requests":[{"method":"GET","url":"/"}]}' })],
    ['400 error NEKO_ERR_INPUT_INVALID', admin.ask('/v1/assess', { method: 'POST', headers: JSON_TYPE, body: '{"requests":[{"method":"GET","url":"/"}],"more":1}' })],
    ['400 error NEKO_ERR_INPUT_INVALID', admin.ask('/v1/assess', { method: 'POST', headers: JSON_TYPE, body: JSON.stringify({ requests: [{ method: 'GET', url: '/', headers: { ['x'.repeat(5000)]: 1 } }] }) })]
  ]
  for (const [expected, asked] of tried) {
    const answer = await asked
    t.equal(`${answer.status} ${shape(answer)}`, expected, answer.text.slice(0, 200))
    t.match(answer.headers, { 'x-request-id': /./, 'x-neko-assessment': /^as_/, 'content-type': 'application/json; charset=utf-8' })
    t.ok(answer.text.length < 1000)
  }
})

t.test('what Node would refuse by itself goes through the gate: an odd expectation is passed over, a missing host is refused with a receipt', async (t) => {
  const server = await openApp(t, { ENFORCEMENT: 'shadow', LOG_LEVEL: 'warn' })
  const post = (headers: string): string => `POST /nothing HTTP/1.1\r\n${headers}Content-Length: 1\r\nConnection: close\r\n\r\nx`
  const odd = await sendRaw(server.port, [post('Host: neko\r\nExpect: banana\r\n')])
  t.same(odd.statuses, [404])
  t.match(odd.text, /x-request-id: \S+\r\n[^]*x-neko-assessment: as_/)
  const homeless = await sendRaw(server.port, [post('')])
  t.same(homeless.statuses, [400])
  t.match(homeless.text, /x-neko-assessment: as_[^]*NEKO_ERR_URL_INVALID/)
  t.same((await sendRaw(server.port, ['GET /health/live HTTP/1.0\r\n\r\n'])).statuses, [200], 'HTTP/1.0 knows no host')
})

t.test('who asks for GraphQL\'s own media type gets refusals in it', async (t) => {
  const server = await openApp(t, { LOG_LEVEL: 'warn' })
  const client = createTestClient(t, server)
  const refused = async (headers: Record<string, string>, body: string): Promise<unknown[]> => {
    const answer = await client.ask('/graphql', { method: 'POST', headers: { ...JSON_TYPE, ...headers }, body })
    return [answer.status, answer.headers['content-type'], shape(answer)]
  }
  const OWN = 'application/graphql-response+json; charset=utf-8'
  const accept = 'application/graphql-response+json, application/json;q=0.9'
  t.same(await refused({ accept }, '{'), [400, OWN, 'errors NEKO_ERR_BODY_INVALID'])
  t.same(await refused({ accept, authorization: 'Bearer none' }, '{"query":"{ health { status } }"}'), [401, OWN, 'errors NEKO_ERR_UNAUTHENTICATED'])
  t.same(await refused({ accept }, 'x'.repeat(70_000)), [413, OWN, 'errors NEKO_ERR_BODY_TOO_LARGE'])
  t.same(await refused({ accept: 'application/json' }, '{'), [400, 'application/json; charset=utf-8', 'errors NEKO_ERR_BODY_INVALID'])
  t.equal((await client.ask('/nothing', { headers: { accept } })).headers['content-type'], 'application/json; charset=utf-8')
})
