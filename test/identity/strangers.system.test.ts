import { once } from 'node:events'
import { request } from 'node:http'
import type { Socket } from 'node:net'
import t from 'tap'
import type { Test } from 'tap'
import type { Principal } from '../../src/identity/shapes.ts'
import { sha256 } from '../../src/identity/sessions.ts'
import { openApp, spyOn, type TestApp } from '../transaction/app.ts'

/** Wrong passwords by strangers, against the real server on the test's clock: its owner is never shut out. */
const PASSWORD = 'a long pass phrase of the contract suite'
const COOKIE = /^__Host-neko_device=([\w.-]+); Max-Age=2592000; Path=\/; Secure; HttpOnly; SameSite=Strict$/
const BROWSER = { 'user-agent': 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0', accept: '*/*', 'accept-language': 'en' }

interface Answer { status: number, headers: Record<string, string | string[] | undefined>, text: string, tookMs: number }
interface Login { username?: string, password?: string, address?: string, device?: string, headers?: Record<string, string> }

async function post (at: TestApp, { query, variables = {} }: { query: string, variables?: object }, headers: Record<string, string>): Promise<Answer> {
  const startMs = at.clock.monotonic()
  const answer = await fetch(`${at.url}/graphql`, { method: 'POST', headers: { ...BROWSER, 'content-type': 'application/json', ...headers }, body: JSON.stringify({ query, variables }) })
  const cookies = answer.headers.getSetCookie()
  return { status: answer.status, headers: { ...Object.fromEntries(answer.headers), ...(cookies.length > 0 ? { 'set-cookie': cookies } : {}) }, text: await answer.text(), tookMs: at.clock.monotonic() - startMs }
}

const QUERY = 'mutation ($u: String!, $p: String!) { login(username: $u, password: $p) { accessToken } }'
function login (at: TestApp, { username = 'admin', password = PASSWORD, address = '203.0.113.9', device, headers = {} }: Login): Promise<Answer> {
  return post(at, { query: QUERY, variables: { u: username, p: password } }, { 'x-forwarded-for': address, ...(device === undefined ? {} : { cookie: `theme=dark; __Host-neko_device=${device}; a=b` }), ...headers })
}

/** The tries that strangers have on an account, each by another address and all wrong. */
async function guessTwelve (at: TestApp): Promise<number[]> {
  const replies = await Promise.all(Array.from({ length: 12 }, (_, i) => login(at, { password: 'wrong pass phrase', address: `198.51.100.${i}` })))
  return replies.map(({ status }) => status)
}

/** The same without the work of twelve passwords. */
async function useUp ({ app }: TestApp, username = 'admin'): Promise<void> {
  while ((await app.limits.takeAttempt(`stranger|account:${sha256(username).slice(0, 16)}`)).allowed);
}

/** Until so many wait in the line, or nobody asks any more. */
async function waiting (at: TestApp, count: number, isOver = (): boolean => false): Promise<void> {
  while (!isOver() && at.app.identity.loginLine.waiting() < count) await new Promise((resolve) => setTimeout(resolve, 5))
}

/** Ends the wait of all who wait: the line looks four times a second. */
async function endWait<T> (at: TestApp, answers: Promise<T>, { ms = 5_000, count = 1 } = {}): Promise<T> {
  await waiting(at, count)
  at.clock.advance(ms)
  return await answers
}

const tokenOf = ({ text }: Answer): string => (JSON.parse(text) as { data: { login: { accessToken: string } } }).data.login.accessToken
async function signIn (at: TestApp, about: Login = {}): Promise<{ device: string, token: string }> {
  const answer = await login(at, { address: '203.0.113.50', headers: { 'x-forwarded-proto': 'https' }, ...about })
  return { device: COOKIE.exec(String(answer.headers['set-cookie']))![1]!, token: tokenOf(answer) }
}

const at = await openApp(t, { EXPOSE_SCORE: 'true' })
/** Nobody is known from the test before. */
t.beforeEach(() => { at.clock.advance(31 * 86_400_000) })

t.test('wrong passwords from many addresses slow a stranger, and shut nobody out', async (t) => {
  t.same(await guessTwelve(at), Array(12).fill(401))
  const vain = await endWait(at, login(at, {}))
  t.equal(vain.status, 429, 'the right password too')
  t.equal(vain.tookMs, 5_000)
  t.match(vain.headers, { 'retry-after': /^[1-5]$/, 'x-ratelimit-limit': '12', 'x-ratelimit-remaining': '0', 'ratelimit-policy': '"strangers";q=12;w=60' })
  t.match(JSON.parse(vain.text), { errors: [{ extensions: { code: 'NEKO_ERR_LIMIT_EXCEEDED', retryAfterSeconds: Number(vain.headers['retry-after']) } }] })
  const second = login(at, {})
  await waiting(at, 1)
  t.match(await login(at, {}), { status: 429, tookMs: 0 }, 'a second try of the same address does not wait')
  t.equal((await endWait(at, second)).status, 429)
  const { app } = at
  t.equal(app.limits.peekAttempt('login|ip:203.0.113.9').count, 0, 'no attempt')
  t.equal(app.limits.countViolation('ip:203.0.113.9', { tier: 'standard', attempt: false }), 0, 'no violation')
  t.match(app.clients.peek({ client: 'ip:203.0.113.9', method: 'GET', url: '/', headers: [], body: null, route: null }), { failedLogins600s: 0, clientErrors600s: 0 }, 'nothing in history')
  at.clock.advance(50_000)
  const third = await endWait(at, login(at, {}), { ms: 4_000 })
  t.equal(third.status, 200, 'drawn when the minute has moved on')
})

t.test('nobody\'s account waits like any other', async (t) => {
  const facts: unknown[] = []
  for (const username of ['admin', 'nobody at all']) {
    await useUp(at, username)
    const { status, headers, text, tookMs } = await endWait(at, login(at, { username, password: 'wrong pass phrase' }))
    facts.push([status, tookMs, Object.keys(headers).sort(), headers['ratelimit-policy'], text.replace(/as_\w+|in \d s|Seconds":\d/g, '')])
    at.clock.advance(120_000)
  }
  t.strictSame(facts[0], facts[1])
})

t.test('an address and a device that signed in before never wait; a device is none of anybody else', async (t) => {
  const { device } = await signIn(at)
  const { token } = await signIn(at)
  await post(at, { query: 'mutation ($p: String!) { createUser(username: "other", password: $p, role: VIEWER) { id } }', variables: { p: PASSWORD } }, { authorization: `Bearer ${token}` })
  await useUp(at)
  await useUp(at, 'other')
  t.match(await login(at, { address: '203.0.113.50' }), { status: 200, tookMs: 0 }, 'the address')
  t.match(await login(at, { address: '198.18.0.1', device }), { status: 200, tookMs: 0 }, 'the device, from anywhere')
  const changed = device.replace(/.$/, (last) => last === 'A' ? 'B' : 'A')
  const [id, user, generation, until, mac] = device.split('.') as [string, string, string, string, string]
  const forged = ['', 'x', changed, `${id}.${user}.${generation}.${Number(until) + 1}.${mac}`, `${id}.${user}.${Number(generation) + 1}.${until}.${mac}`, `${'0'.repeat(20)}.${user}.${generation}.${until}.${mac}`, `${device}.`]
  const strangers = [...forged.map((text) => login(at, { address: `198.18.1.${forged.indexOf(text)}`, device: text })), login(at, { username: 'other', address: '198.18.2.1', device })]
  for (const { status, tookMs } of await endWait(at, Promise.all(strangers), { count: strangers.length })) t.same([status, tookMs], [429, 5_000])
})

t.test('a stolen device has ten tries, from wherever; and they are tries of its address too', async (t) => {
  const { device } = await signIn(at)
  await useUp(at)
  const wrong = async (address: string, shown?: string): Promise<number> => (await login(at, { address, password: 'wrong pass phrase', ...(shown === undefined ? {} : { device: shown }) })).status
  const statuses: number[] = []
  for (let i = 0; i < 14; i++) statuses.push(await wrong(`198.18.0.${i}`, device))
  t.same(statuses, [...Array(10).fill(401), ...Array(4).fill(429)])
  at.clock.advance(400_000)
  statuses.length = 0
  for (let i = 0; i < 14; i++) statuses.push(await wrong('198.18.1.1', i < 7 ? device : undefined))
  t.same(statuses, [...Array(10).fill(401), ...Array(4).fill(429)], 'with and without it, ten of an account and address')
})

t.test('neighbours who use up the tries of a shared address do not take those of a device', async (t) => {
  const { device } = await signIn(at)
  const statuses: number[] = []
  for (let i = 0; i < 12; i++) statuses.push((await login(at, { address: '203.0.113.50', password: 'wrong pass phrase' })).status)
  t.equal(statuses.at(-1), 429)
  t.equal((await login(at, { address: '203.0.113.50' })).status, 429)
  t.equal((await login(at, { address: '203.0.113.50', device })).status, 200)
})

t.test('a device ends with a new password, with a disabling and after thirty days', async (t: Test) => {
  const at = await openApp(t)
  let last = 0
  const waits = async (device: string, about: Login = {}): Promise<boolean> => {
    await useUp(at, about.username)
    let isAnswered = false
    const answer = login(at, { address: `198.18.3.${last++}`, device, ...about }).finally(() => { isAnswered = true })
    const waits = await Promise.race([waiting(at, 1, () => isAnswered).then(() => !isAnswered), answer.then(() => false)])
    at.clock.advance(400_000)
    await answer
    return waits
  }
  const first = await signIn(at)
  t.equal(await waits(first.device), false)
  const { token } = await signIn(at)
  await post(at, { query: 'mutation ($o: String!, $n: String!) { changePassword(currentPassword: $o, newPassword: $n) }', variables: { o: PASSWORD, n: `${PASSWORD} anew` } }, { authorization: `Bearer ${token}` })
  const anew = { password: `${PASSWORD} anew` }
  t.equal(await waits(first.device, anew), true, 'a new password')
  const { app } = at
  const by = { kind: 'user', id: 'us_test', scopes: ['read', 'assess', 'decide', 'manage'], clientKey: 'user:us_test' } as unknown as Principal
  const { id } = await app.identity.createUser(by, { username: 'other', password: PASSWORD, role: 'VIEWER' })
  const other = await signIn(at, { username: 'other', address: '203.0.113.60' })
  t.equal(await waits(other.device, { username: 'other' }), false)
  await app.identity.disableUser(by, id)
  await app.identity.enableUser(by, id)
  t.equal(await waits(other.device, { username: 'other' }), true, 'a disabling')
  const second = await signIn(at, anew)
  at.clock.advance(30 * 86_400_000 + 1_000)
  t.equal(await waits(second.device, anew), true, 'a month later')
})

t.test('a device\'s cookie is set by a sign-in over HTTPS or at localhost, and by nothing else', async (t) => {
  const sets = async (about: Login): Promise<boolean> => (await login(at, about)).headers['set-cookie'] !== undefined
  t.equal(await sets({ headers: { 'x-forwarded-proto': 'https' } }), true)
  t.equal(await sets({ headers: { 'x-forwarded-proto': 'http, https' } }), true)
  for (const scheme of ['http', 'https, http', '']) t.equal(await sets({ headers: { 'x-forwarded-proto': scheme } }), false, scheme)
  t.equal(await sets({}), false, 'a proxy that names no scheme')
  t.equal(await sets({ password: 'wrong pass phrase', headers: { 'x-forwarded-proto': 'https' } }), false, 'no sign-in')
  const bare = async (url: string): Promise<string | null> => (await fetch(`${url}/graphql`, { method: 'POST', headers: { ...BROWSER, 'content-type': 'application/json' }, body: JSON.stringify({ query: QUERY, variables: { u: 'admin', p: PASSWORD } }) })).headers.get('set-cookie')
  t.match(await bare(at.url), COOKIE, 'localhost')
  const unproxied = await openApp(t, { TRUST_PROXY: '10.0.0.0/8' })
  t.equal((await login(unproxied, { headers: { 'x-forwarded-proto': 'https' } })).headers['set-cookie'], undefined, 'a peer that is no proxy of ours')
})

t.test('a device\'s cookie opens nothing, is scored as nothing and is not kept', async (t) => {
  const { device, token } = await signIn(at)
  const cookie = `__Host-neko_device=${device}`
  const replies = [
    await post(at, { query: '{ me { username } }' }, { cookie, 'x-forwarded-for': '198.18.0.1' }),
    await post(at, { query: 'mutation { logout }' }, { cookie, 'x-forwarded-for': '198.18.0.1' }),
    await post(at, { query: '{ users { nodes { id } } }' }, { cookie, 'x-forwarded-for': '198.18.0.1' }),
    await login(at, { password: 'wrong pass phrase', device })
  ]
  t.same(replies.map(({ status }) => status), [401, 401, 401, 401])
  for (const { headers } of replies) {
    t.ok(Number(headers['x-neko-score']) < 40, `scored ${headers['x-neko-score']}`)
    t.equal(headers['set-cookie'], undefined)
    const receipt = await post(at, { query: 'query ($id: ID!) { assessment(id: $id) { id path factors { evidence } } }', variables: { id: headers['x-neko-assessment'] } }, { authorization: `Bearer ${token}` })
    t.match(receipt.text, String(headers['x-neko-assessment']))
    const kept = JSON.stringify(await at.app.receipts.get(String(headers['x-neko-assessment'])))
    t.match(kept, '__Host-neko_device')
    t.notMatch(kept, device.slice(0, 20))
  }
  t.notMatch(JSON.stringify(at.takeLines()), device.slice(0, 20))
})

t.test('a client that hangs up leaves the line, and a drain ends the wait of all', async (t: Test) => {
  const at = await openApp(t)
  await useUp(at)
  const calls = spyOn(t, at.app.identity, 'login')
  const asked = request(`${at.url}/graphql`, { method: 'POST', headers: { ...BROWSER, 'content-type': 'application/json', 'x-forwarded-for': '203.0.113.9' } })
  asked.on('error', () => {})
  const sockets: Socket[] = []
  at.app.server.on('connection', (socket: Socket) => sockets.push(socket))
  asked.end(JSON.stringify({ query: QUERY, variables: { u: 'admin', p: PASSWORD } }))
  await waiting(at, 1)
  const { isGone } = calls[0]![0] as { isGone: () => boolean }
  t.equal(isGone(), false)
  const closed = once(sockets[0]!, 'close')
  asked.destroy()
  await closed
  t.equal(isGone(), true)
  const again = login(at, {})
  await waiting(at, 1)
  at.app.identity.loginLine.close()
  t.match(await again, { status: 429, tookMs: 0, headers: { 'retry-after': /^[1-5]$/ } })
  t.match(await login(at, { address: '203.0.113.10' }), { status: 429, tookMs: 0 })
})
