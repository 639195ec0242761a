import { connect } from 'node:net'
import t from 'tap'
import { until } from '../processes/load.ts'
import { startServer } from '../server.ts'

const server = await startServer(t, { env: { TRUST_PROXY: '127.0.0.1/32', ADMIN_PASSWORD: 'correct-horse-battery' } })

t.test('what a client that resets leaves behind is settled like any request', async (t) => {
  for (let i = 0; i < 30; i++) {
    await new Promise<void>((resolve) => {
      const socket = connect(server.port, '127.0.0.1', () => {
        socket.write('GET /articles/1 HTTP/1.1\r\nhost: a\r\n\r\n', () => { socket.resetAndDestroy() })
      })
      socket.on('error', () => { /* the reset is ours */ }).once('close', () => resolve())
    })
  }
  let counted = 0
  await until('some were seen, and nothing is in flight', async () => {
    const text = await (await fetch(`${server.metricsUrl}/metrics`)).text()
    counted = [...text.matchAll(/^neko_http_requests_total\{.*\} (\d+)/gm)].reduce((sum, match) => sum + Number(match[1]), 0)
    return counted > 0 && /^neko_http_requests_in_flight 0$/m.test(text)
  }, 20_000)
  t.ok(counted > 0, `${counted} of 30 were seen before they were reset`)
})

t.test('a list is counted however often it is asked: compiled queries too', async (t) => {
  for (let i = 0; i < 8; i++) {
    const response = await fetch(`${server.url}/graphql`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ query: '{ threatActors(first: 1) { totalCount nodes { name } } }' }) })
    const { data, errors } = await response.json() as { data: { threatActors: { totalCount: number } } | null, errors?: unknown }
    t.equal(errors, undefined)
    t.ok(Number.isInteger(data?.threatActors.totalCount))
  }
})

t.test('what an incident keeps as evidence, and a webhook quotes, holds no secret of the request', async (t) => {
  const secret = 'S3cretZqYw'
  const injection = "' UNION SELECT login,hash FROM members-- "
  const headers = { 'x-forwarded-for': '192.0.2.44', 'user-agent': `curl/8 token=${secret} ${injection}` }
  const body = new TextEncoder().encode(`a=1&pwd=${secret}${injection}&q=${injection}`)
  t.equal((await fetch(`${server.url}/articles;token=${secret}/1`, { method: 'POST', headers, body })).status, 403)
  const ask = async (query: string, token = ''): Promise<{ data: Record<string, unknown> }> => {
    const response = await fetch(`${server.url}/graphql`, { method: 'POST', headers: { 'content-type': 'application/json', ...(token === '' ? {} : { authorization: token }) }, body: JSON.stringify({ query }) })
    return await response.json() as { data: Record<string, unknown> }
  }
  const { data: { login } } = await ask('mutation { login(username: "admin", password: "correct-horse-battery") { accessToken } }')
  const token = `Bearer ${(login as { accessToken: string }).accessToken}`
  let text = ''
  await until('the incident', async () => {
    text = JSON.stringify(await ask('{ incidents(first: 1) { nodes { attacker evidence { text } timeline { what } } } decisions(first: 1) { nodes { reason } } }', token))
    return text.includes('UNION')
  }, 20_000)
  t.match(text, 'ip:192.0.2.44')
  t.match(text, /"reason":"CRITICAL_THREAT_RESPONSE: score [\d.]+ on POST [^;]*;token=a{1}[^;]*; matched/, 'the decisive factor speaks first')
  t.notOk(text.includes(secret))
  t.notOk(server.output().includes(secret))
})
