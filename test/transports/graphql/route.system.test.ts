import t from 'tap'
import { getIntrospectionQuery } from 'graphql'
import { openApp } from '../../transaction/app.ts'

const BROWSER = { 'user-agent': 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0', accept: 'application/json, multipart/mixed', 'accept-language': 'en-US,en;q=0.5', 'accept-encoding': 'gzip, deflate, br', 'content-type': 'application/json' }

t.test('GraphiQL works from its own files, under a policy that names nobody else, and its introspection is answered', async (t) => {
  const server = await openApp(t, { LOG_LEVEL: 'warn' })
  const page = await fetch(`${server.url}/graphiql`, { headers: BROWSER })
  const html = await page.text()
  t.equal(page.status, 200)
  const policy = page.headers.get('content-security-policy') ?? ''
  t.match(policy, /default-src 'none'; script-src 'self'/)
  t.notMatch(policy + html, /https?:|unpkg|cdn|unsafe-eval/)
  for (const [, path] of html.matchAll(/(?:src|href)="(\/[^"]+)"/g)) {
    const file = await fetch(server.url + path, { headers: BROWSER })
    t.equal(file.status, 200, path)
    t.match(file.headers.get('content-type'), path!.endsWith('.css') ? /css/ : /javascript/)
    await file.arrayBuffer()
  }
  const answer = await fetch(`${server.url}/graphql`, { method: 'POST', headers: BROWSER, body: JSON.stringify({ query: getIntrospectionQuery(), operationName: 'IntrospectionQuery' }) })
  t.equal(answer.status, 200)
  t.match(await answer.text(), /"queryType"/)
})

t.test('an editor that is reloaded ten times in a minute is no threat: introspection, a query, a subscription', async (t) => {
  const server = await openApp(t, { EXPOSE_SCORE: 'true', NEVER_BLOCK: '192.0.2.1/32', LOG_LEVEL: 'warn' })
  const introspection = JSON.stringify({ query: getIntrospectionQuery(), operationName: 'IntrospectionQuery' })
  const files = ['', 'start.js', 'graphiql.css', 'graphiql.js', 'react.js', 'react-dom.js'].map((name) => `/graphiql/${name}`)
  const seen: string[] = []
  const note = async (answer: Response): Promise<string> => {
    seen.push(`${answer.status} ${answer.headers.get('x-neko-action')}`)
    return await answer.text()
  }
  for (let reload = 0; reload < 10; reload++) {
    for (const file of files) await note(await fetch(server.url + file, { headers: BROWSER }))
    t.match(await note(await fetch(`${server.url}/graphql`, { method: 'POST', headers: BROWSER, body: introspection })), /"queryType"/)
  }
  t.match(await note(await fetch(`${server.url}/graphql`, { method: 'POST', headers: BROWSER, body: '{"query":"{ threatCounts { count } }"}' })), /"count"/)
  t.same([...new Set(seen)], ['200 ALLOW'], `of ${seen.length} requests`)
  const start = await (await fetch(`${server.url}/graphiql/start.js`, { headers: BROWSER })).text()
  t.match(start, /subscriptionUrl = location\.origin/)
  const socket = new WebSocket(`${server.url.replace('http', 'ws')}/graphql`, 'graphql-transport-ws')
  const said = new Promise<string>((resolve, reject) => {
    socket.onopen = () => socket.send('{"type":"connection_init","payload":{}}')
    socket.onmessage = ({ data }) => resolve(String(data))
    socket.onerror = () => reject(new Error('no socket'))
  })
  t.match(await said, /connection_ack/)
  socket.close()
})

t.test('a batch is refused as shipped; where it is allowed each operation counts and fails alone', async (t) => {
  const server = await openApp(t, { GRAPHQL_BATCH_MAX: '10', ENFORCEMENT: 'shadow', RATE_LIMIT_STANDARD: '14/60/0', LOG_LEVEL: 'warn' })
  const send = async (batch: object[]): Promise<{ status: number, body: Array<{ data?: unknown, errors?: Array<{ extensions: { code: string } }> }> }> => {
    const answer = await fetch(`${server.url}/graphql`, { method: 'POST', headers: BROWSER, body: JSON.stringify(batch) })
    return { status: answer.status, body: await answer.json() as never }
  }
  const health = { query: '{ health { status } }' }
  const mixed = await send([health, { query: '{ nothing }' }, health])
  t.equal(mixed.status, 200)
  t.same(mixed.body.map(({ data, errors }) => errors?.[0]?.extensions.code ?? Object.keys(data as object)[0]), ['health', 'NEKO_ERR_INPUT_INVALID', 'health'])
  t.same((await send(new Array(11).fill(health))).status, 400)
  t.same((await send([health, { query: '{ adminUsers { id } }' }])).body[1], { data: { adminUsers: [] } }, 'a decoy answers here too')
  // 14 a minute: 3, 1 and 2 are gone, 8 are left.
  const many = await send(new Array(10).fill(health))
  t.same(many.body.map(({ errors }) => errors?.[0]?.extensions.code ?? 'data'), [...new Array(8).fill('data'), ...new Array(2).fill('NEKO_ERR_LIMIT_EXCEEDED')])
})

t.test('cost is charged with pages multiplied, settled by what came back, shown on request, and refused with the time to wait', async (t) => {
  const server = await openApp(t, { ENFORCEMENT: 'shadow', RATE_LIMIT_STANDARD: '10/60/0', LOG_LEVEL: 'warn' })
  const send = async (query: string, headers: Record<string, string> = {}): Promise<Response> => await fetch(`${server.url}/graphql`, { method: 'POST', headers: { ...BROWSER, ...headers }, body: JSON.stringify({ query }) })
  t.notMatch(await (await send('{ health { status } }')).text(), /extensions/)
  const shown = await (await send('{ threatActors(first: 100) { nodes { id } } }', { 'x-neko-cost': '1' })).json() as { data: { threatActors: { nodes: unknown[] } }, extensions: { cost: object } }
  const points = 1 + shown.data.threatActors.nodes.length
  t.ok(points < 101)
  t.match(shown.extensions.cost, { points, limit: 200, remaining: 199 - points })
  const over = await send('{ a: threatActors(first: 100) { nodes { id } } b: threatActors(first: 98) { nodes { id } } }')
  const seconds = Number(over.headers.get('retry-after'))
  t.equal(over.status, 429)
  t.match(await over.json(), { errors: [{ extensions: { code: 'NEKO_ERR_LIMIT_EXCEEDED', retryAfterSeconds: seconds } }] })
  t.ok(seconds >= 1 && seconds <= 70)
  t.match(await (await send('{ threatActors(first: 100) { nodes { techniques { id } } } }')).text(), /NEKO_ERR_QUERY_TOO_COSTLY/)
})
