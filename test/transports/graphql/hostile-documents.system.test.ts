import { randomBytes } from 'node:crypto'
import t from 'tap'
import { getIntrospectionQuery } from 'graphql'
import { Client, Pool } from 'undici'
import { startServer } from '../../server.ts'

/**
 * Hostile GraphQL documents, each refused with our code within 50 ms, while others are served. The server runs in
 * shadow, so that it is the GraphQL edge that answers and not the score.
 */
const times = (count: number, part: (i: number) => string): string => Array.from({ length: count }, (_, i) => part(i)).join(' ')
const GRAPHQL = 'application/graphql-response+json'

interface Case { title: string, query?: unknown, body?: string, get?: string, variables?: unknown, operationName?: string, code: string, status?: number }

const deepList = '['.repeat(400) + ']'.repeat(400)
const CASES: Case[] = [
  { title: 'depth 9', query: '{ a '.repeat(9) + '}'.repeat(9), code: 'NEKO_ERR_QUERY_TOO_DEEP' },
  { title: 'depth 9 in inline fragments', query: '{ ... { a '.repeat(9) + '} }'.repeat(9), code: 'NEKO_ERR_QUERY_TOO_DEEP' },
  { title: 'depth 9 through fragments', query: `{ threatActors { ...F0 } } ${times(8, (i) => `fragment F${i} on A { a { ...F${i + 1} } }`)} fragment F8 on A { a }`, code: 'NEKO_ERR_QUERY_TOO_DEEP' },
  { title: 'a circle of fragments', query: '{ ...F } fragment F on Query { threatActors { nodes { id } } ...G } fragment G on Query { ...F }', code: 'NEKO_ERR_INPUT_INVALID' },
  { title: 'a circle that validation overflows on', query: `{ a { ...F0 ...F1 } } ${times(50, (i) => `fragment F${i} on A { s a { ...F${(i + 1) % 50} ...F${(i + 2) % 50} } }`)}`, code: 'NEKO_ERR_INPUT_INVALID' },
  { title: 'fifty fragments that double', query: `{ threatActors { ...F0 } } ${times(50, (i) => `fragment F${i} on ThreatActorConnection { ...F${i + 1} ...F${i + 1} }`)} fragment F50 on ThreatActorConnection { totalCount }`, code: 'NEKO_ERR_QUERY_TOO_LARGE' },
  { title: '1,000 aliases', query: `{ ${times(1000, (i) => `a${i}: health { status }`)} }`, code: 'NEKO_ERR_QUERY_TOO_LARGE' },
  { title: '31 aliases', query: `{ health { ${times(31, (i) => `a${i}: status`)} } }`, code: 'NEKO_ERR_QUERY_TOO_LARGE' },
  { title: '3,000 equal fields', query: `{ health { ${'status '.repeat(3000)} } }`, code: 'NEKO_ERR_QUERY_TOO_LARGE' },
  { title: '1,000 directives', query: `{ health ${'@include(if: true) '.repeat(1000)} { status } }`, code: 'NEKO_ERR_QUERY_TOO_LARGE' },
  { title: '51 directives', query: `{ health ${'@x '.repeat(51)} { status } }`, code: 'NEKO_ERR_QUERY_TOO_LARGE' },
  { title: '11 root fields', query: `{ ${'health { status } '.repeat(11)} }`, code: 'NEKO_ERR_QUERY_TOO_LARGE' },
  { title: 'a deep list literal', query: `{ threatActors(search: ${deepList}) { totalCount } }`, code: 'NEKO_ERR_QUERY_TOO_DEEP' },
  { title: 'a JSON AST as a text', query: '{"kind":"Document","definitions":[]}', code: 'NEKO_ERR_INPUT_INVALID' },
  { title: 'a JSON AST as an object', query: { kind: 'Document', definitions: [] }, code: 'NEKO_ERR_BODY_INVALID', status: 400 },
  { title: 'a document of 64 kB', query: `{ health { ${'status '.repeat(9000)} } }`, code: 'NEKO_ERR_QUERY_TOO_LARGE' },
  { title: 'a document of more than the body limit', query: `{ health { ${'status '.repeat(12_000)} } }`, code: 'NEKO_ERR_BODY_TOO_LARGE', status: 413 },
  { title: 'introspection in production', query: getIntrospectionQuery(), code: 'NEKO_ERR_INPUT_INVALID' },
  { title: '__type in production', query: '{ __type(name: "Query") { name } }', code: 'NEKO_ERR_INPUT_INVALID' },
  { title: 'a mistyped field', query: '{ healt { status } }', code: 'NEKO_ERR_INPUT_INVALID' },
  { title: 'a batch of 11', body: JSON.stringify(new Array(11).fill({ query: '{ health { status } }' })), code: 'NEKO_ERR_BODY_INVALID', status: 400 },
  { title: 'a mutation by GET', get: `/graphql?query=${encodeURIComponent('mutation { logout }')}`, code: 'NEKO_ERR_INPUT_INVALID' },
  { title: 'an unknown operationName', query: 'query A { health { status } }', operationName: 'B', code: 'NEKO_ERR_INPUT_INVALID' },
  { title: 'an unknown operationName with variables', query: 'query A { health { status } }', operationName: 'B', variables: { a: 1 }, code: 'NEKO_ERR_INPUT_INVALID' },
  { title: 'two operations', query: 'query A { health { status } } query B { health { notes } }', operationName: 'B', code: 'NEKO_ERR_INPUT_INVALID' },
  { title: 'variables 100,000 deep', body: `{"query":"query ($a: Int) { health { status } }","variables":{"a":${'['.repeat(100_000)}${']'.repeat(100_000)}}}`, code: 'NEKO_ERR_BODY_TOO_LARGE', status: 413 },
  { title: 'variables 30,000 deep', body: `{"query":"query ($a: Int) { health { status } }","variables":{"a":${'['.repeat(30_000)}${']'.repeat(30_000)}}}`, code: 'NEKO_ERR_BODY_INVALID', status: 400 },
  { title: 'variables 33 deep by GET', get: `/graphql?query={health{status}}&variables=${encodeURIComponent(`{"a":${'['.repeat(40)}${']'.repeat(40)}}`)}`, code: 'NEKO_ERR_BODY_INVALID', status: 400 },
  { title: 'a page that costs more than the budget', query: '{ threatActors(first: 1000000000) { nodes { id } } }', code: 'NEKO_ERR_QUERY_TOO_COSTLY' },
  { title: 'a subscription by POST', query: 'subscription { decisionChanged { id } }', code: 'NEKO_ERR_INPUT_INVALID' },
  { title: 'broken JSON', body: '{"query":', code: 'NEKO_ERR_BODY_INVALID', status: 400 },
  { title: 'an empty document', query: '#', code: 'NEKO_ERR_INPUT_INVALID' }
]

t.test('hostile documents are refused with our code, at once, and say nothing of the inside', async (t) => {
  const server = await startServer(t, { env: { NODE_ENV: 'production', ENFORCEMENT: 'shadow', RATE_LIMIT_STANDARD: '1000000/60/0', LOG_LEVEL: 'warn', JWT_SECRET: randomBytes(48).toString('base64url'), AUDIT_SIGNING_KEY: randomBytes(48).toString('base64url'), ADMIN_PASSWORD: 'a long pass phrase for r40' } })
  const client = new Client(server.url)
  const other = new Pool(server.url, { connections: 4 })
  t.teardown(async () => await Promise.all([client.destroy(), other.destroy()]))
  const ask = async ({ query, body, get, variables, operationName }: Partial<Case>, accept: string, from: Pick<Client, 'request'> = client): Promise<{ status: number, text: string, ms: number }> => {
    const started = performance.now()
    const answer = await from.request({ method: get === undefined ? 'POST' : 'GET', path: get ?? '/graphql', headers: { accept, 'user-agent': 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0', ...(get === undefined ? { 'content-type': 'application/json' } : {}) }, ...(get === undefined ? { body: body ?? JSON.stringify({ query, variables, operationName }) } : {}) })
    const text = await answer.body.text()
    return { status: answer.statusCode, text, ms: performance.now() - started }
  }
  for (let i = 0; i < 100; i++) await ask({ query: '{ health { status } }' }, GRAPHQL)

  let served = 0
  const others = { wanted: true }
  const load = Promise.all(times(4, String).split(' ').map(async () => {
    while (others.wanted) {
      const { status, text } = await ask({ query: '{ health { status } }' }, GRAPHQL, other)
      if (status !== 200 || !text.includes('"data"')) throw new Error(`${status} ${text}`)
      served++
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  }))
  const scrape = async (): Promise<number> => Number(/^nodejs_eventloop_lag_max_seconds ([\d.e-]+)/m.exec(await (await fetch(`${server.metricsUrl}/metrics`)).text())?.[1])
  let slowest = { ms: 0, title: '' }
  const runTable = async (): Promise<number> => {
    await scrape()
    for (const one of CASES) for (const accept of [GRAPHQL, 'application/json']) await check(one, accept)
    return await scrape() * 1000
  }
  const check = async (one: Case, accept: string): Promise<void> => {
    let answer = await ask(one, accept)
    // On a shared machine one of several tries counts: a document that is slow is slow each time.
    for (let i = 0; i < 5 && answer.ms > 50; i++) answer = await ask(one, accept)
    const code = (JSON.parse(answer.text) as { errors: Array<{ extensions: { code: string } }> }).errors[0]?.extensions.code
    t.equal(code, one.code, `${one.title}, ${accept}`)
    t.equal(answer.status, one.status ?? (accept === GRAPHQL ? 400 : 200), `${one.title}, ${accept}`)
    t.notMatch(answer.text, /Cannot read|\bat .*:\d+:\d+|node_modules|TypeError|undefined|Did you mean/, one.title)
    t.ok(answer.ms <= 50, `${one.title}: ${answer.ms.toFixed(1)} ms`)
    if (answer.ms > slowest.ms) slowest = { ms: answer.ms, title: one.title }
  }
  // The same holds for the loop: the table is run again when something else held the processor.
  let lagMs = await runTable()
  for (let i = 0; i < 3 && lagMs > 50; i++) lagMs = Math.min(lagMs, await runTable())
  others.wanted = false
  await load
  t.comment(`${CASES.length} documents twice; slowest ${slowest.ms.toFixed(1)} ms (${slowest.title}); event loop at most ${lagMs.toFixed(1)} ms late; ${served} others served`)
  t.ok(lagMs <= 50, 'the event loop')
  t.notMatch(server.output(), /"level":"(error|fatal)"/)
  t.equal((await ask({ query: '{ health { status } }' }, GRAPHQL)).status, 200, 'alive')
  t.equal(await server.stop(), 0)
})

t.test('the standard introspection query works outside production, and suggestions are made', async (t) => {
  const server = await startServer(t, { env: { LOG_LEVEL: 'warn' } })
  const ask = async (query: string): Promise<string> => await (await fetch(`${server.url}/graphql`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ query }) })).text()
  t.match(await ask(getIntrospectionQuery()), /"queryType"/)
  t.match(await ask('{ healt { status } }'), /Did you mean/)
})
