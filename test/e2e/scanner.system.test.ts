import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createHmac } from 'node:crypto'
import t, { type Test } from 'tap'
import { request } from 'undici'
import { showFigure } from '../bar.ts'
import { scaled } from '../scale.ts'
import { neko } from './neko.ts'
import { openApp } from '../transaction/app.ts'
import { sharedPath } from '../shared.ts'
import { startServer, type StartedServer } from '../server.ts'

/** A scanner from one address against the real server with two workers. */
const PASSWORD = 'a long enough password'
const SECRET = 'the webhook secret of this test, long enough'
const ATTACK = '/search?q=' + encodeURIComponent("1' UNION SELECT username, password FROM users--")

interface Hook { signature: string, body: string }

/** A receiver of webhooks; the first `refusals` are answered 503. */
async function receiver (t: Test, refusals = 0): Promise<{ url: string, hooks: Hook[] }> {
  const hooks: Hook[] = []
  const server = createServer((incoming, answer) => {
    let body = ''
    incoming.setEncoding('utf8').on('data', (chunk: string) => { body += chunk }).on('end', () => {
      hooks.push({ signature: String(incoming.headers['x-neko-signature']), body })
      answer.writeHead(hooks.length <= refusals ? 503 : 204).end()
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, hooks }
}

async function start (t: Test, env: Record<string, string> = {}): Promise<StartedServer> {
  return await startServer(t, { env: { WORKERS: '2', TRUST_PROXY: '127.0.0.1/32', ADMIN_PASSWORD: PASSWORD, RATE_LIMIT_STANDARD: '5000/60/1', LOG_LEVEL: 'warn', ...env } })
}

async function openHere (t: Test, env: Record<string, string> = {}): Promise<{ url: string }> {
  return await openApp(t, { ADMIN_PASSWORD: PASSWORD, RATE_LIMIT_STANDARD: '5000/60/1', ...env })
}

async function ask (server: { url: string }, path: string, options: { method?: string, headers?: Record<string, string>, body?: string, from?: string } = {}): Promise<{ status: number, text: string, headers: Record<string, unknown> }> {
  // A new connection each time, so that both workers are asked.
  const response = await request(server.url + path, { method: (options.method ?? 'GET') as 'GET', headers: { 'x-forwarded-for': options.from ?? '203.0.113.9', 'user-agent': 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0', accept: '*/*', ...options.headers, connection: 'close' }, body: options.body ?? null })
  return { status: response.statusCode, text: await response.body.text(), headers: response.headers }
}

async function graphql (server: { url: string }, query: string, token: string | null = null): Promise<Record<string, any>> {
  const { text } = await ask(server, '/graphql', { method: 'POST', from: '198.51.100.7', headers: { 'content-type': 'application/json', ...(token === null ? {} : { authorization: `Bearer ${token}` }) }, body: JSON.stringify({ query }) })
  const { data, errors } = JSON.parse(text) as { data?: Record<string, unknown>, errors?: unknown }
  if (data === undefined || data === null) throw new Error(JSON.stringify(errors))
  return data
}

async function logIn (server: { url: string }): Promise<string> {
  const { login } = await graphql(server, `mutation { login(username: "admin", password: ${JSON.stringify(PASSWORD)}) { accessToken } }`)
  return login.accessToken as string
}

/** False when it would hang; no time is judged by it. */
async function comes (what: () => Promise<boolean> | boolean): Promise<boolean> {
  const end = performance.now() + 20_000
  while (performance.now() < end) {
    if (await what()) return true
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  return await what()
}

/** Statuses of as many ordinary requests as certainly reach both workers. */
async function ordinary (server: StartedServer, from = '203.0.113.9'): Promise<number[]> {
  const query = JSON.stringify({ query: '{ threatCounts { category count } }' })
  return (await Promise.all(Array.from({ length: 12 }, () => ask(server, '/graphql', { method: 'POST', from, headers: { 'content-type': 'application/json' }, body: query })))).map(({ status }) => status)
}

const hook = await receiver(t)
const server = await start(t, { WEBHOOK_URLS: hook.url, WEBHOOK_SECRET: SECRET })
const token = await logIn(server)

t.test('a block expires on time, and the gauge says so', async (t) => {
  await graphql(server, 'mutation { addDecision(scope: IP, value: "203.0.113.8", action: BLOCK, ttlSeconds: 6, reason: "short") { id } }', token)
  const madeMs = performance.now()
  t.ok(await comes(async () => (await ordinary(server, '203.0.113.8')).every((status) => status === 403)), 'in every process')
  let askedMs = 0
  t.ok(await comes(async () => {
    askedMs = performance.now()
    return (await ordinary(server, '203.0.113.8')).every((status) => status === 200)
  }))
  // Begun before the mutation was answered, and not over before the last who was refused had asked.
  t.ok(performance.now() - madeMs > 5000, 'not before its time')
  showFigure(t, 'gone after', askedMs - madeMs, 7000)
  const gauge = async (): Promise<string> => await (await request(server.metricsUrl + '/metrics')).body.text()
  t.ok(await comes(async () => /neko_decisions_active\{action="BLOCK"\} 0/.test(await gauge())))
})

t.test('a scanner is blocked everywhere after its first certain request, seen once, told of once, and let back in everywhere', async (t) => {
  t.same([...new Set(await ordinary(server))], [200])

  const file = sharedPath('corpora/dev-smoke.jsonl')
  const scans = file === null
    ? Array.from({ length: scaled(100, 200) }, () => ({ method: 'GET', url: ATTACK, headers: {} as Record<string, string>, body: undefined as string | undefined }))
    : readFileSync(file, 'utf8').split('\n').filter((line) => line !== '').map((line) => JSON.parse(line) as { label: string, request: { method: string, url: string, headers: Record<string, string>, body?: string } })
      .filter(({ label, request: { method } }) => label === 'malicious' && ['GET', 'POST', 'PUT'].includes(method)).slice(0, scaled(100, 300)).map(({ request }) => request)
  const statuses: number[] = []
  let blockedAt = -1
  for (const scan of scans) {
    const headers = Object.fromEntries(Object.entries(scan.headers).filter(([name]) => !/^(host|connection|content-length|transfer-encoding|expect|upgrade|x-forwarded-for|x-api-key|authorization|te)$/i.test(name)))
    const { status } = await ask(server, scan.url.startsWith('/') ? scan.url : '/', { method: scan.method, headers, ...(scan.body === undefined ? {} : { body: scan.body }) }).catch(() => ({ status: 0 }))
    statuses.push(status)
    if (blockedAt < 0 && status === 403 && (await standing(server, token)).length > 0) blockedAt = statuses.length
  }
  const after = statuses.slice(blockedAt)
  t.comment(`${scans.length} requests, the ${blockedAt}th brought the block`)
  t.ok(blockedAt > 0 && blockedAt <= 20, 'blocked early')
  // A large body may still be on its way when the refusal closes the connection: that is no answer, and no passage.
  t.same([...new Set(after.filter((status) => status !== 0))], [403], 'and nothing passed afterwards')
  t.ok(after.filter((status) => status === 0).length <= 5)
  t.same([...new Set(await ordinary(server))], [403], 'in every process')

  const decisions = await standing(server, token)
  t.equal(decisions.length, 1, 'one block')
  const { incidents } = await graphql(server, '{ incidents(first: 10) { totalCount nodes { playbook critical attacker count timeline { actor what } techniques assessments(first: 5) { nodes { id score } } } } }', token)
  t.equal(incidents.totalCount, 1, 'one incident')
  t.match(incidents.nodes[0], { attacker: 'ip:203.0.113.9', timeline: [{ actor: /^playbook:/ }] })
  t.ok(await comes(() => hook.hooks.length > 0), 'a webhook arrives')

  const { removeDecision } = await graphql(server, `mutation { removeDecision(id: "${decisions[0]!.id}") { id } }`, token)
  t.equal(removeDecision.id, decisions[0]!.id)
  const removedMs = performance.now()
  t.ok(await comes(async () => (await ordinary(server)).every((status) => status === 200)), 'let back in')
  t.comment(`let back in everywhere after ${Math.round(performance.now() - removedMs)} ms`)
  // Whatever was gathered for a second message goes out before the server ends.
  t.equal(await server.stop(), 0)
  t.equal(hook.hooks.length, 1, 'one webhook')
  const [seconds, mac] = /^t=(\d+),v1=([0-9a-f]{64})$/.exec(hook.hooks[0]!.signature)!.slice(1) as [string, string]
  t.equal(mac, createHmac('sha256', SECRET).update(`${seconds}.${hook.hooks[0]!.body}`).digest('hex'), 'signed')
  t.match(JSON.parse(hook.hooks[0]!.body), { attackers: [{ attacker: 'ip:203.0.113.9' }] })

  const { stdout } = await neko(server.dataDir, ['audit', 'verify'])
  t.comment(stdout.trim().split('\n').at(-1) ?? '')
})

async function standing (server: StartedServer, token: string): Promise<Array<{ id: string }>> {
  const { decisions } = await graphql(server, '{ decisions(action: BLOCK, value: "203.0.113.9") { nodes { id action origin } } }', token)
  return decisions.nodes as Array<{ id: string }>
}

t.test('decoys answer their bait whatever asks and however, and the block begins with the next request', async (t) => {
  const server = await openHere(t)
  const token = await logIn(server)
  let next = 20
  const touch = async (path: string, options: Parameters<typeof ask>[2] = {}): Promise<{ status: number, text: string }> => await ask(server, path, { from: `203.0.113.${next++}`, ...options })
  const answers = await Promise.all([
    touch('/.env'), touch('/.env?x=1'), touch('/.git/config'), touch('/wp-admin'), touch('/backup.zip'), touch('/.decoy'),
    touch('/wp-login.php', { method: 'POST', headers: { 'content-type': 'application/x-www-form-urlencoded' }, body: 'log=admin&pwd=admin' }),
    touch('/wp-login.php', { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"broken' })
  ])
  t.same(answers.map(({ status }) => status), answers.map(() => 200))
  t.match(answers[0]!.text, /APP_ENV/)
  t.match(answers[2]!.text, /\[core\]/)
  t.equal((await touch('/.env', { method: 'HEAD' })).status, 200)
  const bad = await touch('/.env' + ATTACK.slice('/search'.length), { from: '203.0.113.99' })
  t.equal(bad.status, 200, 'also when the verdict is block')
  t.ok(await comes(async () => (await ask(server, '/', { from: '203.0.113.99' })).status === 403), 'then the block stands')
  const query = async (text: string, from: string): Promise<{ status: number, text: string }> => await ask(server, '/graphql', { method: 'POST', from, headers: { 'content-type': 'application/json' }, body: JSON.stringify({ query: text }) })
  t.same(JSON.parse((await query('{ adminUsers }', '203.0.113.100')).text), { data: { adminUsers: [] } })
  t.match((await query('{ adminUsers(name: "1\' UNION SELECT username, password FROM users--") }', '203.0.113.101')).text, /"adminUsers":\[\]/)
  t.match((await query('{ health { status } internalTokens }', '203.0.113.102')).text, /errors/)
  const captured = await comes(async () => {
    const { incidents } = await graphql(server, '{ incidents(first: 100) { nodes { attacker timeline { actor } } } }', token)
    const seen = new Set((incidents.nodes as Array<{ attacker: string, timeline: Array<{ actor: string }> }>).filter(({ timeline }) => timeline.some(({ actor }) => actor === 'playbook:HONEYPOT_CAPTURE')).map(({ attacker }) => attacker))
    return ['20', '27', '99', '100', '101', '102'].every((last) => seen.has(`ip:203.0.113.${last}`))
  })
  t.ok(captured, 'each is a honeypot capture')
})

t.test('an address that NEVER_BLOCK or an allow covers is refused by its score, and never blocked', async (t) => {
  const server = await openHere(t, { NEVER_BLOCK: '203.0.113.0/25' })
  const token = await logIn(server)
  await graphql(server, 'mutation { addDecision(scope: IP, value: "203.0.113.200", action: ALLOW, reason: "our own scanner") { id } }', token)
  t.equal((await ask(server, ATTACK, { from: '203.0.113.9' })).status, 403)
  t.equal((await ask(server, ATTACK, { from: '203.0.113.200' })).status, 404, 'allowed')
  // Who has no such cover is blocked by then.
  t.equal((await ask(server, ATTACK, { from: '203.0.113.210' })).status, 403)
  t.ok(await comes(async () => (await ask(server, '/graphql?query={__typename}', { from: '203.0.113.210' })).status === 403))
  t.equal((await ask(server, '/health', { from: '203.0.113.9' })).status, 200)
  t.equal((await ask(server, '/graphql?query={__typename}', { from: '203.0.113.9' })).status, 200)
  // A block acts before its row is written, and rows are written in order: whoever came before the last would be listed with it.
  const listed = async (): Promise<unknown[]> => (await graphql(server, '{ decisions(action: BLOCK) { nodes { value } } }', token)).decisions.nodes
  t.ok(await comes(async () => (await listed()).length > 0))
  t.same(await listed(), [{ value: '203.0.113.210' }])
})

t.test('playbooks.json that is wrong ends the start with 78 and names DATA_DIR', async (t) => {
  const { spawnServer, makeDataDir } = await import('../server.ts')
  const { writeFileSync } = await import('node:fs')
  const dataDir = makeDataDir(t)
  writeFileSync(`${dataDir}/playbooks.json`, '[{"name":"NO_SUCH"}]')
  const server = spawnServer(t, { dataDir })
  t.equal((await server.ended).code, 78)
  t.match(server.output(), /DATA_DIR/)
})
