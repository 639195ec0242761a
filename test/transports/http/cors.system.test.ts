import t from 'tap'
import { createTestClient, type Reply } from '../../e2e/client.ts'
import { openApp } from '../../transaction/app.ts'

/** A browser shows its page a bare network error for every answer without these headers: what refuses needs them most. */
const OURS = 'https://a.example'
const ATTACK = '/a?id=1%27%20UNION%20SELECT%20name,pass%20FROM%20users--'

const cors = ({ headers }: Reply): object => ({
  origin: headers['access-control-allow-origin'],
  credentials: headers['access-control-allow-credentials'],
  exposes: /Retry-After.*x-neko-assessment/.test(String(headers['access-control-expose-headers'])),
  vary: /\borigin\b/i.test(String(headers.vary))
})
const READABLE = { origin: OURS, credentials: 'true', exposes: true, vary: true }
const UNREADABLE = { origin: undefined, credentials: undefined, exposes: false, vary: true }

t.test('what refuses a request is readable for a listed origin, and for no other', async (t) => {
  const server = await openApp(t, { CORS_ORIGIN: OURS, RATE_LIMIT_STANDARD: '20/60/60', LOG_LEVEL: 'warn' })
  const client = createTestClient(t, server)
  const refusals: Array<[status: number, send: (origin: string) => Promise<Reply>]> = [
    [401, async (origin) => await client.graphql('{ me { username } }', {}, { origin, authorization: 'Bearer none' })],
    [403, async (origin) => await client.ask(ATTACK, { headers: { origin } })],
    [404, async (origin) => await client.ask('/nothing', { headers: { origin } })],
    [413, async (origin) => await client.ask('/graphql', { method: 'POST', headers: { origin, 'content-type': 'application/json' }, body: 'x'.repeat(70_000) })],
    [415, async (origin) => await client.ask('/graphql', { method: 'POST', headers: { origin, 'content-type': 'text/plain' }, body: '{}' })],
    [400, async (origin) => await client.ask('/%zz', { headers: { origin } })]
  ]
  for (const [status, send] of refusals) {
    const [ours, other] = [await send(OURS), await send('https://a.example.evil.example')]
    t.same([ours.status, cors(ours)], [status, READABLE], `${status} for a listed origin`)
    t.same([other.status, cors(other)], [status, UNREADABLE], `${status} for another origin`)
  }
  let last = await client.ask('/nothing', { headers: { origin: OURS } })
  for (let i = 0; last.status !== 429 && i < 20; i++) last = await client.ask('/nothing', { headers: { origin: OURS } })
  t.same([last.status, cors(last)], [429, READABLE])
  t.match(last.headers['retry-after'], /^\d+$/)
  t.same(cors(await client.ask('/nothing', { headers: { origin: 'null' } })), UNREADABLE)
})

t.test('preflights name methods and headers to a listed origin; other OPTIONS say what an address takes', async (t) => {
  const server = await openApp(t, { CORS_ORIGIN: OURS, LOG_LEVEL: 'warn' })
  const client = createTestClient(t, server)
  const options = async (path: string, headers: Record<string, string>): Promise<Reply> => await client.ask(path, { method: 'OPTIONS', headers })
  const asks = { 'access-control-request-method': 'POST', 'access-control-request-headers': 'content-type,x-api-key' }
  const ours = await options('/graphql', { origin: OURS, ...asks })
  t.same([ours.status, cors(ours)], [204, READABLE])
  t.match(ours.headers, { 'access-control-allow-methods': 'GET, POST, PUT, DELETE, OPTIONS', 'access-control-allow-headers': 'Content-Type, Authorization, x-api-key', 'access-control-max-age': '600', 'x-neko-assessment': /^as_/ })
  const other = await options('/graphql', { origin: 'https://c.example', ...asks })
  t.same([other.status, cors(other), other.headers['access-control-allow-methods']], [204, UNREADABLE, undefined])
  for (const answer of [ours, other, await options('/graphql', { origin: 'null', ...asks }), await options('/nothing', { origin: '*', ...asks })]) t.notMatch(JSON.stringify(answer.headers), /"\*"/)
  const plain = await options('/v1/assess', {})
  t.same([plain.status, plain.headers.allow], [204, 'POST, OPTIONS'])
  t.equal((await options('/nothing', {})).status, 404)
})

t.test('a preflight of a listed origin is answered, whatever its address has done', async (t) => {
  const server = await openApp(t, { CORS_ORIGIN: OURS, RATE_LIMIT_STANDARD: '20/60/60', LOG_LEVEL: 'warn' })
  const client = createTestClient(t, server)
  const preflight = async (more: Record<string, string> = {}, body?: string): Promise<Reply> => await client.ask('/graphql', {
    method: 'OPTIONS',
    headers: { origin: OURS, 'access-control-request-method': 'POST', 'access-control-request-headers': 'authorization', ...more },
    body
  })
  const isOpen = async (name: string): Promise<void> => {
    const answer = await preflight()
    t.same([answer.status, cors(answer), answer.text], [204, READABLE, ''], name)
    t.match(answer.headers, { 'access-control-allow-methods': 'GET, POST, PUT, DELETE, OPTIONS', 'access-control-allow-headers': 'Content-Type, Authorization, x-api-key', 'access-control-max-age': '600', 'x-neko-assessment': /^as_/ }, name)
  }
  for (let i = 0; i < 30; i++) await isOpen('more than the limit has points')
  t.equal((await client.ask('/v1/nothing')).status, 429)
  await isOpen('of a limited address')
  const others: Array<[name: string, headers: Record<string, string>, body?: string]> = [
    ['a credential', { authorization: 'Bearer none' }],
    ['a body', { 'content-type': 'text/plain' }, 'id=1']
  ]
  for (const [name, headers, body] of others) t.equal((await preflight(headers, body)).status, 429, name)
  for (const origin of ['https://c.example', 'null']) {
    const answer = await preflight({ origin })
    t.same([cors(answer), answer.headers['access-control-allow-methods']], [UNREADABLE, undefined], origin)
  }
  t.equal((await client.ask('/v1/assess', { method: 'OPTIONS', headers: { origin: OURS } })).status, 429, 'no preflight')
  const blocked = await openApp(t, { CORS_ORIGIN: OURS, NEVER_BLOCK: '192.0.2.1', LOG_LEVEL: 'warn' })
  const attacker = createTestClient(t, blocked)
  for (let i = 0; i < 5; i++) await attacker.ask(ATTACK)
  t.equal((await attacker.ask('/')).status, 403)
  const answer = await attacker.ask('/graphql', { method: 'OPTIONS', headers: { origin: OURS, 'access-control-request-method': 'POST' } })
  t.same([answer.status, cors(answer)], [204, READABLE], 'of a blocked address')
})

t.test('an address of ours with another method is 405 and says which it takes', async (t) => {
  const server = await openApp(t, { LOG_LEVEL: 'warn' })
  const client = createTestClient(t, server)
  const answer = await client.ask('/v1/assess', { method: 'PUT' })
  t.same([answer.status, answer.headers.allow, (answer.json as { error: { code: string } }).error.code], [405, 'POST, OPTIONS', 'NEKO_ERR_METHOD_INVALID'])
  const decoy = await client.ask('/console/', { method: 'PUT' })
  t.same([decoy.headers.allow, decoy.status === 405], [undefined, false], 'a decoy is no address of ours')
})
