import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { startServer } from '../server.ts'

t.test('what a client that resets leaves behind is settled like any request', async (t) => {
  const server = await startServer(t)
  for (let i = 0; i < 30; i++) {
    await new Promise<void>((resolve) => {
      const socket = connect(server.port, '127.0.0.1', () => {
        socket.write('GET /articles/1 HTTP/1.1\r\nhost: a\r\n\r\n', () => { socket.resetAndDestroy() })
      })
      socket.on('error', () => { /* the reset is ours */ }).once('close', () => resolve())
    })
  }
  let inFlight = NaN
  let counted = 0
  for (let i = 0; i < 40 && inFlight !== 0; i++) {
    await sleep(100)
    const text = await (await fetch(`${server.metricsUrl}/metrics`)).text()
    inFlight = Number(/^neko_http_requests_in_flight (\d+)/m.exec(text)?.[1])
    counted = [...text.matchAll(/^neko_http_requests_total\{.*\} (\d+)/gm)].reduce((sum, match) => sum + Number(match[1]), 0)
  }
  t.equal(inFlight, 0, 'nothing is in flight')
  t.ok(counted > 0, `${counted} of 30 were seen before they were reset`)
})

t.test('a list is counted however often it is asked: compiled queries too', async (t) => {
  const server = await startServer(t)
  for (let i = 0; i < 8; i++) {
    const response = await fetch(`${server.url}/graphql`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ query: '{ threatActors(first: 1) { totalCount nodes { name } } }' }) })
    const { data, errors } = await response.json() as { data: { threatActors: { totalCount: number } } | null, errors?: unknown }
    t.equal(errors, undefined)
    t.ok(Number.isInteger(data?.threatActors.totalCount))
  }
})

t.test('what an incident keeps as evidence, and a webhook quotes, holds no secret of the request', async (t) => {
  const server = await startServer(t, { env: { TRUST_PROXY: '127.0.0.1/32', ADMIN_PASSWORD: 'correct-horse-battery' } })
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
  for (let i = 0; i < 40 && !text.includes('UNION'); i++) {
    await sleep(100)
    text = JSON.stringify(await ask('{ incidents(first: 1) { nodes { attacker evidence { text } timeline { what } } } decisions(first: 1) { nodes { reason } } }', token))
  }
  t.match(text, 'ip:192.0.2.44')
  t.match(text, /"reason":"CRITICAL_THREAT_RESPONSE: score [\d.]+ on POST [^;]*;token=a{1}[^;]*; matched/, 'the decisive factor speaks first')
  t.notOk(text.includes(secret))
  t.notOk(server.output().includes(secret))
})
