import t from 'tap'
import { Pool } from 'undici'
import { withinBar } from '../../bar.ts'
import { CASES, GRAPHQL, openServer } from './hostile-documents.ts'

t.test('hostile documents are refused within 50 ms each, while others are served', async (t) => {
  const { server, ask } = await openServer(t)
  const other = new Pool(server.url, { connections: 4 })
  t.teardown(async () => await other.destroy())
  let served = 0
  const others = { wanted: true }
  const load = Promise.all(Array.from({ length: 4 }, async () => {
    while (others.wanted) {
      const { status, text } = await ask({ query: '{ health { status } }' }, GRAPHQL, other)
      if (status !== 200 || !text.includes('"data"')) throw new Error(`${status} ${text}`)
      served++
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  }))
  const lag = async (): Promise<number> => 1000 * Number(/^nodejs_eventloop_lag_max_seconds ([\d.e-]+)/m.exec(await (await fetch(`${server.metricsUrl}/metrics`)).text())?.[1])
  await lag()
  let slowest = { ms: 0, title: '' }
  for (const one of CASES) {
    for (const accept of [GRAPHQL, 'application/json']) {
      const { ms } = await ask(one, accept)
      if (ms > slowest.ms) slowest = { ms, title: one.title }
    }
  }
  const lagMs = await lag()
  others.wanted = false
  await load
  t.ok(served > 0)
  withinBar(t, `the slowest of ${CASES.length} documents twice (${slowest.title})`, slowest.ms, 50)
  withinBar(t, 'the event loop at its latest', lagMs, 50)
})
