import t from 'tap'
import { BROWSER, PASSWORD, createTestClient } from './client.ts'
import { startServer } from '../server.ts'

/**
 * Brute force on login. Ten tries per account and address within the window, then 429 with the time to come back;
 * a person who mistypes is told so by the limiter, never refused by the score. (Weak secrets: r46.)
 */
const AGENTS: Array<[string, Record<string, string>]> = [['a browser', {}], ['a script', { 'user-agent': 'python-requests/2.32.3' }], ['curl', { 'user-agent': 'curl/8.14.1', 'accept-language': '' }]]

for (const WORKERS of ['1', '2']) {
  for (const [title, headers] of WORKERS === '1' ? AGENTS : AGENTS.slice(0, 1)) {
    t.test(`ten wrong passwords by ${title}, then 429 (WORKERS=${WORKERS})`, async (t) => {
      const server = await startServer(t, { env: { WORKERS, ADMIN_PASSWORD: PASSWORD, EXPOSE_SCORE: 'true', LOG_LEVEL: 'warn' } })
      const client = createTestClient(t, server)
      const tries: Array<{ status: number, score: number }> = []
      for (let i = 0; i < 14; i++) {
        const reply = await client.ask('/graphql', { method: 'POST', headers: { ...BROWSER, ...headers, 'content-type': 'application/json', ...(WORKERS === '2' ? { connection: 'close' } : {}) }, body: JSON.stringify({ query: 'mutation { login(username: "admin", password: "wrong pass phrase") { accessToken } }' }) })
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
}

t.test('1,000 tries at once on two workers: ten of an account are looked at, whoever else is there', async (t) => {
  const server = await startServer(t, { env: { WORKERS: '2', ADMIN_PASSWORD: PASSWORD, LOG_LEVEL: 'warn', RATE_LIMIT_STANDARD: '100000/60/0', ENFORCEMENT: 'shadow' } })
  const client = createTestClient(t, server)
  const statuses = new Map<number, number>()
  let left = 1000
  await Promise.all(Array.from({ length: 32 }, async () => {
    while (left-- > 0) {
      const { status } = await client.graphql('mutation ($p: String!) { login(username: "admin", password: $p) { accessToken } }', { p: `wrong pass phrase ${left}` })
      statuses.set(status, (statuses.get(status) ?? 0) + 1)
    }
  }))
  t.same([...statuses].sort(), [[401, 10], [429, 990]])
})
