import t from 'tap'
import { withinBar } from '../bar.ts'
import { isStopped } from '../processes/status-of.ts'
import { until } from '../processes/load.ts'
import { startMongo } from '../services/mongo.ts'
import { type Animal, animals } from './contract.ts'
import { openMongo } from './lost-replies.ts'

t.test('a server that stalls is answered for within 3 s, and then at once', async (t) => {
  const server = await startMongo(t)
  if (server === null || server.pid() === null) return
  const storage = await openMongo(t, server.uri)
  const collection = storage.collection<Animal>(animals)
  await collection.insert({ id: 'before' })
  process.kill(server.pid()!, 'SIGSTOP')
  await until('all its threads stand still', () => isStopped(server.pid()!))
  let startMs = performance.now()
  await Promise.all(Array.from({ length: 20 }, (_, i) => t.rejects(collection.insert({ id: `s${i}` }), { code: 'NEKO_ERR_STORE_UNAVAILABLE' })))
  withinBar(t, 'the first answers', performance.now() - startMs, 3000)
  startMs = performance.now()
  await t.rejects(collection.get('before'), { code: 'NEKO_ERR_STORE_UNAVAILABLE' })
  withinBar(t, 'with the breaker open', performance.now() - startMs, 100)
  process.kill(server.pid()!, 'SIGCONT')
})
