import { writeFileSync } from 'node:fs'
import t from 'tap'
import { request } from 'undici'
import { until } from '../processes/load.ts'
import { makeDataDir, startServer, type Teardown } from '../server.ts'
import { openApp, type TestApp } from '../transaction/app.ts'

/**
 * What playbooks do to requests: on a server of two processes where they must agree, and in the application of this
 * process, whose clock stands still, where one is enough.
 */
/** Nothing is judged by it: it ends a test that would hang. */
const HANGS_MS = 20_000

const PASSWORD = 'a long enough password'
const ATTACK = '/search?q=' + encodeURIComponent("1' UNION SELECT username, password FROM users--")
const AGENT = 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0'

interface Answer { status: number, text: string, retryAfter: string | undefined }

/** Either: what a test asks of is an address. */
interface Served { url: string }

const ENV = { TRUST_PROXY: '127.0.0.1/32', ADMIN_PASSWORD: PASSWORD, RATE_LIMIT_STANDARD: '5000/60/1', LOG_LEVEL: 'warn' }

async function openHere (t: Teardown, env: Record<string, string> = {}): Promise<TestApp> {
  return await openApp(t, { ...ENV, ...env })
}

const two = await startServer(t, { env: { ...ENV, WORKERS: '2' } })

/** A new connection each time, so that every process is asked. */
async function ask (server: Served, from: string, path: string, options: { method?: 'GET' | 'POST', headers?: Record<string, string>, body?: string } = {}): Promise<Answer> {
  const response = await request(server.url + path, { method: options.method ?? 'GET', headers: { 'x-forwarded-for': from, 'user-agent': AGENT, accept: '*/*', ...options.headers, connection: 'close' }, body: options.body ?? null })
  return { status: response.statusCode, text: await response.body.text(), retryAfter: response.headers['retry-after'] as string | undefined }
}

async function post (server: Served, from: string, query: string, token: string | null = null): Promise<Answer> {
  return await ask(server, from, '/graphql', { method: 'POST', headers: { 'content-type': 'application/json', ...(token === null ? {} : { authorization: `Bearer ${token}` }) }, body: JSON.stringify({ query }) })
}

const ordinary = async (server: Served, from: string): Promise<number> => (await post(server, from, '{ threatCounts { count } }')).status
const logIn = async (server: Served, from: string, username: string, password: string): Promise<Answer> => await post(server, from, `mutation { login(username: ${JSON.stringify(username)}, password: ${JSON.stringify(password)}) { accessToken } }`)

/** Asks as the administrator. */
async function administer (server: Served): Promise<(query: string) => Promise<Record<string, any>>> {
  const { data: { login } } = JSON.parse((await logIn(server, '198.51.100.7', 'admin', PASSWORD)).text) as { data: { login: { accessToken: string } } }
  return async (query) => {
    const { data, errors } = JSON.parse((await post(server, '198.51.100.7', query, login.accessToken)).text) as { data?: Record<string, unknown>, errors?: unknown }
    if (data === undefined || data === null) throw new Error(JSON.stringify(errors))
    return data
  }
}

interface Incident { attacker: string, timeline: Array<{ actor: string }> }

/** How often each attacker met a playbook, as incidents tell. */
async function metBy (playbook: string, administrate: (query: string) => Promise<Record<string, any>>): Promise<Map<string, number>> {
  const { incidents } = await administrate('{ incidents(first: 100) { nodes { attacker timeline { actor } } } }')
  const times = (incidents.nodes as Incident[]).map(({ attacker, timeline }) => [attacker, timeline.filter(({ actor }) => actor === `playbook:${playbook}`).length] as const)
  return new Map(times.filter(([, count]) => count > 0))
}

const figures = async (): Promise<string> => await (await request(two.metricsUrl + '/metrics')).body.text()

/** Until as many requests as certainly reach both processes are answered so. */
async function untilAll (server: Served, from: string, status: number): Promise<void> {
  await until(`${status} of every process for ${from}`, async () => (await Promise.all(Array.from({ length: 6 }, () => ordinary(server, from)))).every((one) => one === status), HANGS_MS)
}

t.test("a decoy's block begins while its bait is still held, and the capture is recorded once", async (t) => {
  const administrate = await administer(two)
  // A bait is held for two seconds: a machine that is busy for longer says nothing, and the next one is asked.
  let wasHeld = false
  let baits = 0
  while (!wasHeld && baits < 3) {
    const address = `203.0.113.${31 + baits++}`
    let isAnswered = false
    const bait = ask(two, address, '/.env' + ATTACK.slice('/search'.length)).finally(() => { isAnswered = true })
    await untilAll(two, address, 403)
    wasHeld = !isAnswered
    t.equal((await bait).status, 200)
  }
  t.ok(wasHeld, 'blocked in every process before the bait was answered')
  await until('what the bait left is settled', async () => /^neko_http_requests_in_flight 0$/m.test(await figures()), HANGS_MS)
  t.same(await metBy('HONEYPOT_CAPTURE', administrate), new Map(Array.from({ length: baits }, (_, i) => [`ip:203.0.113.${31 + i}`, 1] as const)))
  t.match(await figures(), new RegExp(`neko_playbook_runs_total\\{playbook="HONEYPOT_CAPTURE",result="done"\\} ${baits}\n`))
})

t.test('an attacker from a range whose allow was removed is blocked by the next attack', async (t) => {
  const server = await openHere(t)
  const administrate = await administer(server)
  const { addDecision } = await administrate('mutation { addDecision(scope: RANGE, value: "203.0.113.160/29", action: ALLOW, reason: "ours") { id } }')
  t.equal((await ask(server, '203.0.113.161', ATTACK)).status, 404, 'allowed')
  await administrate(`mutation { removeDecision(id: "${addDecision.id}") { id } }`)
  t.equal((await ask(server, '203.0.113.161', ATTACK)).status, 403)
  await until('the block stands', async () => await ordinary(server, '203.0.113.161') === 403, HANGS_MS)
})

t.test('act true captures who touched a decoy elsewhere as if it had been here, and without it nobody', async (t) => {
  const server = await openHere(t)
  const administrate = await administer(server)
  const json = { host: 'shop.example', 'user-agent': AGENT, 'content-type': 'application/json' }
  const graphql = (query: string): object => ({ method: 'POST', url: '/graphql', headers: json, body: JSON.stringify({ query }) })
  const attack = ATTACK.slice('/search'.length)
  const touches = [
    { method: 'GET', url: '/.decoy', headers: json }, { method: 'GET', url: '/.env?x=1', headers: json }, { method: 'HEAD', url: '/%2eenv', headers: json }, { method: 'POST', url: '/wp-admin', headers: json },
    { method: 'GET', url: '/.env' + attack, headers: json }, graphql('{ adminUsers { id } }'), graphql('{ health { status } internalTokens }'),
    graphql('{ adminUsers(name: "1\' UNION SELECT username, password FROM users--") }'), { method: 'GET', url: '/graphql?query={adminUsers{id}}', headers: json }
  ]
  const others = [
    { method: 'GET', url: '/', headers: json }, { method: 'PUT', url: '/.decoy', headers: json }, { method: 'GET', url: '/x/.decoy', headers: json }, graphql('{ health { status } }'),
    graphql('{ health { status } adminUsers(name: "1\' UNION SELECT username, password FROM users--") }')
  ]
  const { createApiKey: { key } } = await administrate('mutation { createApiKey(name: "sensor", scopes: ["assess", "decide"]) { key } }')
  const hand = async (requests: object[], act: boolean): Promise<number> => (await ask(server, '198.51.100.8', '/v1/assess', { method: 'POST', headers: { 'content-type': 'application/json', 'x-api-key': key as string }, body: JSON.stringify({ act, requests }) })).status
  t.equal(await hand(touches.map((one, i) => ({ ...one, ip: `192.0.2.${i}` })), false), 200)
  t.equal(await hand([...touches, ...others].map((one, i) => ({ ...one, ip: `203.0.113.${i}` })), true), 200)
  const expected = touches.map((_one, i) => `ip:203.0.113.${i}`)
  await until('all are captured', async () => (await metBy('HONEYPOT_CAPTURE', administrate)).size >= expected.length, HANGS_MS)
  t.same([...(await metBy('HONEYPOT_CAPTURE', administrate)).keys()].sort(), expected)
  t.equal(await ordinary(server, '203.0.113.4'), 403, 'a decoy at a blocking score blocks')
  t.same([await ordinary(server, '203.0.113.5'), await ordinary(server, '192.0.2.4')], [200, 200], 'at a low score, or handed in to be looked at, not')
})

t.test('removeDecision lifts a login block: that of the address, and that of the account when it is about a user', async (t) => {
  const here = await openHere(t)
  // Strangers wait for their turn at an account, by the clock.
  const passing = setInterval(() => here.clock.advance(50), 20)
  t.teardown(() => clearInterval(passing))
  await Promise.all(([[here, 'one process'], [two, 'two processes']] as Array<[Served, string]>).map(async ([server, where]) => {
    const administrate = await administer(server)
    const { createUser } = await administrate(`mutation { createUser(username: "Anna", password: "${PASSWORD}", role: VIEWER) { id } }`)
    const pardon = async (scope: string, value: string): Promise<void> => {
      const { addDecision } = await administrate(`mutation { addDecision(scope: ${scope}, value: "${value}", action: BLOCK, ttlSeconds: 60, reason: "test") { id } }`)
      await administrate(`mutation { removeDecision(id: "${addDecision.id}") { id } }`)
    }
    const loggedIn = async (from: string): Promise<boolean> => (await logIn(server, from, 'anna', PASSWORD)).status === 200
    const address = '203.0.113.71'
    const statuses = []
    for (let i = 0; i < 12; i++) statuses.push((await logIn(server, address, `nobody${i}`, 'wrong wrong wrong')).status)
    t.same(statuses.slice(-2), [429, 429])
    t.notOk(await loggedIn(address))
    await pardon('IP', address)
    await until(`the address, ${where}`, async () => await loggedIn(address), HANGS_MS)

    // The address was a stranger too when it got in: eleven more are the twelve of a minute.
    for (let i = 0; i < 11; i++) await logIn(server, `203.0.113.${100 + i}`, 'anna', 'wrong wrong wrong')
    await pardon('IP', '203.0.113.90')
    t.notOk(await loggedIn('203.0.113.90'), 'a stranger waits in vain: the account is not the address')
    await pardon('USER', createUser.id as string)
    await until(`the account, ${where}`, async () => await loggedIn('203.0.113.90'), HANGS_MS)
  }))
})

t.test('whoever is over a limit is told the length that playbooks.json gives the block, by every answer', async (t) => {
  /** Until the limit is crossed, and twice more: the seconds that each refusal says. */
  const flood = async (server: Served, from: string): Promise<number[]> => {
    const waits: number[] = []
    for (let i = 0; waits.length === 0 && i < 1_000; i++) waits.push(...await refused(server, from))
    for (let i = 0; i < 2; i++) waits.push(...await refused(server, from))
    return waits
  }
  const refused = async (server: Served, from: string): Promise<number[]> => [Number((await ask(server, from, '/nothing')).retryAfter ?? 0)].filter((seconds) => seconds > 0)
  const env = { ...ENV, RATE_LIMIT_STANDARD: '6/1/1', RATE_LIMIT_STRICT: '2/8/0' }
  const dataDirFor = (seconds: number): string => {
    const dataDir = makeDataDir(t)
    writeFileSync(`${dataDir}/playbooks.json`, JSON.stringify([{ name: 'RATE_LIMIT_VIOLATION', steps: [{ do: 'limit', seconds }] }]))
    return dataDir
  }
  const here = await openApp(t, { ...env, DATA_DIR: dataDirFor(10) })
  const there = await startServer(t, { dataDir: dataDirFor(900), env: { ...env, WORKERS: '2' } })
  const cases: Array<[server: Served, seconds: number, wait: (seconds: number) => unknown]> = [
    [here, 10, (seconds) => here.clock.advance(seconds * 1000)],
    // As long as the answer said: real processes have no other clock.
    [there, 900, async (seconds) => await new Promise((resolve) => setTimeout(resolve, seconds * 1000))]
  ]
  await Promise.all(cases.map(async ([server, seconds, wait]) => {
    const around = (waits: number[], upTo: number): boolean => waits.every((wait) => wait <= upTo && wait > upTo - 5)
    for (let violation = 1; violation <= 3; violation++) {
      const waits = await flood(server, '203.0.113.41')
      if (violation < 3) {
        t.ok(around(waits, 3), `violation ${violation}: ${waits.join()}`)
        await wait(waits.at(-1)!)
      } else {
        t.equal(waits[0], seconds, 'the crossing itself')
        t.equal(waits.length, 3)
        t.ok(around(waits, seconds), waits.join())
      }
    }
    const administrate = await administer(server)
    await until('the playbook has acted', async () => (await metBy('RATE_LIMIT_VIOLATION', administrate)).has('ip:203.0.113.41'), HANGS_MS)
    t.ok(around(await flood(server, '203.0.113.41'), seconds), 'also then')
    const tries = []
    for (let i = 0; i < 4; i++) tries.push(Number((await logIn(server, '203.0.113.42', `nobody${i}`, 'wrong wrong wrong')).retryAfter ?? 0))
    t.ok(around(tries.slice(2), seconds), `logging in: ${tries.join()}`)
  }))
})

t.test('the third refusal blocks, however quickly the three came and to whichever process', async (t) => {
  const certain = '/nowhere?f=../../etc/'
  for (let i = 0; i < 2; i++) t.equal((await ask(two, '203.0.113.210', certain)).status, 403)
  for (let i = 1; i <= 6; i++) {
    const address = `203.0.113.${200 + i}`
    t.same(await Promise.all([1, 2, 3].map(async () => (await ask(two, address, certain)).status)), [403, 403, 403])
    await untilAll(two, address, 403)
  }
  // Whoever came after those two and had three is blocked by now.
  t.equal(await ordinary(two, '203.0.113.210'), 200, 'two are not three')
})

t.test('who works on the machine itself is refused by the score, and never locked out, by whatever name', async (t) => {
  const server = await openHere(t, { TRUST_PROXY: '' })
  const local = async (query: string, token: string | null = null): Promise<Answer> => {
    const response = await request(server.url + '/graphql', { method: 'POST', headers: { 'user-agent': AGENT, 'content-type': 'application/json', ...(token === null ? {} : { authorization: `Bearer ${token}` }) }, body: JSON.stringify({ query }) })
    return { status: response.statusCode, text: await response.body.text(), retryAfter: undefined }
  }
  const token = (JSON.parse((await local(`mutation { login(username: "admin", password: "${PASSWORD}") { accessToken } }`)).text) as { data: { login: { accessToken: string } } }).data.login.accessToken
  for (let i = 0; i < 4; i++) t.equal((await local(`{ me { username } } # 1' UNION SELECT username, password FROM users WHERE ${i}=${i}--`, token)).status, 403)
  // Nothing tells that no block comes: elsewhere it stands with the answer to the attack or some milliseconds later.
  await new Promise((resolve) => setTimeout(resolve, 100))
  const { status, text } = await local('{ decisions { totalCount nodes { action } } }', token)
  t.equal(status, 200)
  t.same((JSON.parse(text) as { data: { decisions: { nodes: Array<{ action: string }> } } }).data.decisions.nodes.filter(({ action }) => action === 'BLOCK'), [])
})
