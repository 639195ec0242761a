import t from 'tap'
import { withinBar } from '../bar.ts'
import { spawnServer, startServer } from '../server.ts'

/** What a start comes to it comes to soon: an operator waits for it, and so does whoever replaces servers one by one. */
t.test('a bad configuration ends the server within 2 s', async (t) => {
  const bad: Array<Record<string, string>> = [{ PORT: 'eighty' }, { PORT: '1', HOST: '203.0.113.1' }]
  for (const env of bad) {
    const startMs = performance.now()
    t.equal((await spawnServer(t, { env }).ended).code, 78)
    withinBar(t, Object.keys(env).join(' '), performance.now() - startMs, 2000)
  }
})

t.test('Redis and the database down: it serves within 3 s', async (t) => {
  const startMs = performance.now()
  const server = await startServer(t, { env: { MONGODB_URI: 'mongodb://127.0.0.1:1/', REDIS_URL: 'redis://127.0.0.1:1', WORKERS: '2' } })
  t.equal((await fetch(`${server.url}/health/ready`)).status, 200)
  withinBar(t, 'from the start to an answer', performance.now() - startMs, 3000)
})
