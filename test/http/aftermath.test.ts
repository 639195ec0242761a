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
