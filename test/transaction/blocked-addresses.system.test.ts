import { once } from 'node:events'
import { request, type IncomingMessage } from 'node:http'
import { Readable } from 'node:stream'
import t, { type Test } from 'tap'
import type { DecisionOrigin, OriginKind } from '../../src/decisions/shapes.ts'
import type { Principal } from '../../src/identity/shapes.ts'
import { openApp, spyOn, type TestApp } from './app.ts'
import { newAddress, newHolder, openDoors, receiptOf, type Door, type Holder } from './doors.ts'

/**
 * A block of an address against the people behind it: who shows a valid credential is judged by that, unless a person
 * decided about the address.
 */
const ORIGINS: ReadonlyArray<[OriginKind, { origin: string, originKind?: OriginKind }]> = [
  ['person', { origin: 'user:anna' }],
  ['person', { origin: 'key:decider' }],
  ['playbook', { origin: 'playbook:CRITICAL_THREAT_RESPONSE' }],
  ['playbook', { origin: 'key:bouncer', originKind: 'playbook' }],
  ['import', { origin: 'import:list' }],
  ['region', { origin: 'region:elsewhere' }]
]

t.test('a block that a rule made about an address holds for no valid credential, one by a person holds for all', async (t) => {
  const at = await openApp(t)
  const doors = openDoors(t, at).filter(({ authority }) => authority === 'caller')
  const decide = async (scope: 'IP' | 'RANGE' | 'KEY', value: string, action: 'BLOCK' | 'CHALLENGE', by = ORIGINS[0]![1]): Promise<void> => {
    await at.app.decisions.add({ scope, value, action, ttlSeconds: 600, reason: 'test' }, by)
  }
  const codeOf = async (door: Door, address: string, holder?: Holder): Promise<string | null> =>
    (await door.ask({ address, ...(holder === undefined ? {} : { holder }) })).code

  for (const door of doors) {
    for (const [kind, by] of ORIGINS) {
      for (const scope of ['IP', 'RANGE'] as const) {
        const address = newAddress()
        await decide(scope, scope === 'IP' ? address : `${address}/32`, 'BLOCK', by)
        const about = `${door.name}: ${scope} by ${by.origin}`
        t.equal(await codeOf(door, address), 'NEKO_ERR_BLOCKED', `${about}, a stranger`)
        const holder = await newHolder(at.app)
        t.equal(await codeOf(door, address, holder), kind === 'person' ? 'NEKO_ERR_BLOCKED' : null, `${about}, a key`)
        await decide('KEY', holder.principal.id, 'BLOCK')
        t.equal(await codeOf(door, address, holder), 'NEKO_ERR_BLOCKED', `${about}, a key that is blocked itself`)
      }
    }
    const address = newAddress()
    const holder = await newHolder(at.app)
    await decide('IP', address, 'CHALLENGE', ORIGINS[2]![1])
    t.equal((await receiptOf(door, await door.ask({ address }))).action, 'CHALLENGE', 'a quarantine marks a stranger')
    t.equal((await receiptOf(door, await door.ask({ address, holder }))).action, 'ALLOW', 'and nobody who is signed in')
    await decide('IP', address, 'CHALLENGE')
    t.equal((await receiptOf(door, await door.ask({ address, holder }))).action, 'CHALLENGE', 'unless a person says so')
  }
})

t.test('a credential that does not hold opens no blocked address', async (t) => {
  const at = await openApp(t)
  const http = openDoors(t, at)[0]!
  const { key, principal } = await newHolder(at.app)
  const bad = [`${key}x`, key.slice(0, -1), key.toUpperCase(), 'neko_', '', 'null']
  for (const [i, shown] of bad.entries()) {
    const address = newAddress()
    await at.app.decisions.add({ scope: 'IP', value: address, action: 'BLOCK', ttlSeconds: 600, reason: 'test' }, ORIGINS[2]![1])
    t.equal((await http.ask({ address, holder: { key: shown, principal } })).code, 'NEKO_ERR_BLOCKED', `bad key ${i}`)
  }
})

const LOGIN = 'mutation ($u: String!, $p: String!) { login(username: $u, password: $p) { accessToken refreshToken } }'
const REFRESH = 'mutation ($t: String!) { refreshToken(refreshToken: $t) { accessToken refreshToken } }'
const PASSWORD = 'a long pass phrase of the contract suite'
const BY_PLAYBOOK = { origin: 'playbook:CRITICAL_THREAT_RESPONSE' }

interface Sent { status: number, code: string | null, data: Record<string, Record<string, string>> | null, closes: boolean }

/** A request of the address, whose body is sent only when there is one: an answer without it was given unread. */
async function send (
  { port }: TestApp,
  { address, method = 'POST', path = '/graphql', headers = {}, body }: {
    address: string, method?: string, path?: string, headers?: Record<string, string>, body?: string | null
  }
): Promise<Sent> {
  const length = typeof body === 'string' ? { 'content-length': String(Buffer.byteLength(body)) } : {}
  const sent = request({
    host: '127.0.0.1',
    port,
    method,
    path,
    agent: false,
    headers: { 'x-forwarded-for': address, 'user-agent': 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0', accept: '*/*', 'content-type': 'application/json', ...length, ...headers }
  })
  sent.on('error', () => {})
  const answered = once(sent, 'response') as Promise<[IncomingMessage]>
  if (body === null) sent.flushHeaders()
  else sent.end(body)
  const [response] = await answered
  const text = await new Response(Readable.toWeb(response) as never).text()
  sent.destroy()
  const answer = text.startsWith('{') ? JSON.parse(text) as { data?: Sent['data'], errors?: Array<{ extensions: { code: string } }>, error?: { code: string } } : {}
  const code = answer.errors?.[0]?.extensions.code ?? answer.error?.code ?? null
  return { status: response.statusCode as number, code, data: answer.data ?? null, closes: response.headers.connection === 'close' }
}

async function openBlocked (t: Test, env: Record<string, string> = {}): Promise<{ at: TestApp, newBlocked (by?: DecisionOrigin): Promise<string> }> {
  const at = await openApp(t, env)
  return {
    at,
    async newBlocked (by = BY_PLAYBOOK) {
      const value = newAddress()
      await at.app.decisions.add({ scope: 'IP', value, action: 'BLOCK', ttlSeconds: 86_400, reason: 'test' }, by)
      return value
    }
  }
}

const login = (password = PASSWORD): string => JSON.stringify({ query: LOGIN, variables: { u: 'admin', p: password } })

t.test('an administrator signs in from an address that a playbook blocked, and works; not where a person blocked it', async (t) => {
  const { at, newBlocked } = await openBlocked(t)
  const address = await newBlocked()
  const opened = await send(at, { address, body: login() })
  t.equal(opened.status, 200)
  const refreshed = await send(at, { address, body: JSON.stringify({ query: REFRESH, variables: { t: opened.data?.login?.refreshToken } }) })
  const { accessToken } = refreshed.data?.refreshToken ?? {}
  t.type(accessToken, 'string')
  const me = await send(at, { address, headers: { authorization: `Bearer ${accessToken}` }, body: JSON.stringify({ query: '{ me { username } }' }) })
  t.match(me, { status: 200, data: { me: { username: 'admin' } } })
  t.match(await send(at, { address, body: login('wrong password of somebody') }), { status: 401, code: 'NEKO_ERR_UNAUTHENTICATED' })
  await at.app.decisions.add({ scope: 'IP', value: address, action: 'BLOCK', ttlSeconds: 60, reason: 'test' }, { origin: 'user:anna' })
  t.match(await send(at, { address, body: null, headers: { 'content-length': '100' } }), { status: 403, code: 'NEKO_ERR_BLOCKED' }, 'beside the playbook\'s')
  t.match(await send(at, { address: await newBlocked({ origin: 'user:anna' }), body: null, headers: { 'content-length': '100' } }), { status: 403 })
})

t.test('what is no short login is answered from a blocked address unread, or read and neither scored nor run', async (t) => {
  const { at, newBlocked } = await openBlocked(t, { GRAPHQL_BATCH_MAX: '5' })
  const scored = spyOn(t, at.app.threads, 'ask')
  const ran = spyOn(t, at.app.identity, 'login')
  const query = (text: string): string => JSON.stringify({ query: text, variables: { u: 'admin', p: PASSWORD, t: 'nekr_x' } })
  const inner = LOGIN.slice(LOGIN.indexOf('{') + 1, -1)
  const unread: Array<[string, Parameters<typeof send>[1]]> = [
    ['a chunked body', { address: '', body: null, headers: { 'transfer-encoding': 'chunked' } }],
    ['a body over 4 KiB', { address: '', body: null, headers: { 'content-length': '4097' } }],
    ['a body of much more', { address: '', body: null, headers: { 'content-length': '40960' } }],
    ['no body', { address: '' }],
    ['a length of nothing', { address: '', body: '' }],
    ['a query string', { address: '', path: `/graphql?query=${encodeURIComponent(LOGIN)}`, body: null, headers: { 'content-length': '100' } }],
    ['a GET', { address: '', method: 'GET', path: `/graphql?query=${encodeURIComponent(LOGIN)}` }],
    ['another route', { address: '', path: '/v1/assess', body: null, headers: { 'content-length': '100' } }],
    ['no route', { address: '', path: '/graphql/', body: null, headers: { 'content-length': '100' } }],
    ['another method', { address: '', method: 'PUT', body: null, headers: { 'content-length': '100' } }],
    ['a bad key beside it', { address: '', body: null, headers: { 'content-length': '100', 'x-api-key': 'neko_none' } }],
    ['a bad token beside it', { address: '', body: null, headers: { 'content-length': '100', authorization: 'Bearer a.b.c' } }]
  ]
  for (const [name, sent] of unread) t.match(await send(at, { ...sent, address: await newBlocked() }), { status: 403, code: 'NEKO_ERR_BLOCKED' }, name)
  const read: Array<[string, string]> = [
    ['another query', query('{ health { status } }')],
    ['another mutation', query('mutation { logout }')],
    ['login beside another field', query(`mutation ($u: String!, $p: String!) { ${inner} logout }`)],
    ['login beside another operation', query(`${LOGIN} query other { me { username } }`)],
    ['a field that is called login', query('{ login: threatActors { totalCount } }')],
    ['another field under its name', query('mutation { login: logout }')],
    ['a fragment', query(`mutation ($u: String!, $p: String!) { ...f } fragment f on Mutation { ${inner} }`)],
    ['an inline fragment', query(`mutation ($u: String!, $p: String!) { ... on Mutation { ${inner} } }`)],
    ['a subscription', query('subscription { login }')],
    ['a batch', `[${login()}]`],
    ['a batch of two', `[${login()},${query('{ threatCounts { count } }')}]`],
    ['the last of two queries', `{"query":${JSON.stringify(LOGIN)},"query":"{ me { username } }"}`],
    ['no JSON', LOGIN], ['nothing', 'null'], ['a text', '"login"'], ['a number', '1'], ['a query of another type', '{"query":["login"]}'],
    ['broken JSON', login().slice(0, -2)], ['a document that does not end', query('mutation { login')],
    ['a document of many tokens', query(`mutation { ${'login '.repeat(400)} }`)],
    ['a deep document', query(`mutation { login${'{a'.repeat(900)} }`)],
    ['an injection', query("1' UNION SELECT username, password FROM users--")]
  ]
  for (const [name, body] of read) t.match(await send(at, { address: await newBlocked(), body }), { status: 403, code: 'NEKO_ERR_BLOCKED' }, name)
  t.equal(scored.length, 0, 'nothing of it was scored')
  t.equal(ran.length, 0, 'no login was tried')
})

t.test('a blocked address is read ten times a minute, whatever it sends, and beyond that not at all', async (t) => {
  const { at, newBlocked } = await openBlocked(t)
  const address = await newBlocked()
  const other = JSON.stringify({ query: '{ me { username } }' })
  for (let i = 0; i < 10; i++) t.equal((await send(at, { address, body: i % 2 === 0 ? other : login('wrong password') })).status, i % 2 === 0 ? 403 : 401)
  const reading = spyOn(t, at.app.limits, 'takeNamed')
  for (let i = 0; i < 5; i++) t.match(await send(at, { address, body: null, headers: { 'content-length': '100' } }), { status: 403, closes: true })
  t.equal(reading.length, 0, 'nor counted')
  t.equal((await send(at, { address: await newBlocked(), body: login() })).status, 200, 'another address has its own')
  at.clock.advance(64_000)
  t.equal((await send(at, { address, body: login() })).status, 200)
})

t.test('the bounds of login hold at a blocked address, and what is hostile in it is scored and refused', async (t) => {
  const { at, newBlocked } = await openBlocked(t, { RATE_LIMIT_STRICT: '3/60/300' })
  const address = await newBlocked()
  const hostile = JSON.stringify({ query: LOGIN, variables: { u: "1' UNION SELECT username, password FROM users--", p: PASSWORD } })
  const scored = spyOn(t, at.app.threads, 'ask')
  const ran = spyOn(t, at.app.identity, 'login')
  t.match(await send(at, { address, body: hostile }), { status: 403, code: 'NEKO_ERR_BLOCKED' })
  t.equal(scored.length, 1)
  t.equal(ran.length, 0)
  const statuses: number[] = []
  for (let i = 0; i < 5; i++) statuses.push((await send(at, { address, body: login(`wrong password ${i}`) })).status)
  t.strictSame(statuses, [401, 401, 401, 429, 429])
})

t.test('credentials of a blocked address are checked until ten have failed within ten minutes; those known to hold go on', async (t) => {
  const { at, newBlocked } = await openBlocked(t, { RATE_LIMIT_STANDARD: '10000/60/60' })
  const address = await newBlocked()
  const me = JSON.stringify({ query: '{ rateLimit { tier } }' })
  const { accessToken } = await at.app.identity.login({ username: 'admin', password: PASSWORD, address: '192.0.2.200' })
  const admin = await at.app.identity.authenticate({ authorization: `Bearer ${accessToken}` }) as { principal: Principal }
  const newKey = async (): Promise<{ key: string }> => await at.app.identity.createApiKey(admin.principal, { name: 'test', scopes: ['read'], expiresAt: null })
  const [known, unknown] = [await newKey(), await newKey()]
  const statusOf = async (key: string): Promise<number> => (await send(at, { address, body: me, headers: { 'x-api-key': key } })).status
  t.equal(await statusOf(known.key), 200)
  const checked = spyOn(t, at.app.identity, 'authenticate')
  const stranger = (i: number): string => known.key.replace(/.{4}$/, String(1000 + i))
  for (let i = 0; i < 30; i++) {
    t.equal(await statusOf(stranger(i)), 403)
    at.clock.advance(1_000)
  }
  t.equal(checked.length, 10)
  t.equal(await statusOf(known.key), 200, 'one that has held')
  const { data } = await send(at, { address, body: login() })
  const token = data?.login?.accessToken
  t.equal((await send(at, { address, body: me, headers: { authorization: `Bearer ${token}` } })).status, 200, 'one that was given just now')
  at.clock.advance(640_000)
  t.equal(await statusOf(unknown.key), 200)
})
