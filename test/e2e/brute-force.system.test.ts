import t from 'tap'
import { BROWSER, PASSWORD, asAdmin, createTestClient, dataOf } from './client.ts'
import { scaled } from '../scale.ts'
import { startServer } from '../server.ts'
import { openApp } from '../transaction/app.ts'

/**
 * Brute force on login. Ten tries per account and address within the window, then 429 with the time to come back;
 * a person who mistypes is told so by the limiter, never refused by the score. (Weak secrets: r46.)
 */
const TRIES = scaled(300, 1_000)
const AGENTS: Array<[string, Record<string, string>]> = [['a browser', {}], ['a script', { 'user-agent': 'python-requests/2.32.3' }], ['curl', { 'user-agent': 'curl/8.14.1', 'accept-language': '' }]]

const ENV = { ADMIN_PASSWORD: PASSWORD, EXPOSE_SCORE: 'true', TRUST_PROXY: '127.0.0.1/32', LOG_LEVEL: 'warn' }
const two = await startServer(t, { env: { ...ENV, WORKERS: '2', RATE_LIMIT_STANDARD: '100000/60/0' } })
const admin = await asAdmin(createTestClient(t, two))
const CASES: Array<[title: string, processes: string, headers: Record<string, string>]> = [...AGENTS.map(([title, headers]) => [title, 'one process', headers] as [string, string, Record<string, string>]), ['a browser', 'two processes', { connection: 'close' }]]

for (const [title, processes, headers] of CASES) {
  t.test(`ten wrong passwords by ${title}, then 429 (${processes})`, async (t) => {
    const client = createTestClient(t, processes === 'one process' ? await openApp(t, ENV) : two).as({ 'x-forwarded-for': '198.51.100.20' })
    const tries: Array<{ status: number, score: number }> = []
    for (let i = 0; i < 14; i++) {
      const reply = await client.ask('/graphql', { method: 'POST', headers: { ...BROWSER, ...headers, 'content-type': 'application/json' }, body: JSON.stringify({ query: 'mutation { login(username: "admin", password: "wrong pass phrase") { accessToken } }' }) })
      tries.push({ status: reply.status, score: Number(reply.headers['x-neko-score']) })
      if (reply.status === 429) {
        t.match(String(reply.headers['retry-after']), /^[1-9]\d{0,2}$/, 'says when to come back')
        t.match(reply.text, /NEKO_ERR_LIMIT_EXCEEDED/)
      }
    }
    t.same(tries.map(({ status }) => status), [...Array(10).fill(401), ...Array(4).fill(429)])
    t.ok(tries.every(({ score }) => score < 75), `scores ${tries.map(({ score }) => score).join(' ')}`)
    t.equal((await client.graphql(`mutation { login(username: "admin", password: "${PASSWORD}") { accessToken } }`)).status, 429, 'the right one neither, until then')
    t.equal((await client.graphql('{ health { status } }')).status, 200, 'what is no login goes on')
  })
}

t.test(`${TRIES} tries at once on two workers: ten of an account are looked at, whoever else is there`, async (t) => {
  const client = createTestClient(t, two).as({ 'x-forwarded-for': '198.51.100.21' })
  // An account of its own: strangers who failed at one wait in its line.
  await dataOf(admin.graphql('mutation ($p: String!) { createUser(username: "vera", password: $p, role: VIEWER) { id } }', { p: PASSWORD }))
  const statuses = new Map<number, number>()
  let left = TRIES
  await Promise.all(Array.from({ length: 32 }, async () => {
    while (left-- > 0) {
      const { status } = await client.graphql('mutation ($p: String!) { login(username: "vera", password: $p) { accessToken } }', { p: `wrong pass phrase ${left}` })
      statuses.set(status, (statuses.get(status) ?? 0) + 1)
    }
  }))
  t.same([...statuses.keys()].sort(), [401, 429])
  // While the primary is silent for 100 ms, processes admit by shares of their own: what is left over then is nobody's.
  const looked = statuses.get(401)!
  await two.stop()
  if (two.logs().some(({ msg }) => String(msg).startsWith('primary not responding'))) t.ok(looked >= 5 && looked <= 10, `${looked} of ${TRIES}`)
  else t.equal(looked, 10)
})
