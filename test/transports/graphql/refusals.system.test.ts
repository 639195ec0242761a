import t, { type Test } from 'tap'
import { createTestClient, PASSWORD, type Reply } from '../../e2e/client.ts'
import { openApp } from '../../transaction/app.ts'

/** Every refusal on /graphql names its receipt, and what it says of a limit agrees with itself, whoever refused. */
const LOGIN = 'mutation ($p: String!) { login(username: "admin", password: $p) { accessToken } }'
const WRONG = { p: 'not the pass phrase at all' }

interface Shown { message: string, extensions: { code: string, assessment?: string, retryAfterSeconds?: number } }
const errorOf = ({ json }: Reply): Shown => (json as { errors: Shown[] }).errors[0]!
const named = (answer: Reply): unknown[] => [answer.status, errorOf(answer).extensions.code, errorOf(answer).extensions.assessment === answer.headers['x-neko-assessment']]

function isConsistent (t: Test, answer: Reply, { tier, limit }: { tier: string, limit: number }): void {
  const seconds = Number(answer.headers['retry-after'])
  t.ok(Number.isInteger(seconds) && seconds >= 1, `Retry-After: ${answer.headers['retry-after']}`)
  t.match(answer.headers, {
    'x-ratelimit-limit': String(limit),
    'x-ratelimit-remaining': '0',
    'x-ratelimit-reset': String(seconds),
    'ratelimit-policy': `"${tier}";q=${limit};w=60`,
    ratelimit: `"${tier}";r=0;t=${seconds}`
  })
  t.equal(errorOf(answer).extensions.retryAfterSeconds, seconds)
  t.match(errorOf(answer).message, new RegExp(`in ${seconds} s`))
}

t.test('a limited login speaks of the strict tier alone', async (t) => {
  const server = await openApp(t, { ADMIN_PASSWORD: PASSWORD, RATE_LIMIT_STRICT: '4/60/300', LOG_LEVEL: 'warn' })
  const client = createTestClient(t, server)
  for (let i = 0; i < 4; i++) t.same(named(await client.graphql(LOGIN, WRONG)), [401, 'NEKO_ERR_UNAUTHENTICATED', true])
  const limited = await client.graphql(LOGIN, WRONG)
  t.same(named(limited), [429, 'NEKO_ERR_LIMIT_EXCEEDED', true])
  isConsistent(t, limited, { tier: 'strict', limit: 4 })
  t.match((await client.graphql('{ health { status } }')).headers, { 'x-ratelimit-limit': '100', ratelimit: /^"standard";r=\d+/ }, 'other requests are counted on')
})

t.test('a query over what is left of its cost speaks of points', async (t) => {
  const server = await openApp(t, { RATE_LIMIT_STANDARD: '10/60/0', LOG_LEVEL: 'warn' })
  const client = createTestClient(t, server)
  let asked = 0
  // Each another one, or it would be answered from memory, for one point.
  const ask = async (): Promise<Reply> => await client.graphql(`{ a${asked++}: threatActors(first: 100) { nodes { id } } }`)
  // What did not come back is not charged: some five of these use up half of the 200 points.
  let over = await ask()
  for (let i = 0; over.status === 200 && i < 8; i++) over = await ask()
  t.same(named(over), [429, 'NEKO_ERR_LIMIT_EXCEEDED', true])
  isConsistent(t, over, { tier: 'standard-cost', limit: 200 })
})

t.test('every refusal names its receipt: of the gate, of a resolver, of the armor', async (t) => {
  const server = await openApp(t, { ADMIN_PASSWORD: PASSWORD, LOG_LEVEL: 'warn' })
  const client = createTestClient(t, server)
  const viewer = client.as({ authorization: `Bearer ${(await client.login('admin', PASSWORD)).accessToken}` })
  t.same(named(await client.graphql('{ me { username } }')), [401, 'NEKO_ERR_UNAUTHENTICATED', true])
  t.same(named(await client.graphql('{ health { status } }', {}, { authorization: 'Bearer none' })), [401, 'NEKO_ERR_UNAUTHENTICATED', true])
  t.same(named(await client.graphql('{ health { status } }', { a: { $ne: 1 } })), [400, 'NEKO_ERR_KEY_FORBIDDEN', true])
  t.same(named(await client.graphql('{ nothing }')), [200, 'NEKO_ERR_INPUT_INVALID', true])
  t.same(named(await viewer.graphql('mutation { removeDecision(id: "de_none") { id } }')), [200, 'NEKO_ERR_NOT_FOUND', true])
  t.same(named(await client.ask('/graphql', { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{' })), [400, 'NEKO_ERR_BODY_INVALID', true])
})
