import { writeFileSync } from 'node:fs'
import t from 'tap'
import { request } from 'undici'
import { makeDataDir, startServer, type StartedServer } from '../server.ts'

/** What playbooks do to requests, on the real server. */
t.setTimeout(120_000)

const PASSWORD = 'a long enough password'
const ATTACK = '/search?q=' + encodeURIComponent("1' UNION SELECT username, password FROM users--")
const AGENT = 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0'

interface Answer { status: number, text: string, retryAfter: string | undefined }

async function start (t: { teardown (handler: () => unknown): void }, env: Record<string, string> = {}, playbooks: object[] | null = null): Promise<StartedServer> {
  const dataDir = makeDataDir(t)
  if (playbooks !== null) writeFileSync(`${dataDir}/playbooks.json`, JSON.stringify(playbooks))
  return await startServer(t, { dataDir, env: { TRUST_PROXY: '127.0.0.1/32', ADMIN_PASSWORD: PASSWORD, RATE_LIMIT_STANDARD: '5000/60/1', LOG_LEVEL: 'warn', ...env } })
}

/** A new connection each time, so that every process is asked. */
async function ask (server: StartedServer, from: string, path: string, options: { method?: 'GET' | 'POST', headers?: Record<string, string>, body?: string } = {}): Promise<Answer> {
  const response = await request(server.url + path, { method: options.method ?? 'GET', headers: { 'x-forwarded-for': from, 'user-agent': AGENT, accept: '*/*', ...options.headers, connection: 'close' }, body: options.body ?? null })
  return { status: response.statusCode, text: await response.body.text(), retryAfter: response.headers['retry-after'] as string | undefined }
}

async function post (server: StartedServer, from: string, query: string, token: string | null = null): Promise<Answer> {
  return await ask(server, from, '/graphql', { method: 'POST', headers: { 'content-type': 'application/json', ...(token === null ? {} : { authorization: `Bearer ${token}` }) }, body: JSON.stringify({ query }) })
}

const ordinary = async (server: StartedServer, from: string): Promise<number> => (await post(server, from, '{ threatCounts { count } }')).status
const logIn = async (server: StartedServer, from: string, username: string, password: string): Promise<Answer> => await post(server, from, `mutation { login(username: ${JSON.stringify(username)}, password: ${JSON.stringify(password)}) { accessToken } }`)

/** Asks as the administrator. */
async function administer (server: StartedServer): Promise<(query: string) => Promise<Record<string, any>>> {
  const { data: { login } } = JSON.parse((await logIn(server, '198.51.100.7', 'admin', PASSWORD)).text) as { data: { login: { accessToken: string } } }
  return async (query) => {
    const { data, errors } = JSON.parse((await post(server, '198.51.100.7', query, login.accessToken)).text) as { data?: Record<string, unknown>, errors?: unknown }
    if (data === undefined || data === null) throw new Error(JSON.stringify(errors))
    return data
  }
}

async function until (what: () => Promise<boolean>, ms: number): Promise<boolean> {
  const end = performance.now() + ms
  while (performance.now() < end) {
    if (await what()) return true
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  return await what()
}

t.test("a decoy's block begins while its bait is still held, and the capture is recorded once", async (t) => {
  const server = await start(t, { WORKERS: '2' })
  const administrate = await administer(server)
  let isAnswered = false
  const bait = ask(server, '203.0.113.31', '/.env' + ATTACK.slice('/search'.length)).finally(() => { isAnswered = true })
  t.ok(await until(async () => (await Promise.all(Array.from({ length: 6 }, () => ordinary(server, '203.0.113.31')))).every((status) => status === 403), 1500), 'blocked in every process')
  t.notOk(isAnswered, 'before the bait was answered')
  t.equal((await bait).status, 200)
  await new Promise((resolve) => setTimeout(resolve, 300))
  const { incidents: { nodes: [incident] } } = await administrate('{ incidents { nodes { attacker timeline { actor } } } }')
  t.equal(incident.attacker, 'ip:203.0.113.31')
  t.equal((incident.timeline as Array<{ actor: string }>).filter(({ actor }) => actor === 'playbook:HONEYPOT_CAPTURE').length, 1)
  t.match(await (await request(server.metricsUrl + '/metrics')).body.text(), /neko_playbook_runs_total\{playbook="HONEYPOT_CAPTURE",result="done"\} 1\n/)
})

t.test('an attacker from a range whose allow was removed is blocked by the next attack', async (t) => {
  const server = await start(t)
  const administrate = await administer(server)
  const { addDecision } = await administrate('mutation { addDecision(scope: RANGE, value: "203.0.113.160/29", action: ALLOW, reason: "ours") { id } }')
  t.equal((await ask(server, '203.0.113.161', ATTACK)).status, 404, 'allowed')
  await administrate(`mutation { removeDecision(id: "${addDecision.id}") { id } }`)
  t.equal((await ask(server, '203.0.113.161', ATTACK)).status, 403)
  t.ok(await until(async () => await ordinary(server, '203.0.113.161') === 403, 1000), 'the block stands')
})

t.test('act true captures who touched a decoy elsewhere as if it had been here, and without it nobody', async (t) => {
  const server = await start(t)
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
  const captured = async (): Promise<string[]> => {
    const { incidents } = await administrate('{ incidents(first: 100) { nodes { attacker timeline { actor } } } }')
    return (incidents.nodes as Array<{ attacker: string, timeline: Array<{ actor: string }> }>).filter(({ timeline }) => timeline.some(({ actor }) => actor === 'playbook:HONEYPOT_CAPTURE')).map(({ attacker }) => attacker).sort()
  }
  const expected = touches.map((_one, i) => `ip:203.0.113.${i}`)
  t.ok(await until(async () => (await captured()).length >= expected.length, 2000))
  t.same(await captured(), expected)
  t.equal(await ordinary(server, '203.0.113.4'), 403, 'a decoy at a blocking score blocks')
  t.same([await ordinary(server, '203.0.113.5'), await ordinary(server, '192.0.2.4')], [200, 200], 'at a low score, or handed in to be looked at, not')
})

t.test('removeDecision lifts a login block: that of the address, and that of the account when it is about a user', async (t) => {
  await Promise.all(['1', '2'].map(async (WORKERS) => {
    const server = await start(t, { WORKERS })
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
    t.ok(await until(async () => await loggedIn(address), 1000), `the address, WORKERS=${WORKERS}`)

    // The address was a stranger too when it got in: eleven more are the twelve of a minute.
    for (let i = 0; i < 11; i++) await logIn(server, `203.0.113.${100 + i}`, 'anna', 'wrong wrong wrong')
    await pardon('IP', '203.0.113.90')
    t.notOk(await loggedIn('203.0.113.90'), 'a stranger waits in vain: the account is not the address')
    await pardon('USER', createUser.id as string)
    t.ok(await until(async () => await loggedIn('203.0.113.90'), 1000), `the account, WORKERS=${WORKERS}`)
  }))
})

t.test('whoever is over a limit is told the length that playbooks.json gives the block, by every answer', async (t) => {
  const flood = async (server: StartedServer, from: string, count: number): Promise<number[]> => {
    const waits = []
    for (let i = 0; i < count; i++) waits.push(Number((await ask(server, from, '/nothing')).retryAfter ?? 0))
    return waits.filter((seconds) => seconds > 0)
  }
  await Promise.all(([['1', 10], ['2', 900]] as const).map(async ([WORKERS, seconds]) => {
    const server = await start(t, { WORKERS, RATE_LIMIT_STANDARD: '6/1/1', RATE_LIMIT_STRICT: '2/8/0' }, [{ name: 'RATE_LIMIT_VIOLATION', steps: [{ do: 'limit', seconds }] }])
    const around = (waits: number[], upTo: number): boolean => waits.length > 1 && waits.every((wait) => wait <= upTo && wait > upTo - 5)
    for (let violation = 1; violation <= 3; violation++) {
      const waits = await flood(server, '203.0.113.41', 9)
      if (violation < 3) {
        t.ok(around(waits, 3), `violation ${violation}: ${waits.join()}`)
        await new Promise((resolve) => setTimeout(resolve, 2500))
      } else {
        t.equal(waits[0], seconds, 'the crossing itself')
        t.ok(around(waits, seconds), waits.join())
      }
    }
    await new Promise((resolve) => setTimeout(resolve, 500))
    t.ok(around(await flood(server, '203.0.113.41', 3), seconds), 'also when the playbook has acted')
    const tries = []
    for (let i = 0; i < 4; i++) tries.push(Number((await logIn(server, '203.0.113.42', `nobody${i}`, 'wrong wrong wrong')).retryAfter ?? 0))
    t.ok(around(tries.slice(2), seconds), `logging in: ${tries.join()}`)
  }))
})

t.test('the third refusal blocks, however quickly the three came and to whichever process', async (t) => {
  const server = await start(t, { WORKERS: '2' })
  const certain = '/nowhere?f=../../etc/'
  for (let i = 1; i <= 6; i++) {
    const address = `203.0.113.${200 + i}`
    t.same(await Promise.all([1, 2, 3].map(async () => (await ask(server, address, certain)).status)), [403, 403, 403])
    t.ok(await until(async () => (await Promise.all([1, 2, 3, 4].map(() => ordinary(server, address)))).every((status) => status === 403), 2_000), address)
  }
  for (let i = 0; i < 2; i++) t.equal((await ask(server, '203.0.113.210', certain)).status, 403)
  await new Promise((resolve) => setTimeout(resolve, 1_500))
  t.equal(await ordinary(server, '203.0.113.210'), 200, 'two are not three')
})

t.test('who works on the machine itself is refused by the score, and never locked out, by whatever name', async (t) => {
  const server = await start(t, { TRUST_PROXY: '' })
  const local = async (query: string, token: string | null = null): Promise<Answer> => {
    const response = await request(server.url + '/graphql', { method: 'POST', headers: { 'user-agent': AGENT, 'content-type': 'application/json', ...(token === null ? {} : { authorization: `Bearer ${token}` }) }, body: JSON.stringify({ query }) })
    return { status: response.statusCode, text: await response.body.text(), retryAfter: undefined }
  }
  const token = (JSON.parse((await local(`mutation { login(username: "admin", password: "${PASSWORD}") { accessToken } }`)).text) as { data: { login: { accessToken: string } } }).data.login.accessToken
  for (let i = 0; i < 4; i++) t.equal((await local(`{ me { username } } # 1' UNION SELECT username, password FROM users WHERE ${i}=${i}--`, token)).status, 403)
  await new Promise((resolve) => setTimeout(resolve, 300))
  const { status, text } = await local('{ decisions { totalCount nodes { action } } }', token)
  t.equal(status, 200)
  t.same((JSON.parse(text) as { data: { decisions: { nodes: Array<{ action: string }> } } }).data.decisions.nodes.filter(({ action }) => action === 'BLOCK'), [])
})
